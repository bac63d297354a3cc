"""Embeddings, completions, and what is passed through: moderations, images, sound."""

import json
from typing import Any

import pytest
from fake_provider import DONE, GONE, Call, FakeProvider, Script, refuses, says, streams, writes
from served_gateway import Serve

from gateway.execution.endpoints.multipart import read_form

pytestmark = pytest.mark.rig

VECTORS = {
    "object": "list",
    "model": "tuned",
    "data": [{"object": "embedding", "index": 0, "embedding": "AACAPw=="}],
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}
SOUND = bytes(range(256)) * 700
WAV = (("content-type", "audio/wav"),)


async def test_embeddings_are_passed_on_as_they_are_and_counted(serve: Serve, provider: FakeProvider) -> None:
    provider.paths["/v1/embeddings"] = says(VECTORS)
    gateway = await serve()
    asked = {"model": "reply", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 1}
    answer = await gateway.client.post("/v1/embeddings", json=asked)
    assert answer.json() == VECTORS
    assert provider.chats()[-1].json == asked | {"model": "tuned"}
    (row,) = await gateway.rows(1)
    assert (row.endpoint, row.input_tokens, row.output_tokens, row.cost_nanousd) == ("embeddings", 3, 0, 3000)


async def test_vectors_of_another_model_are_never_an_answer(serve: Serve, provider: FakeProvider) -> None:
    provider.paths["/v1/embeddings"] = refuses(404, "The model `tuned` does not exist.", "model_not_found")
    gateway = await serve()
    answer = await gateway.client.post("/v1/embeddings", json={"model": "reply", "input": "a"})
    assert answer.status_code == 404
    assert next(call.json["model"] for call in provider.chats() if call.path == "/v1/embeddings") == "tuned"
    assert all(call.json["model"] != "base" for call in provider.chats())


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(refuses(404, "Not Found"), id="there is no such path"),
        pytest.param(refuses(403, "You are not allowed to generate embeddings from this model"), id="it may not"),
        pytest.param(refuses(401, "Missing scopes: api.embeddings"), id="the key may not"),
        pytest.param(refuses(500, "boom"), id="it breaks"),
    ],
)
async def test_asking_a_model_for_what_it_is_not_made_for_does_not_take_it_from_the_others(
    refusal: Script, serve: Serve, provider: FakeProvider
) -> None:
    provider.paths["/v1/embeddings"] = refusal
    gateway = await serve()
    await gateway.chat()
    for _ in range(6):
        assert (await gateway.client.post("/v1/embeddings", json={"model": "reply", "input": "a"})).status_code >= 400
    assert (await gateway.chat()).headers["x-gateway-reason"] == "primary"


