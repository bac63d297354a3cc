"""LangChain's own standard suites for chat models and embeddings, through the gateway."""

import os
from typing import Any

import openai
import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests

GATEWAY = {"base_url": os.environ["BASE_URL"], "api_key": os.environ["API_KEY"]}


class TestChat(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**GATEWAY, "model": "chat", "stream_usage": True}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "gpt-6-luna"


class TestChatOverResponses(TestChat):
    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**GATEWAY, "model": "chat", "use_responses_api": True}


class TestEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        # Else it fetches a tokenizer from the net, to count what the gateway leaves to the provider.
        return {**GATEWAY, "model": "embeddings", "check_embedding_ctx_length": False}


def test_an_error_of_the_gateway_comes_through() -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ChatOpenAI(**GATEWAY, model="gone").invoke("Hello")
    assert caught.value.code == "model_gone"


@pytest.mark.parametrize("over_responses", [False, True], ids=["chat completions", "responses"])
def test_a_stream_that_breaks_off_is_an_error_and_not_an_end(over_responses: bool) -> None:
    model = ChatOpenAI(**GATEWAY, model="fault-cut", use_responses_api=over_responses)
    with pytest.raises(openai.APIError) as caught:
        list(model.stream("Hello"))
    assert caught.value.code == "upstream_disconnected"


def test_a_client_that_loses_patience_ends_the_upstream_call(provider: Any) -> None:
    before = provider.calls()
    with pytest.raises(openai.APITimeoutError):
        ChatOpenAI(**GATEWAY, model="fault-stall", timeout=0.5, max_retries=0).invoke("Hello")
    assert provider.call_after(before)["complete"] is False
