import socket
from typing import Any

import httpx
import orjson
import pytest

from gateway.sandbox.connection import MAX_BODY_BYTES
from tests.sandbox_server import RunningSandbox

FORUM = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
ASK = [{"role": "user", "content": "How do I change my password?"}]


def raw_call(sandbox: RunningSandbox, **body: Any) -> socket.socket:
    """Send a chat request over a bare socket, and return the socket."""
    payload = orjson.dumps({"model": FORUM, "messages": ASK, **body})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: sandbox\r\nContent-Length: {len(payload)}\r\n\r\n"
    client = socket.create_connection(("127.0.0.1", sandbox.port), timeout=10)
    client.sendall(head.encode() + payload)
    return client


def read_until_end(client: socket.socket, *, silent_after: bytes = b"", times: int = 1) -> tuple[bytes, str]:
    """Return what came, and how it ended: ``fin``, ``reset`` or ``silence`` after so many of these."""
    received = b""
    try:
        while data := client.recv(65_536):
            received += data
            if silent_after and received.count(silent_after) >= times:
                client.settimeout(0.3)
    except ConnectionResetError:
        return received, "reset"
    except TimeoutError:
        return received, "silence"
    return received, "fin"


def events(received: bytes) -> list[str]:
    return [line.removeprefix("data: ") for line in received.decode().split("\n") if line.startswith("data: ")]


def row_when_written(http: httpx.Client) -> dict[str, Any]:
    """Return the bill's only row, once the server has noticed the end of the attempt; bounded by count."""
    for _ in range(2_000):
        if rows := http.get("/sandbox/bill").json()["rows"]:
            assert len(rows) == 1
            return rows[0]
    raise AssertionError("no row was written")


def streamed(http: httpx.Client, **body: Any) -> list[Any]:
    response = http.post("/v1/chat/completions", json={"model": FORUM, "messages": ASK, "stream": True, **body})
    assert response.headers["content-type"].startswith("text/event-stream")
    *chunks, done = events(response.content)
    assert done == "[DONE]"
    return [orjson.loads(chunk) for chunk in chunks]


def test_a_stream_says_the_same_as_a_whole_answer(http: httpx.Client) -> None:
    whole = http.post("/v1/chat/completions", json={"model": FORUM, "messages": ASK}).json()
    chunks = streamed(http)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": "", "refusal": None}
    assert "".join(delta.get("content", "") for delta in deltas) == whole["choices"][0]["message"]["content"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[-2:]] == [None, "stop"]
    assert len({chunk["id"] for chunk in chunks}) == 1
    first, second = http.get("/sandbox/bill").json()["rows"]
    assert first == second


def test_usage_comes_last_and_only_when_it_is_asked_for(http: httpx.Client) -> None:
    *chunks, last = streamed(http, stream_options={"include_usage": True})
    assert last["choices"] == []
    assert all(chunk["usage"] is None for chunk in chunks)
    [row] = http.get("/sandbox/bill").json()["rows"]
    assert (last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]) == (
        row["input_tokens"],
        row["output_tokens"],
    )
    assert not any("usage" in chunk for chunk in streamed(http))


def test_a_client_that_leaves_mid_stream_pays_for_the_tokens_sent(sandbox: RunningSandbox, http: httpx.Client) -> None:
    http.post(f"/sandbox/models/{FORUM}", json={"tokens_per_s": 5}).raise_for_status()
    client = raw_call(sandbox, stream=True)
    received = b""
    while len(events(received)) < 4:
        received += client.recv(65_536)
    client.close()
    row = row_when_written(http)
    assert (row["status"], row["complete"], row["served"]) == (200, False, FORUM)
    assert 4 <= row["output_tokens"] < 20
    assert row["cost_nanousd"] == row["input_tokens"] * 300 + row["output_tokens"] * 1_200


def test_a_client_that_leaves_before_the_headers_pays_nothing(sandbox: RunningSandbox, http: httpx.Client) -> None:
    raw_call(sandbox, model="fault-slow-headers").close()
    row = row_when_written(http)
    assert (row["asked"], row["status"], row["complete"], row["cost_nanousd"]) == (
        "fault-slow-headers",
        None,
        False,
        0,
    )


def test_headers_come_before_the_first_event_and_after_the_latency(sandbox: RunningSandbox, http: httpx.Client) -> None:
    http.post(f"/sandbox/models/{FORUM}", json={"first_token_ms": 60_000}).raise_for_status()
    client = raw_call(sandbox, stream=True)
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(65_536)
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert events(received) == []
    client.close()
    row = row_when_written(http)
    assert (row["complete"], row["output_tokens"]) == (False, 0)


def test_slow_headers_are_slow(sandbox: RunningSandbox) -> None:
    client = raw_call(sandbox, model="fault-slow-headers")
    client.settimeout(0.3)
    assert read_until_end(client) == (b"", "silence")
    client.close()


def test_a_slow_model_keeps_its_pace(http: httpx.Client) -> None:
    http.post(f"/sandbox/models/{FORUM}", json={"latency_ms": 100, "tokens_per_s": 200}).raise_for_status()
    response = http.post("/v1/chat/completions", json={"model": FORUM, "messages": ASK})
    expected_s = 0.1 + response.json()["usage"]["completion_tokens"] / 200
    assert expected_s <= response.elapsed.total_seconds() < expected_s + 2


