"""Requests that cannot be put into a vendor's format, and answers that end in unusual ways."""

import asyncio
from typing import Any

import anthropic_format as anthropic
import bedrock_format as bedrock
import gemini_format as gemini
import pytest
from conftest import ServeVendor
from fake_provider import FakeProvider, Script, says
from vendor_stories import choice, finishes

pytestmark = pytest.mark.rig

KINDS = pytest.mark.parametrize("kind", ["anthropic", "gemini", "bedrock"])


def user(content: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


def picture(url: str) -> dict[str, Any]:
    return user([{"type": "image_url", "image_url": {"url": url}}])


@pytest.mark.parametrize("kind", ["gemini", "bedrock"])
async def test_a_picture_by_its_address_is_for_who_fetches_it_and_never_for_us(
    serve_vendor: ServeVendor, provider: FakeProvider, kind: str
) -> None:
    gateway, server = await serve_vendor(kind)
    asked = picture(f"{provider.base_url}/picture.png")
    answer = await gateway.chat("reply@primary", **asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported_by_targets")
    answer = await gateway.chat(**asked)
    assert (answer.status_code, answer.headers["x-gateway-reason"]) == (200, "lacks_capability")
    assert [call.path for call in provider.calls if "picture" in call.path] == []
    assert server.asked() == []


async def test_a_picture_that_anthropic_does_not_fetch_is_the_callers_to_send(
    serve_vendor: ServeVendor, provider: FakeProvider
) -> None:
    gateway, claude = await serve_vendor("anthropic")
    answer = await gateway.chat(**picture(f"{provider.base_url}/picture.png"))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "unsupported_value", "messages")
    assert "data: URLs" in error["message"]
    assert provider.calls == [] and claude.asked() == []
    (row,) = await gateway.rows(1)
    assert row.failure == "bad_request"


async def test_a_vendor_that_cannot_be_reached_is_a_failed_connection(
    serve_vendor: ServeVendor, provider: FakeProvider, closed_port: int
) -> None:
    gateway, _ = await serve_vendor("anthropic", base_url=f"http://127.0.0.1:{closed_port}", fallback_on=["connection"])
    answer = await gateway.chat()
    assert (answer.status_code, answer.headers["x-gateway-reason"]) == (200, "connection")


async def test_a_pictures_url_that_anthropic_would_fetch_itself_is_passed_on(serve_vendor: ServeVendor) -> None:
    gateway, claude = await serve_vendor("anthropic")
    assert (await gateway.chat(**picture("https://example.com/picture.png"))).status_code == 200
    (message,) = claude.sent()["messages"]
    assert message["content"] == [
        {"type": "image", "source": {"type": "url", "url": "https://example.com/picture.png"}}
    ]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(user(5), id="content that is a number"),
        pytest.param(user([{"type": "weird"}]), id="a part of an unknown type"),
        pytest.param({"messages": [{"role": "robot", "content": "x"}]}, id="a role that nobody has"),
    ],
)
@KINDS
async def test_a_request_that_cannot_be_translated_is_its_callers_and_says_nothing_of_the_vendors_health(
    serve_vendor: ServeVendor, kind: str, body: dict[str, Any]
) -> None:
    gateway, server = await serve_vendor(kind)
    answer = await gateway.chat(**body)
    error = answer.json()["error"]
    assert (answer.status_code, server.asked()) == (400, [])
    assert error["message"]
    assert not [word for word in ("Traceback", "litellm", "site-packages", "Received Messages") if word in answer.text]
    (row,) = await gateway.rows(1)
    assert (row.failure, row.outcome) == ("bad_request", "failed")


def google_ended(reason: str) -> tuple[Script, Script]:
    whole = gemini.chunk("Hi.", finish=reason)
    return says(whole), gemini.streamed(whole)


def anthropic_ended(reason: str) -> tuple[Script, Script]:
    return anthropic.answers(stop_reason=reason), anthropic.whole_stream(stop_reason=reason)


def bedrock_ended(reason: str) -> tuple[Script, Script]:
    return bedrock.answers(stop_reason=reason), bedrock.whole_stream(stop_reason=reason)


@pytest.mark.parametrize(
    ("kind", "scripts", "expected"),
    [
        pytest.param("anthropic", anthropic_ended("max_tokens"), "length", id="Anthropic: too long"),
        pytest.param("anthropic", anthropic_ended("stop_sequence"), "stop", id="Anthropic: a stop sequence"),
        pytest.param("anthropic", anthropic_ended("refusal"), "content_filter", id="Anthropic: a refusal"),
        pytest.param("gemini", google_ended("MAX_TOKENS"), "length", id="Gemini: too long"),
        pytest.param("gemini", google_ended("SAFETY"), "content_filter", id="Gemini: unsafe"),
        pytest.param("gemini", google_ended("RECITATION"), "content_filter", id="Gemini: a quotation"),
        pytest.param("bedrock", bedrock_ended("max_tokens"), "length", id="Bedrock: too long"),
        pytest.param("bedrock", bedrock_ended("guardrail_intervened"), "content_filter", id="Bedrock: a guardrail"),
    ],
)
async def test_how_an_answer_ended_is_said_in_openais_words(
    serve_vendor: ServeVendor, kind: str, scripts: tuple[Script, Script], expected: str
) -> None:
    gateway, server = await serve_vendor(kind)
    server.usual, streamed = scripts
    assert choice(await gateway.chat())["finish_reason"] == expected
    server.usual = streamed
    answer = await gateway.stream()
    assert (finishes(answer.chunks), answer.done) == ([expected], True)


async def test_what_claude_thought_is_passed_on_beside_what_it_said(serve_vendor: ServeVendor) -> None:
    gateway, claude = await serve_vendor("anthropic")
    thought = {"type": "thinking", "thinking": "Hmm.", "signature": "c2ln"}
    claude.usual = anthropic.answers(thought, anthropic.TEXT)
    answer = await gateway.chat(reasoning_effort="low", max_completion_tokens=9000)
    assert claude.sent()["thinking"]["type"] == "enabled"
    message = choice(answer)["message"]
    assert (message["content"], message["reasoning_content"]) == ("Hello there.", "Hmm.")
    assert message["thinking_blocks"] == [thought]


@KINDS
async def test_many_calls_at_once_are_answered_at_once(serve_vendor: ServeVendor, kind: str) -> None:
    gateway, server = await serve_vendor(kind)
    whole = await asyncio.gather(*(gateway.chat_alone() for _ in range(20)))
    streamed = await asyncio.gather(*(gateway.stream() for _ in range(20)))
    assert {choice(answer)["message"]["content"] for answer in whole} == {"Hello there."}
    assert {(answer.text, answer.done) for answer in streamed} == {("Hello there.", True)}
    assert len(server.asked()) == 40
    rows = await gateway.rows(40)
    assert {row.usage_source for row in rows} == {"provider"}
