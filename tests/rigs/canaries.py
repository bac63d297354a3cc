"""Canaries: secrets that are known again in whatever form they get out, and a provider that does its best to tell."""

import base64
import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final
from urllib.parse import quote, quote_plus

LEAST: Final = 12
"""Characters of an encoded secret that are still looked for, where its edges depend on what stands beside it."""


def forms_of(secret: str) -> Iterator[tuple[str, bytes]]:
    """Return each form in which a secret is still that secret: what it is, and its bytes."""
    plain = secret.encode()
    yield "plain", plain
    yield "reversed", plain[::-1]
    yield "hex", plain.hex().encode()
    yield "HEX", plain.hex().upper().encode()
    yield "URL", quote(secret, safe="").encode()
    yield "URL of a form", quote_plus(secret).encode()
    yield "every byte as %XX", "".join(f"%{byte:02X}" for byte in plain).encode()
    yield "JSON", json.dumps(secret)[1:-1].encode()
    yield "JSON in JSON", json.dumps(json.dumps(secret))[1:-1].strip('\\"').encode()
    yield "Python", repr(secret)[1:-1].encode()
    yield "HTML", secret.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&#34;").encode()
    for shift in range(3):
        # Which characters stand for a byte depends on how many there are before it; the edges hold neighbours' bits.
        for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
            text = encode(bytes(shift) + plain + bytes((3 - (shift + len(plain)) % 3) % 3))
            first, last = -(-shift * 8 // 6), (shift + len(plain)) * 8 // 6
            yield f"{name}, {shift} behind a border", text[first + (1 if shift else 0) : last - 1]


@dataclass
class Canaries:
    """All secrets of a stage, by what they are."""

    secrets: dict[str, str]
    _forms: list[tuple[str, str, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, secret in self.secrets.items():
            assert len(secret) >= 16, name
            for form, found in {found: form for form, found in forms_of(secret)}.items():
                assert len(form) >= LEAST
                self._forms.append((name, found, form))

    def found_in(self, output: bytes) -> list[str]:
        """Return what got out, and how."""
        return [
            f"{name} ({form}): …{_around(output, needle)}…" for name, form, needle in self._forms if needle in output
        ]

    def absent_from(self, outputs: Iterable[tuple[str, bytes]]) -> None:
        """Assert that no output holds any."""
        told = [f"{where}: {what}" for where, output in outputs for what in self.found_in(output)]
        assert told == [], "\n".join(told[:40])


def _around(output: bytes, needle: bytes) -> str:
    at = output.index(needle)
    return ascii(output[max(0, at - 80) : at + len(needle) + 20])


# A provider that tells.


Tell = Callable[[str], tuple[int, dict[str, str], bytes]]
"""Makes an answer of the credential that it was called with: status, headers, body."""


def _error(status: int, **fields: Any) -> Tell:
    def tell(key: str) -> tuple[int, dict[str, str], bytes]:
        usual = {"message": "No.", "type": "invalid_request_error", "param": None, "code": None}
        error = usual | {name: value.replace("KEY", key) for name, value in fields.items()}
        return status, {"content-type": "application/json"}, json.dumps({"error": error}).encode()

    return tell


def _raw(status: int, type_: str, text: str, **headers: str) -> Tell:
    def tell(key: str) -> tuple[int, dict[str, str], bytes]:
        sent = {name.replace("_", "-"): value.replace("KEY", key) for name, value in headers.items()}
        return status, {"content-type": type_, **sent}, text.replace("KEY", key).encode()

    return tell


def _encoded(encode: Callable[[str], str]) -> Tell:
    return lambda key: _error(400, message=f"refused: {encode(key)}")(key)


_COMPLETION: Final = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    }
)
_CHUNK: Final = json.dumps(
    {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": "Hi"}}],
    }
)
TELLS: Final[dict[str, Tell]] = {
    "says-key-401": _error(401, message="Incorrect API key provided: KEY. Find yours at …", code="invalid_api_key"),
    "says-key-403": _error(403, message="The key KEY may not do this."),
    "says-key-400": _error(400, message="Cannot read what was sent with Authorization: Bearer KEY"),
    "says-key-400-elsewhere": _error(400, message="No.", type="KEY", param="KEY", code="KEY"),
    "says-key-404": _error(
        404, message="The model does not exist, or KEY has no access to it.", code="model_not_found"
    ),
    "says-key-409": _error(409, message="KEY"),
    "says-key-422": _error(422, message="[KEY]"),
    "says-key-429": _error(429, message="Rate limit of KEY reached.", code="rate_limit_exceeded"),
    "says-key-500": _error(500, message="Traceback: headers={'authorization': 'Bearer KEY'}"),
    "says-key-503": _error(503, message="KEY is overloaded"),
    "says-key-html": _raw(502, "text/html", "<html><b>KEY</b></html>"),
    "says-key-html-400": _raw(400, "text/html", "<html><b>Bearer KEY</b></html>"),
    "says-key-text": _raw(400, "text/plain", "KEY"),
    "says-key-in-headers": _raw(
        200,
        "application/json",
        _COMPLETION,
        set_cookie="k=KEY",
        x_request_id="KEY",
        www_authenticate="Bearer KEY",
        openai_organization="KEY",
        x_echo="KEY",
        x_ratelimit_limit_requests="KEY",
        retry_after="KEY",
        location="/KEY",
        server="KEY",
        x_gateway_route="KEY",
        access_control_allow_origin="*",
    ),
    "says-key-in-headers-429": _raw(429, "application/json", "{}", retry_after="KEY", x_request_id="KEY", x_echo="KEY"),
    "says-key-in-headers-400": _raw(
        400, "application/json", '{"error":{"message":"no"}}', x_request_id="KEY", x_echo="KEY"
    ),
    "says-key-redirect": _raw(302, "text/html", "KEY", location="http://127.0.0.1:1/?key=KEY"),
    "says-key-in-200": _raw(200, "application/json", '{"error":{"message":"KEY","code":"KEY"}}'),
    "says-key-not-json": _raw(200, "application/json", "KEY"),
    "says-key-in-stream": _raw(
        200, "text/event-stream", 'data: {"error":{"message":"KEY","type":"KEY","code":"KEY"}}\n\n'
    ),
    "says-key-late": _raw(
        200, "text/event-stream", f'data: {_CHUNK}\n\ndata: {{"error":{{"message":"KEY","code":"KEY"}}}}\n\n'
    ),
    "says-key-garbled": _raw(
        200, "text/event-stream", f"data: {_CHUNK}\n\ndata: KEY\n\n: KEY\n\nevent: KEY\ndata: [DONE]\n\n"
    ),
    "says-key-response-failed": _raw(
        200,
        "text/event-stream",
        'event: response.created\ndata: {"type":"response.created","response":{"id":"resp_1","model":"m"}}\n\n'
        'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"Hi"}\n\n'
        'event: response.failed\ndata: {"type":"response.failed","response":{"id":"resp_1",'
        '"error":{"message":"KEY","code":"KEY"}}}\n\n',
    ),
    "says-key-response": _raw(
        200,
        "application/json",
        '{"id":"resp_1","object":"response","output":[],"error":{"message":"KEY","code":"KEY"}}',
    ),
    "says-key-cut": _error(400, message="x" * 485 + " KEY"),
    "says-key-base64": _encoded(lambda key: base64.b64encode(f"user:{key}".encode()).decode()),
    "says-key-url": _encoded(lambda key: quote(key, safe="")),
    "says-key-hex": _encoded(lambda key: key.encode().hex()),
    "says-key-json": _encoded(lambda key: json.dumps({"authorization": f"Bearer {key}"})),
}


@dataclass
class TellingProvider:
    """Answers each model of ``TELLS`` as it says, and takes webhooks and spans, which it keeps and refuses."""

    port: int = 0
    taken: list[bytes] = field(default_factory=list)
    """Bodies of webhooks and of spans: what leaves the gateway, and must hold no secret."""
    told: set[str] = field(default_factory=set)
    """Which of ``TELLS`` it was asked for."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def running_telling_provider() -> Iterator[TellingProvider]:
    """Serve on a free port until the end."""
    provider = TellingProvider()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            key = (self.headers.get("authorization") or "").removeprefix("Bearer ")
            if not self.path.startswith("/v1/") or self.path == "/v1/traces":
                provider.taken.append(body)
                self._say(500, {}, key.encode())
                return
            model = next((name for name in sorted(TELLS, key=len, reverse=True) if name.encode() in body), None)
            provider.told |= {model} if model else set()
            self._say(*(TELLS[model](key) if model else _raw(200, "application/json", _COMPLETION)(key)))

        def do_GET(self) -> None:
            key = (self.headers.get("authorization") or "").removeprefix("Bearer ")
            self._say(*_error(401, message="Not listed to KEY")(key))

        def _say(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    provider.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
