from dataclasses import replace
from datetime import timedelta

import pytest
from fake_clock import FakeClock

from gateway.api.failures import MOST_PEERS, Failures
from gateway.api.guard import WRONG_KEYS_A_MINUTE, Guard, RawHeaders, peer_of, request_id
from gateway.config.callers import ANYBODY, Caller, KeyRole
from gateway.errors import (
    ForbiddenOrigin,
    GatewayError,
    InvalidRequest,
    KeysUnavailable,
    NotAllowed,
    NotFound,
    TooManyFailures,
    TwoCredentials,
    Unauthenticated,
    UnsupportedMediaType,
)
from gateway.execution.key_ring import KeyRing

CHAT = "/v1/chat/completions"
JSON = (b"content-type", b"application/json")
KEY, ADMIN_KEY = "sk-caller", "sk-admin"
PEPPER = b"p" * 32


def guard_of(key: str | None = None, admin_key: str | None = None, *, admits_all: bool = False) -> Guard:
    return Guard(KeyRing(key, admin_key), FakeClock(), admits_all=admits_all)


OPEN, KEYED = guard_of(), guard_of(KEY, ADMIN_KEY)


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
    assert guard_of().admit("POST", CHAT, [(b"host", host), JSON]) is ANYBODY


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
        guard_of().admit("POST", CHAT, [(b"host", host), JSON])
    assert raised.value.status == 403


def test_a_host_that_was_let_in_lets_no_other_in() -> None:
    guard = guard_of()
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
    assert OPEN.admit("POST", CHAT, [(b"host", b"localhost"), (b"origin", origin), JSON]) is ANYBODY


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
    assert KEYED.admit("POST", CHAT, headers).name == "default"


# With keys.


@pytest.mark.parametrize(
    ("header", "label"),
    [
        pytest.param(bearer(KEY), "default", id="a Bearer token"),
        pytest.param((b"authorization", b"bearer sk-caller"), "default", id="in small letters"),
        pytest.param((b"authorization", b"Bearer  sk-caller \t"), "default", id="with more blanks than one"),
        pytest.param((b"authorization", b"sk-caller"), "default", id="without the word"),
        pytest.param((b"api-key", b"sk-caller"), "default", id="as Azure's clients send it"),
        pytest.param((b"x-api-key", b"sk-caller"), "default", id="as Anthropic's clients send it"),
        pytest.param(bearer(ADMIN_KEY), "admin", id="the operator's key"),
    ],
)
def test_the_right_key_is_let_in_by_its_label(header: tuple[bytes, bytes], label: str) -> None:
    assert KEYED.admit("POST", CHAT, [header, JSON]).name == label


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
    ("guard", "shown", "error", "says"),
    [
        pytest.param(KEYED, KEY, NotAllowed, "takes the administrator's", id="a caller's key"),
        pytest.param(KEYED, "sk-wrong", Unauthenticated, "no key of this gateway", id="a wrong key"),
        pytest.param(
            guard_of(KEY), KEY, Unauthenticated, "GATEWAY_ADMIN_KEY", id="a caller's where there is no admin's"
        ),
        pytest.param(guard_of(KEY), "", Unauthenticated, "GATEWAY_ADMIN_KEY", id="none where there is no admin's"),
        pytest.param(OPEN, "", Unauthenticated, "GATEWAY_ADMIN_KEY", id="none where there are no keys at all"),
        pytest.param(
            guard_of(None, ADMIN_KEY), "", Unauthenticated, "Bearer", id="none where the admin's is the only one"
        ),
    ],
)
def test_what_is_the_admins_wants_the_admins_key(
    guard: Guard, shown: str, error: type[GatewayError], says: str
) -> None:
    headers = [(b"host", b"localhost"), *([bearer(shown)] if shown else [])]
    with pytest.raises(error, match=says) as raised:
        guard.admit("GET", "/admin/keys", headers)
    assert raised.value.status == (401 if error is Unauthenticated else 403)


@pytest.mark.parametrize("guard", [KEYED, guard_of(None, ADMIN_KEY)], ids=["beside callers'", "as the only one"])
def test_the_admins_key_opens_what_is_the_admins(guard: Guard) -> None:
    headers = [(b"host", b"localhost"), bearer(ADMIN_KEY)]
    assert guard.admit("GET", "/admin/keys", headers).role is KeyRole.ADMIN


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
    assert OPEN.admit("POST", CHAT, [(b"host", b"localhost"), JSON, (b"content-encoding", b"identity")]) is ANYBODY


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_need_nothing(path: str) -> None:
    assert KEYED.admit("GET", path, [(b"host", b"10.0.0.7:8080")]) is ANYBODY
    assert OPEN.admit("GET", path, [(b"host", b"10.0.0.7:8080")]) is ANYBODY


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


# Without keys, where anybody was let in outright.