def test_a_tool_call_is_streamed_name_first(http: httpx.Client) -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "change_password",
            "parameters": {"type": "object", "properties": {"hint": {"type": "string"}, "length": {"type": "integer"}}},
        },
    }
    chunks = streamed(http, tools=[tool])
    calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert calls[0]["id"].startswith("call_")
    assert calls[0]["function"] == {"name": "change_password", "arguments": ""}
    assert all(set(call) == {"index", "function"} for call in calls[1:])
    arguments = orjson.loads("".join(call["function"]["arguments"] for call in calls))
    assert set(arguments) == {"hint", "length"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("model", "ending", "sent_events", "output_tokens"),
    [
        pytest.param("fault-reset", "reset", 5, 7, id="reset after five events"),
        pytest.param("fault-cut", "fin", 5, 7, id="a clean end after five events"),
        pytest.param("fault-stall", "silence", 5, 7, id="silence after five events"),
    ],
)
def test_a_stream_breaks_off(
    sandbox: RunningSandbox, http: httpx.Client, model: str, ending: str, sent_events: int, output_tokens: int
) -> None:
    client = raw_call(sandbox, model=model, stream=True)
    received, how = read_until_end(client, silent_after=b"data: " if ending == "silence" else b"", times=5)
    client.close()
    assert (how, len(events(received))) == (ending, sent_events)
    assert b'"finish_reason":"' not in received
    assert b"[DONE]" not in received
    row = row_when_written(http)
    assert (row["status"], row["complete"], row["output_tokens"]) == (200, False, output_tokens)


@pytest.mark.parametrize(
    ("model", "ending", "status", "billed"),
    [
        pytest.param("fault-reset", "reset", None, False, id="reset before the headers"),
        pytest.param("fault-cut", "fin", 200, True, id="half a body, then FIN"),
        pytest.param("fault-stall", "silence", 200, True, id="half a body, then silence"),
    ],
)
def test_a_whole_answer_breaks_off(
    sandbox: RunningSandbox, http: httpx.Client, model: str, ending: str, status: int | None, billed: bool
) -> None:
    client = raw_call(sandbox, model=model)
    received, how = read_until_end(client, silent_after=b'"content":' if ending == "silence" else b"")
    client.close()
    assert how == ending
    assert (b"content-length" in received) == (status is not None)
    row = row_when_written(http)
    assert (row["status"], row["complete"], row["cost_nanousd"] > 0) == (status, False, billed)


def test_a_malformed_event_comes_after_three_good_ones(http: httpx.Client) -> None:
    body = {"model": "fault-malformed", "messages": ASK, "stream": True}
    sent = events(http.post("/v1/chat/completions", json=body).content)
    for good in sent[:3]:
        orjson.loads(good)
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(sent[3])
    assert row_when_written(http)["complete"] is False


def test_a_malformed_whole_answer_is_no_json(http: httpx.Client) -> None:
    response = http.post("/v1/chat/completions", json={"model": "fault-malformed", "messages": ASK})
    assert response.status_code == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        response.json()


def test_a_rate_limit_says_when_to_come_back(http: httpx.Client) -> None:
    response = http.post("/v1/chat/completions", json={"model": "fault-429", "messages": ASK})
    assert (response.status_code, response.headers["retry-after"]) == (429, "2")
    assert response.json()["error"]["code"] == "rate_limit_exceeded"


def test_server_errors_are_500_and_503_by_turns(http: httpx.Client) -> None:
    body = {"model": "fault-5xx", "messages": ASK, "stream": True}
    assert [http.post("/v1/chat/completions", json=body).status_code for _ in range(4)] == [500, 503, 500, 503]
    assert {row["cost_nanousd"] for row in http.get("/sandbox/bill").json()["rows"]} == {0}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_error_hides_in_a_200(http: httpx.Client, stream: bool) -> None:
    body = {"model": "fault-error-in-200", "messages": ASK, "stream": stream}
    response = http.post("/v1/chat/completions", json=body)
    assert response.status_code == 200
    [sent] = events(response.content) if stream else [response.text]
    assert orjson.loads(sent)["error"]["type"] == "server_error"
    row = row_when_written(http)
    assert (row["status"], row["served"], row["complete"], row["cost_nanousd"]) == (200, None, False, 0)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_substitute_names_itself_and_is_billed_at_its_own_price(http: httpx.Client, stream: bool) -> None:
    body = {"model": "fault-substitute", "messages": ASK, "stream": stream}
    sent = http.post("/v1/chat/completions", json=body)
    answer = orjson.loads(events(sent.content)[0]) if stream else sent.json()
    assert answer["model"] == "gpt-4.1-mini-2025-04-14"
    row = row_when_written(http)
    assert (row["asked"], row["served"], row["complete"]) == ("fault-substitute", "gpt-4.1-mini-2025-04-14", True)
    assert row["cost_nanousd"] == row["input_tokens"] * 400 + row["output_tokens"] * 1_600


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_answer_states_the_models_rate_limits(http: httpx.Client, stream: bool) -> None:
    sent = http.post("/v1/chat/completions", json={"model": FORUM, "messages": ASK, "stream": stream})
    stated = {name: sent.headers[f"x-ratelimit-limit-{name}"] for name in ("requests", "tokens")}
    assert stated == {"requests": "10000", "tokens": "2000000"}


def test_a_body_may_come_in_pieces(sandbox: RunningSandbox) -> None:
    payload = orjson.dumps({"model": FORUM, "messages": ASK})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: sandbox\r\nContent-Length: {len(payload)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=10) as client:
        for start in range(0, len(head + payload), 50):
            client.send((head + payload)[start : start + 50])
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 OK")


def test_a_body_beyond_the_limit_is_a_413(http: httpx.Client) -> None:
    response = http.post("/v1/chat/completions", content=b" " * (MAX_BODY_BYTES + 1))
    assert response.status_code == 413
    assert row_when_written(http)["status"] == 413
