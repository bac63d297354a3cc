"""OpenAI's endpoints: what differs between them, one module each; what they share is the pipeline."""

from gateway.execution.endpoints.chat import ChatCompletions
from gateway.execution.endpoints.completions import Completions
from gateway.execution.endpoints.embeddings import Embeddings
from gateway.execution.endpoints.endpoint import Endpoint
from gateway.execution.endpoints.passed_through import PassedThrough
from gateway.execution.endpoints.responses import Responses

CHAT: Endpoint = ChatCompletions()
RESPONSES: Endpoint = Responses()
ENDPOINTS: tuple[Endpoint, ...] = (
    CHAT,
    RESPONSES,
    Embeddings(),
    Completions(),
    PassedThrough("moderations", "/moderations"),
    PassedThrough("images", "/images/generations"),
    PassedThrough("images", "/images/edits"),
    PassedThrough("images", "/images/variations"),
    PassedThrough("speech", "/audio/speech"),
    PassedThrough("transcriptions", "/audio/transcriptions"),
    PassedThrough("transcriptions", "/audio/translations"),
)
"""Every endpoint that takes a model, in the order in which they are listed to people."""
