"""Calls of the sandbox's Responses API, and what they are asked with."""

from typing import Any

import httpx
import orjson

FORUM = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
LUNA = "gpt-6-luna"
ASK = "What is the weather in Paris tomorrow?"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TIME = {**WEATHER, "name": "get_time"}
SUMMARISED = {"effort": "low", "summary": "auto"}


def post(http: httpx.Client, **body: Any) -> httpx.Response:
    return http.post("/v1/responses", json={"model": FORUM, "input": ASK, **body})


def respond(http: httpx.Client, **body: Any) -> Any:
    return post(http, **body).raise_for_status().json()


def events(http: httpx.Client, **body: Any) -> list[Any]:
    """Return the events of a stream, whose names on the wire are their types."""
    sent = post(http, stream=True, **body)
    assert sent.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in sent.text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        found.append(orjson.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def text_of(response: Any) -> str:
    return "".join(part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"])


def without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_ids(inner) for name, inner in value.items() if name not in ("id", "call_id")}
    return [without_ids(inner) for inner in value] if isinstance(value, list) else value
