"""The corpus of ambiguous requests against the real gateway, direct and behind nginx: nothing of it goes upstream."""

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from programs import required

from benchmarks.nginx import nginx_path
from tests.gateway_server import free_port, running_process
from tests.rigs.limited_gateway import GOOD, LimitedGateway, eventually, limited_gateway

pytestmark = pytest.mark.rig
CORPUS: Final = Path(__file__).parents[1] / "data" / "ambiguous_requests.jsonl"
QUIET_S: Final = 0.1
"""nginx keeps connections whose requests it has taken for plain ones."""
ROWS: Final[list[dict[str, Any]]] = [json.loads(line) for line in CORPUS.read_text().splitlines()]


def said(port: int, raw: bytes, patience_s: float = 20.0) -> list[int]:
    """Send a payload; return the status of every answer."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(raw)
        with contextlib.suppress(TimeoutError, ConnectionError):
            connection.settimeout(patience_s)
            while part := connection.recv(65_536):
                answer += part
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) [A-Z]", answer)]


def asked_upward(gateway: LimitedGateway) -> None:
    """What reached the provider is the gateway's own: one length, no coding, the body that was parsed."""
    for head in (head for head in gateway.provider.heads if head.startswith(b"POST ")):
        names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:-2]]
        assert names.count(b"content-length") == 1 and b"transfer-encoding" not in names
        assert not {b"upgrade", b"te", b"trailer", b"expect", b"x-smuggled"} & set(names)


def test_direct(tmp_path: Path) -> None:
    with limited_gateway(tmp_path) as gateway:
        for row in ROWS:
            assert said(gateway.port, row["raw"].encode("latin-1")) == [400], row["name"]
        assert not any(gateway.provider.bodies)
        body = json.dumps(GOOD).encode()
        chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        framing = b"Transfer-Encoding: chunked\r\nTE: trailers\r\nExpect: 100-continue\r\nX-Smuggled: y\r\n"
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        assert said(gateway.port, head + b"Connection: close, x-smuggled\r\n" + framing + b"\r\n" + chunks) == [
            100,
            200,
        ]
        assert [json.loads(sent)["messages"] for sent in gateway.provider.bodies if sent] == [GOOD["messages"]]
        asked_upward(gateway)
        refusals = gateway.refusals()
    assert refusals["smuggling"] + refusals["malformed"] == len(ROWS)


@contextlib.contextmanager
def running_nginx(directory: Path, gateway: LimitedGateway) -> Iterator[int]:
    """A proxy that keeps one connection to the gateway for everybody, and hands bodies on as they come."""
    path = nginx_path() or required("nginx")
    port, config = free_port(), directory / "nginx.conf"
    temporary = "".join(
        f"{name}_temp_path {directory}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(
        f"worker_processes 1;\ndaemon off;\npid {directory}/nginx.pid;\nevents {{ worker_connections 256; }}\n"
        f"http {{\naccess_log off;\n{temporary}"
        f"upstream gateway {{ server 127.0.0.1:{gateway.port}; keepalive 1; }}\n"
        f"server {{ listen 127.0.0.1:{port};\nlocation / {{ proxy_pass http://gateway; proxy_http_version 1.1;"
        ' proxy_request_buffering off; proxy_set_header Connection ""; proxy_set_header Host localhost; }\n}\n}\n'
    )
    command = (path, "-p", str(directory), "-e", "stderr", "-c", str(config))
    with running_process(command, directory / "nginx.log"):
        eventually(lambda: _answers(port), "nginx answers")
        yield port


def _answers(port: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200
    return False


def test_behind_nginx_nobody_gets_another_ones_answer(tmp_path: Path) -> None:
    with limited_gateway(tmp_path) as gateway, running_nginx(tmp_path, gateway) as port:
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        passed = 0
        for at, row in enumerate(ROWS):
            statuses = said(port, row["raw"].encode("latin-1"), QUIET_S)
            # What nginx makes one plain request of is one: the corpus' own words are no task of this gateway.
            assert not {status for status in statuses if 200 <= status < 300}, (row["name"], statuses)
            passed += len(statuses) > 1
            id_ = f"honest-{at}"
            answer = httpx.post(url, json=GOOD, headers={"x-request-id": id_}, trust_env=False, timeout=20)
            assert (answer.status_code, answer.headers["x-request-id"]) == (200, id_), row["name"]
        asked_upward(gateway)
        asked = [json.loads(body)["messages"] for body in gateway.provider.bodies if body]
        assert asked == [GOOD["messages"]] * len(ROWS)
    print(f"{len(ROWS)} payloads, of {passed} nginx made two requests")