WELCOMING = guard_of(admits_all=True)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([(b"host", b"gateway.internal:8080")], id="another machine"),
        pytest.param(
            [(b"host", b"gateway.internal:8080"), (b"origin", b"http://gateway.internal:8080")], id="its own page"
        ),
        pytest.param([(b"host", b"Gateway.internal"), (b"origin", b"https://gateway.INTERNAL")], id="in capitals"),
        pytest.param([(b"host", b"10.0.0.7:8080"), bearer("whatever")], id="with a key that nobody asked for"),
    ],
)
def test_a_gateway_that_is_open_to_all_lets_anybody_in(headers: RawHeaders) -> None:
    assert WELCOMING.admit("POST", CHAT, [*headers, JSON]) is ANYBODY


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param(b"https://evil.example", id="another site"),
        pytest.param(b"http://gateway.internal", id="another port of the same host"),
        pytest.param(b"http://localhost", id="a page of the caller's own machine"),
        pytest.param(b"null", id="null: a sandboxed frame, or a file"),
        pytest.param(b"http://[", id="half a URL"),
        pytest.param(b"http://gateway.internal:8080@evil.example", id="ours as a user's name"),
    ],
)
def test_but_no_page_of_another_origin(origin: bytes) -> None:
    headers = [(b"host", b"gateway.internal:8080"), (b"origin", origin)]
    with pytest.raises(ForbiddenOrigin, match="Origin"):
        WELCOMING.admit("POST", CHAT, [*headers, JSON])
    with pytest.raises(ForbiddenOrigin, match="Origin"):
        WELCOMING.admit_page("GET", headers)


def test_nor_anybody_to_what_is_the_admins() -> None:
    with pytest.raises(Unauthenticated, match="GATEWAY_ADMIN_KEY"):
        WELCOMING.admit("GET", "/admin/keys", [(b"host", b"gateway.internal")])


# Keys that come and go.

CALLER = Caller("key_aaaaaaaa", "forum-app")
OBSERVER = Caller("key_bbbbbbbb", "prometheus", KeyRole.OBSERVER)
REVIEWER = Caller("key_cccccccc", "mira", KeyRole.REVIEWER)
MANY = [CALLER, OBSERVER, REVIEWER, Caller("yaml:batch", "batch")]


def ring_of(*callers: Caller, key: str | None = None, knows_all: bool = True) -> KeyRing:
    """A ring on which each caller's key is its name."""
    ring = KeyRing(key, ADMIN_KEY, pepper=PEPPER)
    ring.replace([(ring.digest(caller.name.encode()), caller) for caller in callers], all_of_them=knows_all)
    return ring


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        pytest.param(CHAT, {"forum-app", "batch", "admin", "default"}, id="models are for callers"),
        pytest.param("/v1/models", {"forum-app", "batch", "admin", "default"}, id="so is their list"),
        pytest.param("/openapi.json", {"forum-app", "batch", "admin", "default"}, id="and what describes it"),
        pytest.param("/metrics", {"prometheus", "admin", "default"}, id="metrics are for observers, and GATEWAY_KEY"),
        pytest.param("/admin/keys", {"admin"}, id="keys are the admin's"),
        pytest.param("/admin/", {"admin"}, id="so is all below"),
    ],
)
def test_each_role_opens_its_own_paths_and_no_others(path: str, allowed: set[str]) -> None:
    guard = Guard(ring_of(*MANY, key="default"), FakeClock())
    opened = set()
    for name in ("forum-app", "batch", "prometheus", "mira", "default", "admin"):
        try:
            opened.add(guard.admit("GET", path, [bearer(ADMIN_KEY if name == "admin" else name)]).name)
        except NotAllowed:
            continue
    assert opened == allowed


@pytest.mark.parametrize("name", ["prometheus", "mira"])
def test_who_has_another_kind_of_key_is_told_so(name: str) -> None:
    whose = {"prometheus": "an observer's", "mira": "a reviewer's"}[name]
    with pytest.raises(NotAllowed, match=f"takes an application's, and this one is {whose}"):
        Guard(ring_of(*MANY), FakeClock()).admit("GET", "/v1/models", [bearer(name)])


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v2/chat/completions", "/admin", "/ui-not", "/metrics.old/x", "//v1/models", "/.env"]
)
def test_a_path_that_nobody_listed_is_nobodys_not_even_the_admins(path: str) -> None:
    guard = Guard(ring_of(*MANY), FakeClock())
    with pytest.raises(NotFound):
        guard.admit("GET", path, [bearer(ADMIN_KEY)])
    with pytest.raises(Unauthenticated):
        guard.admit("GET", path, [bearer("wrong")])
    with pytest.raises(NotFound):
        OPEN.admit("GET", path, [(b"host", b"localhost")])


def test_a_key_that_expires_while_it_is_known_is_refused_from_that_instant() -> None:
    clock = FakeClock()
    guard = Guard(ring_of(replace(CALLER, expires_at=clock.now() + timedelta(seconds=60))), clock)
    clock.advance(59.9)
    assert guard.admit("GET", "/v1/models", [bearer("forum-app")]).name == "forum-app"
    clock.advance(0.1)
    with pytest.raises(Unauthenticated):
        guard.admit("GET", "/v1/models", [bearer("forum-app")])