async def test_a_path_that_a_provider_does_not_have_is_told_as_that(serve: Serve, provider: FakeProvider) -> None:
    provider.paths["/v1/embeddings"] = says({"detail": "Not Found"}, 404)
    gateway = await serve()
    answer = await gateway.client.post("/v1/embeddings", json={"model": "reply", "input": "a"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (502, "bad_upstream")
    assert "has nothing at /embeddings: it answered 404" in error["message"]


async def test_an_answer_without_vectors_is_none(serve: Serve, provider: FakeProvider) -> None:
    provider.paths["/v1/embeddings"] = says({"object": "list"})
    gateway = await serve()
    answer = await gateway.client.post("/v1/embeddings", json={"model": "reply", "input": "a"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "bad_upstream")


async def test_a_completion_is_answered_and_streamed(serve: Serve, provider: FakeProvider) -> None:
    whole = {"object": "text_completion", "model": "tuned", "choices": [{"text": "Hello.", "finish_reason": "stop"}]}
    provider.paths["/v1/completions"] = says(whole)
    gateway = await serve()
    answer = await gateway.client.post("/v1/completions", json={"model": "reply", "prompt": "Say"})
    assert answer.json() == whole
    begun = {"model": "tuned", "choices": [{"text": "Hel", "finish_reason": None}]}
    ended = {"model": "tuned", "choices": [{"text": "lo.", "finish_reason": "stop"}]}
    provider.paths["/v1/completions"] = streams(begun, ended, DONE)
    answer = await gateway.client.post("/v1/completions", json={"model": "reply", "prompt": "Say", "stream": True})
    assert answer.text.endswith("data: [DONE]\n\n")
    assert provider.chats()[-1].json["stream_options"] == {"include_usage": True}
    rows = await gateway.rows(2)
    assert [(row.endpoint, row.usage_source, row.input_tokens, row.output_tokens) for row in rows] == [
        ("completions", "estimated", 1, 2)
    ] * 2


async def test_a_prompt_has_no_place_in_a_completion(serve: Serve, provider: FakeProvider) -> None:
    provider.paths["/v1/completions"] = GONE
    gateway = await serve(base={"prompt": {"instructions": "Play."}})
    answer = await gateway.client.post("/v1/completions", json={"model": "reply", "prompt": "Say"})
    assert answer.status_code == 404
    assert all(call.json["model"] == "tuned" for call in provider.chats())


async def test_moderations_pass_through_with_only_the_model_changed(serve: Serve, provider: FakeProvider) -> None:
    said = {"id": "modr-1", "model": "tuned", "results": [{"flagged": False}]}
    provider.paths["/v1/moderations"] = says(said)
    gateway = await serve(base={"prompt": {"instructions": "Play."}})
    answer = await gateway.client.post("/v1/moderations", json={"model": "reply", "input": "x", "messages": "odd"})
    assert answer.json() == said
    assert provider.chats()[-1].json == {"model": "tuned", "input": "x", "messages": "odd"}
    (row,) = await gateway.rows(1)
    assert (row.endpoint, row.usage_source, row.cost_nanousd) == ("moderations", "none", None)
    assert await gateway.metric("gateway_unpriced_requests_total", model="tuned") == 1


async def test_images_are_counted_where_their_provider_counts(serve: Serve, provider: FakeProvider) -> None:
    usage = {"input_tokens": 7, "output_tokens": 100, "total_tokens": 107}
    provider.paths["/v1/images/generations"] = says({"created": 1, "data": [{"b64_json": "aGk="}], "usage": usage})
    gateway = await serve()
    answer = await gateway.client.post("/v1/images/generations", json={"model": "reply", "prompt": "a cat"})
    assert answer.json()["data"] == [{"b64_json": "aGk="}]
    (row,) = await gateway.rows(1)
    assert (row.endpoint, row.input_tokens, row.output_tokens) == ("images", 7, 100)


async def test_speech_is_relayed_byte_by_byte(serve: Serve, provider: FakeProvider) -> None:
    provider.paths["/v1/audio/speech"] = says(SOUND, headers=WAV)
    gateway = await serve()
    answer = await gateway.client.post("/v1/audio/speech", json={"model": "reply", "input": "Hi", "voice": "x"})
    assert (answer.content, answer.headers["content-type"]) == (SOUND, "audio/wav")
    assert answer.headers["x-gateway-model"] == "tuned"
    (row,) = await gateway.rows(1)
    assert (row.endpoint, row.outcome, row.cost_nanousd) == ("speech", "ok", None)


async def test_speech_that_breaks_off_is_cut_and_not_ended(serve: Serve, provider: FakeProvider) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 9000\r\n\r\n"
    provider.paths["/v1/audio/speech"] = writes(head, SOUND[:500])
    gateway = await serve()
    body = json.dumps({"model": "reply", "input": "Hi", "voice": "x"}).encode()
    request = b"POST /v1/audio/speech HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    async with gateway.socket(request + b"content-length: %d\r\n\r\n%b" % (len(body), body)) as caller:
        received = await caller.receive_all()
    assert SOUND[:100] in received
    assert not received.endswith(b"0\r\n\r\n"), "the last chunk would say that this was all"
    (row,) = await gateway.rows(1)
    assert row.outcome == "interrupted"


async def test_speech_that_is_refused_falls_back(serve: Serve, provider: FakeProvider) -> None:
    async def by_model(call: Call) -> None:
        await (refuses(503, "overloaded") if call.json["model"] == "tuned" else says(SOUND, headers=WAV))(call)

    provider.paths["/v1/audio/speech"] = by_model
    gateway = await serve()
    answer = await gateway.client.post("/v1/audio/speech", json={"model": "reply", "input": "Hi", "voice": "x"})
    assert (answer.status_code, answer.headers["x-gateway-reason"]) == (200, "overloaded")


@pytest.mark.parametrize("path", ["transcriptions", "translations"])
async def test_a_form_goes_up_as_a_form_with_the_targets_model(serve: Serve, provider: FakeProvider, path: str) -> None:
    provider.paths[f"/v1/audio/{path}"] = says({"text": "Hello."})
    gateway = await serve()
    answer = await gateway.client.post(
        f"/v1/audio/{path}",
        data={"model": "reply", "language": "de", "timestamp_granularities[]": ["word", "segment"]},
        files={"file": ("a.wav", SOUND, "audio/wav")},
    )
    assert answer.json() == {"text": "Hello."}
    call = provider.calls[-1]
    sent = read_form(call.body, (call.header("content-type") or "").encode())
    assert [(part.name, part.filename, part.content) for part in sent.parts] == [
        ("model", None, b"tuned"),
        ("language", None, b"de"),
        ("timestamp_granularities[]", None, b"word"),
        ("timestamp_granularities[]", None, b"segment"),
        ("file", "a.wav", SOUND),
    ]
    (row,) = await gateway.rows(1)
    assert row.endpoint == "transcriptions"


async def test_a_page_of_text_is_relayed_with_its_type(serve: Serve, provider: FakeProvider) -> None:
    provider.paths["/v1/audio/transcriptions"] = says(
        b"1\n00:00 --> 00:01\nHi\n", headers=(("content-type", "text/plain; charset=utf-8"), ("set-cookie", "a=b"))
    )
    gateway = await serve()
    answer = await gateway.client.post(
        "/v1/audio/transcriptions", data={"model": "reply"}, files={"file": ("a.wav", b"RIFF", "audio/wav")}
    )
    assert answer.text.startswith("1\n00:00")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("path", "sent", "status", "words"),
    [
        pytest.param("/v1/embeddings", {"json": {"model": "reply"}}, 400, "'input'", id="no input"),
        pytest.param("/v1/completions", {"json": {"model": "reply"}}, 400, "'prompt'", id="no prompt"),
        pytest.param("/v1/moderations", {"json": {"input": "x"}}, 400, "name of a route", id="no model"),
        pytest.param("/v1/images/edits", {"data": {"prompt": "x"}}, 415, "application/json", id="no form, no JSON"),
        pytest.param(
            "/v1/audio/transcriptions", {"files": {"file": b"x"}}, 400, "name of a route", id="a form without a model"
        ),
        pytest.param(
            "/v1/chat/completions", {"files": {"file": b"x"}}, 415, "takes no forms", id="a form where none belongs"
        ),
        pytest.param("/v1/batches", {"json": {}}, 404, "does not keep batches", id="batches"),
        pytest.param("/v1/files", {"files": {"file": b"x"}}, 404, "does not keep files", id="files"),
        pytest.param("/v1/conversations", {"json": {}}, 404, "does not keep conversations", id="conversations"),
    ],
)
async def test_what_cannot_be_served_is_said(
    serve: Serve, provider: FakeProvider, path: str, sent: dict[str, Any], status: int, words: str
) -> None:
    gateway = await serve()
    answer = await gateway.client.post(path, **sent)
    assert (answer.status_code, words in answer.json()["error"]["message"]) == (status, True), answer.text
    assert provider.calls == []


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/embeddings", "/v1/audio/speech"])
async def test_these_paths_take_nothing_but_a_post(serve: Serve, path: str) -> None:
    gateway = await serve()
    answer = await gateway.client.get(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


USAGE = {"input_tokens": 4, "output_tokens": 1000, "total_tokens": 1004}
PICTURES = [
    {"type": "image_generation.partial_image", "b64_json": "aGk=", "partial_image_index": 0},
    {"type": "image_generation.completed", "b64_json": "aGk=", "usage": USAGE},
]


def events(*shown: dict[str, Any], then: str = "end") -> Script:
    return streams(*(b"data: " + json.dumps(event).encode() + b"\n\n" for event in shown), then=then)


async def test_pictures_that_come_bit_by_bit_are_counted(serve: Serve, provider: FakeProvider) -> None:
    provider.paths["/v1/images/generations"] = events(*PICTURES)
    gateway = await serve()
    asked = {"model": "reply", "prompt": "A hat", "stream": True}
    answer = await gateway.client.post("/v1/images/generations", json=asked)
    assert [json.loads(line[6:]) for line in answer.text.splitlines() if line] == PICTURES
    (row,) = await gateway.rows(1)
    assert (row.stream, row.input_tokens, row.output_tokens, row.usage_source) == (1, 4, 1000, "provider")


async def test_a_stream_of_pictures_that_begins_with_an_error_falls_back(serve: Serve, provider: FakeProvider) -> None:
    async def by_model(call: Call) -> None:
        first = {"error": {"message": "boom", "type": "server_error"}}
        await (events(first) if call.json["model"] == "tuned" else events(*PICTURES))(call)

    provider.paths["/v1/images/generations"] = by_model
    gateway = await serve()
    answer = await gateway.client.post("/v1/images/generations", json={"model": "reply", "stream": True})
    assert (answer.status_code, answer.headers["x-gateway-served-by"]) == (200, "fallback")
    assert "boom" not in answer.text


@pytest.mark.parametrize("then", ["end", "reset"])
async def test_a_stream_of_pictures_that_breaks_off_ends_in_an_error(
    then: str, serve: Serve, provider: FakeProvider
) -> None:
    provider.paths["/v1/images/generations"] = events(PICTURES[0], then=then)
    gateway = await serve()
    answer = await gateway.client.post("/v1/images/generations", json={"model": "reply", "stream": True})
    last = json.loads(answer.text.strip().splitlines()[-1].removeprefix("data: "))
    assert last["error"]["code"] == "upstream_disconnected"
    (row,) = await gateway.rows(1)
    assert row.outcome == "interrupted"


async def test_events_without_a_type_end_where_they_end(serve: Serve, provider: FakeProvider) -> None:
    provider.paths["/v1/audio/transcriptions"] = events({"choices": [{"delta": {"content": "Hello."}}]})
    gateway = await serve()
    answer = await gateway.client.post(
        "/v1/audio/transcriptions", data={"model": "reply", "stream": "true"}, files={"file": ("a.wav", b"RIFF")}
    )
    assert "Hello." in answer.text and "error" not in answer.text
