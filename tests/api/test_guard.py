import pytest

from gateway.api.guard import Guard, RawHeaders, request_id
from gateway.errors import ForbiddenOrigin, GatewayError, TwoCredentials, Unauthenticated, UnsupportedMediaType

CHAT = "/v1/chat/completions"
JSON = (b"content-type", b"application/json")
KEY, ADMIN_KEY = "sk-caller", "sk-admin"
OPEN, KEYED = Guard(None, None), Guard(KEY, ADMIN_KEY)


def bearer(secret: str) -> tuple[bytes, bytes]:
    return (b"authorization", b"Bearer " + secret.encode())


# Without keys: this machine only.


@pytest.mark.parametrize(
    "host",
    [
        pytest.param(b"localhost", id="localhost"),
        pytest.param(b"localhost:8080", id="localhost with a port"),
        pytest.param(b"LOCALHOST:8080", id="in capitals"),
        pytest.param(b"127.0.0.1", id="the IPv4 address"),
        pytest.param(b"127.0.0.1:8080", id="the IPv4 address with a port"),
        pytest.param(b"[::1]", id="the IPv6 address"),
        pytest.param(b"[::1]:8080", id="the IPv6 address with a port"),
        pytest.param(b"", id="an empty one: no browser sends it"),
    ],
)
def test_a_host_of_this_machine_may_call_an_open_gateway(host: bytes) -> None:
    assert Guard(None, None).admit("POST", CHAT, [(b"host", host), JSON]) is None


@pytest.mark.parametrize(
    "host",
    [
        pytest.param(b"evil.example", id="another name"),
        pytest.param(b"evil.example:8080", id="another name with our port"),
        pytest.param(b"localhost.evil.example", id="a name that begins like ours"),
        pytest.param(b"evil-localhost", id="a name that ends like ours"),
        pytest.param(b"127.0.0.1.evil.example", id="a name that begins like our address"),
        pytest.param(b"localhost@evil.example", id="ours as a user's name"),
        pytest.param(b"127.0.0.2", id="another loopback address"),
        pytest.param(b"192.168.0.1", id="an address of the network"),
        pytest.param(b"0.0.0.0", id="every address"),
        pytest.param(b"[::]", id="every IPv6 address"),
        pytest.param(b"[::ffff:127.0.0.1]", id="an IPv4 address dressed as IPv6"),
        pytest.param(b"[::1", id="a bracket that does not close"),
        pytest.param(b"[localhost]", id="a name in brackets"),
        pytest.param(b"::1", id="IPv6 without brackets"),
        pytest.param(b":8080", id="only a port"),
        pytest.param(b"localhost.", id="a dot behind it"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"?localhost", id="a query"),
        pytest.param(b"/localhost", id="a path"),
    ],
)
def test_another_host_may_not(host: bytes) -> None:
    with pytest.raises(ForbiddenOrigin) as raised:
        Guard(None, None).admit("POST", CHAT, [(b"host", host), JSON])
    assert raised.value.status == 403


def test_a_host_that_was_let_in_lets_no_other_in() -> None:
    guard = Guard(None, None)
    for _ in range(2):
        guard.admit("POST", CHAT, [(b"host", b"localhost"), JSON])
        with pytest.raises(ForbiddenOrigin):
            guard.admit("POST", CHAT, [(b"host", b"evil.example"), JSON])
        with pytest.raises(ForbiddenOrigin):
            guard.admit("POST", CHAT, [(b"host", b"localhost"), (b"origin", b"http://evil.example"), JSON])


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param(b"http://localhost", id="localhost"),
        pytest.param(b"http://localhost:3000", id="another port of this machine: a developer's page"),
        pytest.param(b"https://127.0.0.1:8443", id="the IPv4 address"),
        pytest.param(b"http://[::1]:3000", id="the IPv6 address"),
    ],
)
def test_a_page_of_this_machine_may_call_an_open_gateway(origin: bytes) -> None:
    assert OPEN.admit("POST", CHAT, [(b"host", b"localhost"), (b"origin", origin), JSON]) is None


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param(b"https://evil.example", id="another site"),
        pytest.param(b"http://localhost.evil.example", id="a site that begins like us"),
        pytest.param(b"http://localhost@evil.example", id="ours as a user's name"),
        pytest.param(b"null", id="null: a sandboxed frame, or a file"),
        pytest.param(b"file://", id="a file"),
        pytest.param(b"localhost", id="no URL"),
        pytest.param(b"http://[", id="half a URL"),
        pytest.param(b"chrome-extension://abcdefgh", id="an extension"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_page_of_another_origin_may_not(method: str, origin: bytes) -> None:
    with pytest.raises(ForbiddenOrigin):
        OPEN.admit(method, CHAT, [(b"host", b"localhost"), (b"origin", origin), JSON])


def test_with_keys_any_host_and_origin_may_call() -> None:
    headers = [(b"host", b"gateway.acme.example"), (b"origin", b"https://app.acme.example"), bearer(KEY), JSON]
    assert KEYED.admit("POST", CHAT, headers) == "default"


# With keys.


@pytest.mark.parametrize(
    ("header", "label"),
    [
        pytest.param(bearer(KEY), "default", id="a Bearer token"),
        pytest.param((b"authorization", b"bearer sk-caller"), "default", id="in small letters"),
        pytest.param((b"authorization", b"sk-caller"), "default", id="without the word"),
        pytest.param((b"api-key", b"sk-caller"), "default", id="as Azure's clients send it"),
        pytest.param((b"x-api-key", b"sk-caller"), "default", id="as Anthropic's clients send it"),
        pytest.param(bearer(ADMIN_KEY), "admin", id="the operator's key"),
    ],
)
def test_the_right_key_is_let_in_by_its_label(header: tuple[bytes, bytes], label: str) -> None:
    assert KEYED.admit("POST", CHAT, [header, JSON]) == label


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="none"),
        pytest.param([bearer("sk-wrong")], id="a wrong one"),
        pytest.param([bearer("")], id="an empty one"),
        pytest.param([(b"authorization", b"")], id="an empty header"),
        pytest.param([bearer(KEY + "x")], id="more than the key"),
        pytest.param([bearer(KEY[:-1])], id="less than the key"),
        pytest.param([bearer(KEY.upper())], id="in capitals"),
        pytest.param([(b"authorization", b"Basic sk-caller")], id="another scheme"),
        pytest.param([(b"authorization", b"Bearer \xff\xfe")], id="no text"),
        pytest.param([(b"cookie", b"key=sk-caller")], id="in a cookie"),
    ],
)
def test_without_the_right_key_nobody_is_let_in(headers: RawHeaders) -> None:
    with pytest.raises(Unauthenticated) as raised:
        KEYED.admit("POST", CHAT, [*headers, JSON])
    assert raised.value.status == 401
    assert KEY not in raised.value.message


