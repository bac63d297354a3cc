import socket
import subprocess
import sys
import time

import httpx
import pytest

from gateway.sandbox.server import listen
from tests.sandbox_server import running_sandbox

ASK = [{"role": "user", "content": "How?"}]


def test_an_address_that_is_taken_is_an_error_that_the_caller_sees() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", taken.getsockname()[1])


def test_a_stalled_stream_does_not_keep_the_sandbox_from_stopping() -> None:
    with running_sandbox() as sandbox:
        body = {"model": "fault-stall", "messages": ASK, "stream": True}
        client = httpx.Client(base_url=sandbox.url)
        response = client.send(client.build_request("POST", "/v1/chat/completions", json=body), stream=True)
        events = response.iter_lines()
        assert next(events).startswith("data: ")
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 3
    with pytest.raises(httpx.TransportError):
        list(events)
    client.close()


def test_it_serves_as_a_process_of_its_own_until_it_is_interrupted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    code = f"from gateway.sandbox.server import serve_sandbox; serve_sandbox('127.0.0.1', {port})"
    process = subprocess.Popen([sys.executable, "-W", "error", "-c", code], stderr=subprocess.PIPE)
    try:
        transport = httpx.HTTPTransport(retries=8)
        with httpx.Client(transport=transport, base_url=f"http://127.0.0.1:{port}") as client:
            assert client.get("/v1/models").status_code == 200
        process.send_signal(2)
        _, complaints = process.communicate(timeout=15)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, complaints) == (0, b"")