def test_a_401_is_the_same_whatever_was_wrong() -> None:
    clock = FakeClock()
    guard = Guard(ring_of(replace(CALLER, expires_at=clock.now())), clock)
    said = set()
    for shown in ("forum-app", "wrong", "us_abcd1234_" + "x" * 43, "\N{SNOWMAN}" * 1000):
        with pytest.raises(Unauthenticated) as raised:
            guard.admit("GET", "/v1/models", [bearer(shown)])
        said.add((str(raised.value.body("r")), str(raised.value.headers)))
    assert len(said) == 1
    with pytest.raises(Unauthenticated, match="Send the gateway's key"):
        guard.admit("GET", "/v1/models", [])


def test_until_the_databases_keys_are_known_a_wrong_key_is_no_wrong_key_yet() -> None:
    guard = Guard(ring_of(CALLER, knows_all=False), FakeClock())
    for path in (CHAT, "/v1/models", "/admin/keys", "/metrics"):
        with pytest.raises(KeysUnavailable) as raised:
            guard.admit("GET", path, [bearer("unknown")])
        assert raised.value.status == 503
        assert raised.value.headers["retry-after"] == "5"
    with pytest.raises(Unauthenticated):
        guard.admit("GET", "/v1/models", [])
    assert guard.admit("GET", "/v1/models", [bearer("forum-app")]) == CALLER
    assert guard.admit("GET", "/v1/models", [bearer(ADMIN_KEY)]).name == "admin"


# Wrong keys, again and again.


def test_too_many_wrong_keys_of_one_address_are_told_so_and_a_right_one_is_still_taken() -> None:
    clock = FakeClock()
    guard = Guard(KeyRing(KEY, ADMIN_KEY), clock)

    def wrong(peer: str = "10.0.0.9") -> type[GatewayError]:
        with pytest.raises(GatewayError) as raised:
            guard.admit("GET", "/v1/models", [bearer("sk-guess")], peer=peer)
        if isinstance(raised.value, TooManyFailures):
            assert raised.value.status == 429
            assert 1 <= int(raised.value.headers["retry-after"]) <= 60
        return type(raised.value)

    assert {wrong() for _ in range(WRONG_KEYS_A_MINUTE)} == {Unauthenticated}
    assert {wrong() for _ in range(100)} == {TooManyFailures}
    assert guard.admit("GET", "/v1/models", [bearer(KEY)], peer="10.0.0.9").name == "default"
    assert wrong("10.0.0.10") is Unauthenticated, "no stranger's failures count for another"
    with pytest.raises(Unauthenticated):
        guard.admit("GET", "/v1/models", [], peer="10.0.0.9")
    clock.advance(60)
    assert wrong() is Unauthenticated


def test_what_is_remembered_of_wrong_keys_is_bounded() -> None:
    failures = Failures(WRONG_KEYS_A_MINUTE)
    for n in range(50_000):
        failures.add(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", float(n))
    for n in range(1000):
        failures.add("one", float(n))
    assert len(failures) <= MOST_PEERS
    assert failures.remembered <= MOST_PEERS * WRONG_KEYS_A_MINUTE


def test_the_address_is_the_peers_and_no_headers() -> None:
    assert peer_of({"client": ("10.0.0.9", 4711)}) == "10.0.0.9"
    assert peer_of({"client": None}) == ""
    assert peer_of({}) == ""


# Keys where they do not belong.


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(b"key=us_abcd1234_SECRET", id="key"),
        pytest.param(b"api_key=us_abcd1234_SECRET", id="api_key"),
        pytest.param(b"access_token=us_abcd1234_SECRET", id="access_token"),
        pytest.param(b"limit=20&KEY=us_abcd1234_SECRET", id="behind another, in capitals"),
        pytest.param(b"%6bey=us_abcd1234_SECRET", id="escaped"),
        pytest.param(b"key=", id="empty"),
    ],
)
@pytest.mark.parametrize("guard", [pytest.param(OPEN, id="open"), pytest.param(KEYED, id="with keys")])
def test_a_key_in_the_url_is_refused_and_not_repeated(guard: Guard, query: bytes) -> None:
    headers = [(b"host", b"localhost"), *([] if guard is OPEN else [bearer(KEY)])]
    with pytest.raises(InvalidRequest, match="Authorization") as raised:
        guard.admit("GET", "/v1/models", headers, query)
    assert raised.value.status == 400
    assert "SECRET" not in str(raised.value.body("r"))


@pytest.mark.parametrize("query", [b"limit=20&after=resp_1", b"monkey=1", b"q=a%26key%3Dx", b"\xff=\xff"])
def test_any_other_query_is_the_endpoints(query: bytes) -> None:
    assert KEYED.admit("GET", "/v1/models", [bearer(KEY)], query).name == "default"
