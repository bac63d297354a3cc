"""LlamaIndex through the gateway: its OpenAI-like LLM, its responses LLM, embeddings, and a program."""

import os
from typing import Any

import openai
import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAIResponses
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

GATEWAY = {"api_base": os.environ["BASE_URL"], "api_key": os.environ["API_KEY"]}
QUESTION = [ChatMessage(role="user", content="How do I change my password?")]
INVOICE = PromptTemplate("Invoice {number} from Globex, total 99.50 EUR.")


class Invoice(BaseModel):
    """An invoice."""

    invoice_number: str
    vendor: str
    total: float


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


def llm(model: str = "chat", **more: Any) -> OpenAILike:
    abilities = {"is_chat_model": True, "is_function_calling_model": True, "should_use_structured_outputs": True}
    return OpenAILike(model=model, **GATEWAY, **(abilities | more))


def test_a_chat() -> None:
    answer = llm().chat(QUESTION)
    assert "password" in answer.message.content
    assert answer.raw.usage.completion_tokens > 0


def test_a_streamed_chat() -> None:
    pieces = list(llm().stream_chat(QUESTION))
    assert len(pieces) > 1
    assert "".join(piece.delta or "" for piece in pieces) == pieces[-1].message.content


async def test_a_chat_without_waiting() -> None:
    model = llm()
    assert "password" in (await model.achat(QUESTION)).message.content
    pieces = [piece.delta or "" async for piece in await model.astream_chat(QUESTION)]
    assert "password" in "".join(pieces)


def test_a_tool_is_called_and_its_result_is_spoken_of() -> None:
    model, tool = llm(), FunctionTool.from_defaults(get_weather)
    messages = [ChatMessage(role="user", content="What is the weather in Lisbon?")]
    asked = model.chat_with_tools([tool], chat_history=messages)
    (call,) = model.get_tool_calls_from_response(asked)
    assert (call.tool_name, call.tool_kwargs) == ("get_weather", {"city": "Lisbon"})
    result = ChatMessage(role="tool", content="sunny", additional_kwargs={"tool_call_id": call.tool_id})
    answer = model.chat([*messages, asked.message, result])
    assert "sunny" in answer.message.content


def test_a_tool_is_predicted_and_called() -> None:
    tool = FunctionTool.from_defaults(get_weather)
    answer = llm().predict_and_call([tool], user_msg="What is the weather in Lisbon?")
    assert answer.response == "sunny in Lisbon"


def test_a_tool_call_is_streamed() -> None:
    model, tool = llm(), FunctionTool.from_defaults(get_weather)
    *_, last = model.stream_chat_with_tools([tool], user_msg="What is the weather in Lisbon?")
    (call,) = model.get_tool_calls_from_response(last)
    assert call.tool_kwargs == {"city": "Lisbon"}


def test_a_model_is_predicted() -> None:
    invoice = llm().structured_predict(Invoice, INVOICE, number="INV-2026-0117")
    assert invoice == Invoice(invoice_number="INV-2026-0117", vendor="Globex", total=99.5)


def test_a_model_is_predicted_in_parts() -> None:
    *_, last = llm().stream_structured_predict(Invoice, INVOICE, number="INV-2026-0117")
    assert last.vendor == "Globex"


def test_a_plain_completion() -> None:
    model = llm("completions", is_chat_model=False)
    assert model.complete("How do I change my password?").text
    *_, last = model.stream_complete("How do I change my password?")
    assert last.text


def responses_llm() -> OpenAIResponses:
    # It looks its context's size up by the name, so the route is named as a model that it knows.
    return OpenAIResponses(model="gpt-4o-mini", **GATEWAY)


def test_a_response() -> None:
    answer = responses_llm().chat(QUESTION)
    assert "password" in answer.message.content
    assert answer.raw.usage.output_tokens > 0


def test_a_streamed_response() -> None:
    pieces = list(responses_llm().stream_chat(QUESTION))
    assert len(pieces) > 1
    assert "".join(piece.delta or "" for piece in pieces) == pieces[-1].message.content


def test_a_tool_is_called_by_a_response_and_its_result_is_spoken_of() -> None:
    model, tool = responses_llm(), FunctionTool.from_defaults(get_weather)
    messages = [ChatMessage(role="user", content="What is the weather in Lisbon?")]
    asked = model.chat_with_tools([tool], chat_history=messages)
    (call,) = model.get_tool_calls_from_response(asked)
    assert (call.tool_name, call.tool_kwargs) == ("get_weather", {"city": "Lisbon"})
    result = ChatMessage(role="tool", content="sunny", additional_kwargs={"call_id": call.tool_id})
    answer = model.chat([*messages, asked.message, result])
    assert "sunny" in answer.message.content


def test_an_index_is_asked() -> None:
    embeddings = OpenAIEmbedding(model_name="embeddings", **GATEWAY)
    vectors = embeddings.get_text_embedding_batch(["a password", "an invoice"])
    assert len(vectors) == 2
    assert vectors[0] != vectors[1]
    documents = [Document(text="Passwords are changed in the settings."), Document(text="Invoices come by mail.")]
    index = VectorStoreIndex.from_documents(documents, embed_model=embeddings)
    answer = index.as_query_engine(llm=llm(), similarity_top_k=1).query("How do I change my password?")
    assert len(answer.source_nodes) == 1
    assert answer.response


def test_the_gateways_errors_come_through() -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        llm("gone").chat(QUESTION)
    assert caught.value.code == "model_gone"
    with pytest.raises(openai.APIError) as cut:
        list(llm("fault-cut").stream_chat(QUESTION))
    assert cut.value.code == "upstream_disconnected"
