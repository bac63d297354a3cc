"""What openai-python makes of the gateway's errors, and what the provider sees of a client that leaves."""

import asyncio
import socket
import time
from typing import Any

import httpx2
import openai
import pytest

QUESTION: list[Any] = [{"role": "user", "content": "How do I change my password?"}]


def ask(client: openai.OpenAI, model: str, **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=QUESTION, **more)


def test_an_unknown_route_is_not_found(client: openai.OpenAI, sent: Any) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, "chatt")
    error = caught.value
    assert (error.code, error.type, sent.requests) == ("route_not_found", "invalid_request_error", 1)
    assert "chat" in error.message
    assert error.request_id


def test_a_mistake_of_the_callers_comes_with_the_providers_words(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "chat", temperature=9)
    assert (caught.value.param, caught.value.type) == ("temperature", "invalid_request_error")
    assert "temperature" in caught.value.message


def test_a_body_without_messages_is_a_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="chat", messages="Hello")  # type: ignore[arg-type]


def test_a_wrong_key_is_refused(client: openai.OpenAI, sent: Any) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        ask(client.with_options(api_key="sk-wrong"), "chat")
    assert (caught.value.code, sent.requests) == ("invalid_api_key", 1)
    assert "sk-wrong" not in str(caught.value)


def test_a_rate_limit_comes_with_its_pause(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client.with_options(max_retries=0), "fault-429")
    headers = caught.value.response.headers
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("2", "2000")
    assert "x-should-retry" not in headers


def test_a_model_that_is_gone_is_said_so_once(client: openai.OpenAI, sent: Any) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, "gone")
    assert (caught.value.code, sent.requests) == ("model_gone", 1)
    assert "acme:deleted" in caught.value.message


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_provider_that_fails_is_not_asked_again(client: openai.OpenAI, sent: Any, stream: bool) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client, "fault-5xx", stream=stream)
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert sent.requests == 1


def test_a_provider_that_cannot_be_reached_is_not_asked_again(client: openai.OpenAI, sent: Any) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client, "unreachable")
    assert (caught.value.status_code, caught.value.code, sent.requests) == (502, "upstream_unreachable", 1)


def test_a_stream_that_breaks_off_is_an_error_and_not_an_end(client: openai.OpenAI) -> None:
    chunks = ask(client, "fault-cut", stream=True)
    assert next(chunks).choices
    with pytest.raises(openai.APIError) as caught:
        list(chunks)
    assert caught.value.code == "upstream_disconnected"


class BreaksOnce(httpx2.HTTPTransport):
    """A network on which the first request finds a closed port."""

    def __init__(self, closed_port: int) -> None:
        super().__init__()
        self.tries = 0
        self._closed_port = closed_port

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.tries += 1
        if self.tries == 1:
            request.url = request.url.copy_with(port=self._closed_port)
        return super().handle_request(request)


def test_a_connection_that_fails_is_tried_again_by_the_sdk(base_url: str, api_key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    transport = BreaksOnce(port)
    with (
        httpx2.Client(transport=transport) as http,
        openai.OpenAI(base_url=base_url, api_key=api_key, http_client=http) as client,
    ):
        assert ask(client, "chat").choices[0].message.content
    assert transport.tries == 2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_provider_that_stalls_is_given_up_by_the_gateway(client: openai.OpenAI, sent: Any, stream: bool) -> None:
    with pytest.raises(openai.APIError) as caught:
        list(ask(client, "impatient", stream=stream))
    assert (caught.value.code, sent.requests) == ("upstream_timeout", 1)


def test_a_rate_limit_is_waited_out_by_the_sdk(client: openai.OpenAI, sent: Any) -> None:
    # The route's only target rests until then, so the second request finds it out of its rest: limited once more.
    started = time.monotonic()
    with pytest.raises(openai.RateLimitError):
        ask(client.with_options(max_retries=1), "fault-429")
    assert sent.requests == 2
    assert time.monotonic() - started >= 1.9


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_client_that_loses_patience_ends_the_upstream_call(
    client: openai.OpenAI, provider: Any, stream: bool
) -> None:
    before = provider.calls()
    with pytest.raises(openai.APITimeoutError):
        for _ in ask(client.with_options(timeout=0.5, max_retries=0), "fault-stall", stream=stream):
            pass
    row = provider.call_after(before)
    assert (row["asked"], row["complete"]) == ("fault-stall", False)


def test_a_stream_that_is_closed_ends_the_upstream_call(client: openai.OpenAI, provider: Any) -> None:
    before = provider.calls()
    with ask(client, "fault-stall", stream=True) as stream:
        next(iter(stream))
    assert provider.call_after(before)["complete"] is False


async def test_a_task_that_is_cancelled_ends_the_upstream_call(async_client: openai.AsyncOpenAI, provider: Any) -> None:
    before, begun = provider.calls(), asyncio.Event()

    async def read() -> None:
        stream = await async_client.chat.completions.create(model="fault-stall", messages=QUESTION, stream=True)
        async for _ in stream:
            begun.set()

    task = asyncio.create_task(read())
    await asyncio.wait_for(begun.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    row = await asyncio.to_thread(provider.call_after, before)
    assert row["complete"] is False