@pytest.mark.parametrize(
    ("guard", "secret"),
    [
        pytest.param(KEYED, KEY, id="a caller's key"),
        pytest.param(Guard(KEY, None), KEY, id="a caller's key where there is no operator's"),
        pytest.param(Guard(KEY, None), "", id="an empty key where there is no operator's"),
    ],
)
def test_the_operators_paths_want_the_operators_key(guard: Guard, secret: str) -> None:
    with pytest.raises(Unauthenticated):
        guard.admit("GET", "/admin/keys", [bearer(secret)])
    assert KEYED.admit("GET", "/admin/keys", [bearer(ADMIN_KEY)]) == "admin"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([bearer(KEY), bearer(KEY)], id="the same header twice"),
        pytest.param([bearer(KEY), (b"api-key", b"sk-caller")], id="two headers"),
        pytest.param([(b"x-api-key", b"a"), (b"api-key", b"b")], id="two of other names"),
    ],
)
@pytest.mark.parametrize("guard", [pytest.param(OPEN, id="open"), pytest.param(KEYED, id="with keys")])
def test_two_credentials_are_refused(guard: Guard, headers: RawHeaders) -> None:
    with pytest.raises(TwoCredentials) as raised:
        guard.admit("POST", CHAT, [*headers, JSON])
    assert raised.value.status == 400


def test_openness_is_told() -> None:
    assert (OPEN.is_open, KEYED.is_open) == (True, False)


# Bodies.


@pytest.mark.parametrize(
    ("content_type", "taken"),
    [
        pytest.param(b"application/json", True, id="JSON"),
        pytest.param(b"Application/JSON; charset=utf-8", True, id="JSON with a parameter, in capitals"),
        pytest.param(b"multipart/form-data; boundary=x", True, id="multipart"),
        pytest.param(b"text/plain", False, id="text, which a page may send unasked"),
        pytest.param(b"application/x-www-form-urlencoded", False, id="a form"),
        pytest.param(b"", False, id="nothing"),
    ],
)
@pytest.mark.parametrize("guard", [pytest.param(OPEN, id="open"), pytest.param(KEYED, id="with keys")])
def test_a_bodys_type(guard: Guard, content_type: bytes, taken: bool) -> None:
    headers = [(b"host", b"localhost"), (b"content-type", content_type), *([] if guard is OPEN else [bearer(KEY)])]
    error: type[GatewayError] | None = None
    try:
        guard.admit("POST", CHAT, headers)
    except UnsupportedMediaType as raised:
        error = type(raised)
    assert (error is None) is taken


def test_a_compressed_body_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType) as raised:
        OPEN.admit("POST", CHAT, [(b"host", b"localhost"), JSON, (b"content-encoding", b"gzip")])
    assert raised.value.status == 415
    assert OPEN.admit("POST", CHAT, [(b"host", b"localhost"), JSON, (b"content-encoding", b"identity")]) is None


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_need_nothing(path: str) -> None:
    assert KEYED.admit("GET", path, [(b"host", b"10.0.0.7:8080")]) is None
    assert OPEN.admit("GET", path, [(b"host", b"10.0.0.7:8080")]) is None


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        pytest.param(b"req_1-A", True, id="letters, digits, dash and underscore"),
        pytest.param(b"x" * 64, True, id="64 characters"),
        pytest.param(b"x" * 65, False, id="65 characters"),
        pytest.param(b"", False, id="empty"),
        pytest.param(b"a b", False, id="a space"),
        pytest.param(b'a"b', False, id="a quote"),
        pytest.param(b"a\n", False, id="a line end"),
        pytest.param("ä".encode(), False, id="no ASCII"),
    ],
)
def test_a_callers_request_id_is_kept_where_it_is_harmless(value: bytes, kept: bool) -> None:
    assert request_id([(b"host", b"h"), (b"x-request-id", value)]) == (value if kept else None)


def test_no_request_id_is_none() -> None:
    assert request_id([(b"host", b"h")]) is None
