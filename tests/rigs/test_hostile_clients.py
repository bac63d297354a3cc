"""Hostile callers against every route of the app: nothing opens, nothing fails, nothing crosses, nothing is left.

What is promised is asked of the outside: whom the gateway connected to is what the kernel was asked (strace), what it
wrote is its own stderr and stdout, and what it holds is in /proc.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.routing import iter_route_contexts
from hostile_corpora import (
    ELSEWHERE,
    MARKUP,
    TEXTS,
    UNLISTED,
    bodies_that_name,
    bombs,
    headers_that_name,
)
from hostile_gateway import (
    Answer,
    BareClient,
    HostileGateway,
    RawHeaders,
    Trap,
    Vendor,
    bare_client,
    eventually,
    running_hostile_gateway,
    running_trap,
    running_vendor,
)

from gateway.app import create_app
from gateway.config.settings import Settings
from gateway.execution.endpoints import ENDPOINTS
from gateway.execution.key_ring import digest_of
from tests.sandbox_server import RunningSandbox, running_sandbox

pytestmark = pytest.mark.rig

PEPPER = "pepper-of-the-hostile-rig-0123456789abcdef"
CALLER, ADMIN, OBSERVER = "caller-of-the-hostile-rig", "admin-of-the-hostile-rig", "observer-of-the-hostile-rig"
REVIEWER = "reviewer-of-the-hostile-rig"
WRONG = "us_abcdefgh_" + "A" * 43
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "BREW")
HOT = tuple(f"/v1{endpoint.path}" for endpoint in ENDPOINTS)
ROUTE = "reply"
LITELLM = "bridged"
OWNER = "<img src=x onerror=alert(1)> =1+1"
ID_SENT = re.compile(r"[A-Za-z0-9_-]{1,64}")
SQLITE_TABLES = ("attempts", "keys", "audit")
ROUTES = """
version: 1
providers:
  stand-in: {{kind: sandbox, base_url: "{sandbox}"}}
  vendor: {{kind: anthropic, base_url: "http://127.0.0.1:{vendor}", api_key_env: VENDOR_KEY}}
fallbacks: {{other: {{provider: stand-in, model: base-small}}}}
defaults: {{owner: "{owner}", fallbacks: [other], fallback_on: []}}
routes:
  reply: {{provider: stand-in, primary: {{model: base-large}}}}
  bridged: {{provider: vendor, primary: {{model: claude-haiku-4-5-20251001}}}}
keys:
  watcher: {{digest: "hmac-sha256:{observer}", role: observer}}
  mira: {{digest: "hmac-sha256:{reviewer}", role: reviewer}}
"""


@dataclass(frozen=True)
class Hostile:
    gateway: HostileGateway
    sandbox: RunningSandbox
    vendor: Vendor
    trap: Trap


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    directory = tmp_path_factory.mktemp("hostile")
    environ = {
        "GATEWAY_KEY": CALLER,
        "GATEWAY_ADMIN_KEY": ADMIN,
        "GATEWAY_KEY_PEPPER": PEPPER,
        "GATEWAY_UI_ACTIONS": "true",
        "VENDOR_KEY": "sk-vendor",
        "GATEWAY_LOG_REQUESTS": "all",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "ALL_PROXY": "http://127.0.0.1:1",
    }
    with running_sandbox() as sandbox, running_trap() as trap, running_vendor() as vendor:
        routes = directory / "routes.yaml"
        known = {
            name: digest_of(PEPPER.encode(), key.encode()).hex()
            for name, key in (("observer", OBSERVER), ("reviewer", REVIEWER))
        }
        routes.write_text(ROUTES.format(sandbox=sandbox.base_url, vendor=vendor.port, owner=OWNER, **known))
        with running_hostile_gateway(routes, directory, environ) as gateway:
            yield Hostile(gateway, sandbox, vendor, trap)


# What there is.


@dataclass(frozen=True)
class Served:
    """One path of the app, as its routes name it."""

    template: str
    methods: frozenset[str]

    def path(self, value: str = "x") -> str:
        """Return a path of it; what its parameters are is up to whoever asks."""
        return re.sub(r"\{[^}]*\}", lambda _: value, self.template)


def served() -> list[Served]:
    """Every route of the app: FastAPI's own, and the endpoints that are answered ahead of it."""
    file = Path(__file__).parents[2] / "routes.yaml"
    app = create_app(Settings(routes_file=file, database_url="sqlite+aiosqlite:///:memory:"), environ={})
    found: dict[str, set[str]] = {path: {"POST"} for path in HOT}
    for route in iter_route_contexts(app._rest.routes):
        found.setdefault(route.path, set()).update(route.methods or ())
    return [Served(template, frozenset(methods)) for template, methods in sorted(found.items())]


SERVED = served()
FOR_WHOM = {
    "open": re.compile(r"/healthz|/readyz"),
    "anybody, to log in": re.compile(r"/ui/login|/ui/static/\{name\}"),
    "callers": re.compile(r"/v1/.*|/openapi\.json"),
    "observers": re.compile(r"/metrics"),
    "admins": re.compile(r"/admin/(keys|audit|spend)(/.*)?"),
    "admins and reviewers, as pages": re.compile(r"/ui/review(/\{captured_id\})?|/ui/logout|/ui/?"),
    "admins, as pages": re.compile(r"/ui|/ui/.*"),
}
"""Whose each route is; of several, the first. A route that is nobody's here is one that nobody has thought about."""


def whose(template: str) -> str:
    return next((whom for whom, paths in FOR_WHOM.items() if paths.fullmatch(template)), "")


def test_every_route_of_the_app_has_been_thought_about() -> None:
    assert [route.template for route in SERVED if not whose(route.template)] == []
    assert {whose(route.template) for route in SERVED} >= {"open", "callers", "observers", "admins, as pages"}


# Who gets in.


def bearer(key: str) -> RawHeaders:
    return [("authorization", f"Bearer {key}")]


NOBODYS: dict[str, RawHeaders] = {
    "no key": [],
    "a wrong key": bearer(WRONG),
    "an empty key": bearer(""),
    "the pepper": bearer(PEPPER),
    "a key's digest": bearer(digest_of(PEPPER.encode(), CALLER.encode()).hex()),
    "a key without its last letter": bearer(CALLER[:-1]),
    "a key with one letter more": bearer(CALLER + "x"),
    "SQL": bearer("' OR '1'='1"),
    "Basic": [("authorization", "Basic YWRtaW46YWRtaW4=")],
    "forged words of a proxy": [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-user", "admin"),
    ],
    "a forged rewrite": [("x-original-url", "/healthz"), ("x-rewrite-url", "/healthz")],
    "a forged cookie": [("cookie", "understudy_pages=" + "A" * 75)],
    "another method's name": [("x-http-method-override", "GET")],
}
JSON_TYPE = ("content-type", "application/json")
FORM_TYPE = ("content-type", "application/x-www-form-urlencoded")


def typed(method: str, path: str) -> RawHeaders:
    """The headers without which a body of a path is not looked at."""
    return [] if method in ("GET", "HEAD") else [FORM_TYPE if path.startswith("/ui") else JSON_TYPE]


def is_page(template: str) -> bool:
    return template.startswith("/ui")


async def test_nobody_gets_in_without_a_key_by_whatever_method(hostile: Hostile) -> None:
    async with bare_client(hostile.gateway.port) as client:
        for route in SERVED:
            for method in METHODS:
                for shown, headers in NOBODYS.items():
                    if method not in (*route.methods, "HEAD", "OPTIONS") and shown not in ("no key", "SQL"):
                        continue
                    what = f"{method} {route.template} with {shown}"
                    answer = await client.ask(method, route.path(), [*typed(method, route.template), *headers], b"")
                    sound(answer, what, method)
                    refuses_strangers(answer, whose(route.template), method, what)


def refuses_strangers(answer: Answer, whom: str, method: str, what: str) -> None:
    if whom == "open":
        assert answer.status in (200, 400, 405, 415), what
    elif whom == "anybody, to log in":
        assert answer.status in (200, 303, 400, 401, 403, 404, 405, 415, 429), what
    elif whom in ("admins, as pages", "admins and reviewers, as pages"):
        assert answer.status in (303, 400, 401, 403, 405, 415), (what, answer)
        if answer.status == 303:
            assert (answer.header("location") or "").startswith("/ui/login"), what
    else:
        assert answer.status in (400, 401, 405, 415, 429, 501), (what, answer)


async def test_paths_that_are_not_listed_open_nothing(hostile: Hostile) -> None:
    async with bare_client(hostile.gateway.port) as client:
        for path in UNLISTED:
            for method in ("GET", "POST"):
                answer = await client.ask(method, path, typed(method, path), b"")
                sound(answer, f"{method} {path}", method)
                assert answer.status in (400, 401, 404, 405, 414, 415, 429), (method, path, answer)
                answer = await client.ask(method, path, [*typed(method, path), *bearer(CALLER)], b"")
                sound(answer, f"{method} {path} with a caller's key", method)
                assert answer.status >= 400 or path.startswith("/openapi.json"), (method, path, answer)


@pytest.mark.parametrize(
    ("key", "their_own"),
    [
        pytest.param(CALLER, {"open", "callers", "anybody, to log in"}, id="a caller"),
        pytest.param(OBSERVER, {"open", "observers", "anybody, to log in"}, id="an observer"),
        pytest.param(REVIEWER, {"open", "admins and reviewers, as pages", "anybody, to log in"}, id="a reviewer"),
    ],
)
async def test_a_key_opens_what_it_is_for(key: str, their_own: set[str], hostile: Hostile) -> None:
    async with bare_client(hostile.gateway.port) as client:
        for route in SERVED:
            whom = whose(route.template)
            for method in route.methods & set(METHODS):
                headers = [*typed(method, route.template), *bearer(key)]
                answer = await client.ask(method, route.path(), headers, b"{}")
                what = f"{method} {route.template}"
                sound(answer, what, method)
                if whom in their_own or (route.template == "/metrics" and key == CALLER):
                    # The default key has always read /metrics; a login is obeyed from its own page alone.
                    assert answer.status not in (401, 403) or route.template == "/ui/login", (what, answer)
                else:
                    assert answer.status in (401, 403), (what, answer)


async def test_two_credentials_and_a_key_in_the_query_are_refused(hostile: Hostile) -> None:
    async with bare_client(hostile.gateway.port) as client:
        for headers in (
            [*bearer(CALLER), ("api-key", CALLER)],
            [*bearer(WRONG), ("x-api-key", CALLER)],
            [*bearer(CALLER), *bearer(CALLER)],
            [*bearer(WRONG), *bearer(ADMIN)],
        ):
            answer = await client.ask("GET", "/v1/models", headers)
            assert (answer.status, answer.json["error"]["code"]) == (400, "two_credentials")
        for name in ("key", "api_key", "access_token"):
            answer = await client.ask("GET", f"/v1/models?{name}={CALLER}", [])
            assert answer.status in (400, 401)
            assert CALLER.encode() not in answer.body


# What they send.


async def test_no_text_in_any_place_makes_it_fail_or_comes_back_alive(hostile: Hostile) -> None:
    gateway = hostile.gateway
    async with warmed_up(hostile) as before:
        texts = cycle(TEXTS)
        async with clients(gateway.port) as pool:
            asked = []
            for route in SERVED:
                for method in sorted(route.methods & {"GET", "POST", "PUT", "PATCH", "DELETE"}):
                    # Every text reaches every kind of place; every route gets a tenth of them in each.
                    count = len(TEXTS) if "{" in route.template else len(TEXTS) // 4
                    asked += [(route, method, next(texts), next(texts)) for _ in range(count)]
            await at_once(pool, (send_texts(*each) for each in asked))
        series_stay_as_they_were(before, await scraped(gateway.port))


def send_texts(route: Served, method: str, first: str, second: str) -> Any:
    async def send(client: BareClient) -> None:
        key = ADMIN if whose(route.template).startswith("admins") else CALLER
        target = (
            route.path(quote(first, safe="/%;"))
            + "?"
            + "&".join(
                f"{name}={quote(value, safe='')}"
                for name, value in (
                    ("q", first),
                    ("by", second),
                    ("route", second),
                    ("since", first),
                    ("limit", second),
                    ("after", first),
                    ("before", second),
                    ("days", first),
                    ("subject", first),
                    ("sort", second),
                )
            )
        )
        headers = [
            *bearer(key),
            *typed(method, route.template),
            ("x-request-id", first),
            ("x-gateway-tags", f"tenant={second}"),
            ("user-agent", second),
            ("referer", first),
            ("x-gateway-session", second),
            ("traceparent", first),
            ("accept", second),
            ("accept-language", first),
            ("if-none-match", second),
            ("x-forwarded-proto", first),
        ]
        if route.template.startswith("/ui"):
            body = "&".join(
                f"{n}={quote(v, safe='')}"
                for n, v in (
                    ("route", first),
                    ("to", second),
                    ("reason", first),
                    ("csrf", second),
                    ("next", second),
                    ("name", first),
                )
            ).encode()
        else:
            body = json.dumps(
                {
                    "model": first,
                    "messages": [{"role": second, "content": first}],
                    "user": second,
                    "name": first,
                    "metadata": {first: second},
                    "input": first,
                    "prompt": second,
                    "owner": second,
                    "team": first,
                }
            ).encode()
        what = f"{method} {route.template} {first!r} {second!r}"
        answer = await client.ask(method, target, headers, body if method != "GET" else None)
        sound(answer, what, method)
        sent = answer.header("x-request-id")
        assert sent is None or ID_SENT.fullmatch(sent), what
        assert not any(
            name in ("set-cookie", "refresh", "location") and "evil" in value for name, value in answer.headers
        ), what
        if "html" in (answer.header("content-type") or ""):
            page = answer.body.decode()
            assert not any(mark in page for mark in MARKUP if "<" in mark and mark != "<!--"), what
        if "csv" in (answer.header("content-type") or ""):
            cells = [cell for line in answer.body.decode().splitlines() for cell in line.split(",")]
            assert not any(cell.lstrip('"')[:1] in ("=", "+", "@", "\t") for cell in cells), what

    return send


async def test_no_bomb_makes_it_fail_or_grow(hostile: Hostile) -> None:
    gateway = hostile.gateway
    async with warmed_up(hostile), bare_client(gateway.port) as client:
        began_mib, once_mib = gateway.resident_mib, 0.0
        for _ in range(2):
            once_mib = gateway.resident_mib
            for path in (*HOT, "/admin/keys", "/v1/responses/x/cancel", "/ui/login"):
                for what, body in bombs():
                    types = typed("POST", path) + ([("content-type", FORM)] if path in HOT else [])
                    for type_ in types:
                        began = time.monotonic()
                        key = ADMIN if path.startswith("/admin") else CALLER
                        answer = await client.ask("POST", path, [*bearer(key), type_], body)
                        sound(answer, f"{what} at {path}", "POST")
                        assert 400 <= answer.status < 500 or what in TAKEN, (what, path, answer)
                        assert time.monotonic() - began < SLOW_S, (what, path)
        # The allocator keeps what one round needed; a second one needs no more.
        eventually(lambda: gateway.resident_mib < once_mib + 16, "a second round takes no more memory")
        assert gateway.resident_mib < began_mib + 64


FORM = "multipart/form-data; boundary=x"
SLOW_S = 5.0
TAKEN = frozenset({"many duplicate keys"})
"""What is no bomb after all: of keys that come twice the last counts, and what is sent on is written anew."""


async def test_a_body_of_the_most_that_is_taken_and_one_of_more(hostile: Hostile) -> None:
    gateway = hostile.gateway
    whole = b"[" * (20 * 2**20)
    async with bare_client(gateway.port) as client:
        for _ in range(2):
            before_mib = gateway.resident_mib
            answer = await client.ask("POST", "/v1/chat/completions", [*bearer(CALLER), JSON_TYPE], whole)
            assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_json")
        eventually(lambda: gateway.resident_mib < before_mib + 16, "a second one takes no more memory")
        for path in HOT:
            # Its length alone says so: nothing of it is read.
            headers = [*bearer(CALLER), JSON_TYPE, ("content-length", str(len(whole) + 1))]
            answer = await client.ask("POST", path, headers)
            assert (answer.status, answer.json["error"]["code"]) == (413, "body_too_large"), path
            await client.close()


# Where it connects.


@pytest.mark.parametrize("model", [ROUTE, LITELLM])
async def test_it_connects_to_nothing_that_a_request_names(model: str, hostile: Hostile) -> None:
    gateway, trap = hostile.gateway, hostile.trap
    async with clients(gateway.port) as pool:
        # litellm's process answers from now on.
        answer = await pool[0].ask("POST", "/v1/chat/completions", [*bearer(CALLER), JSON_TYPE], asking(LITELLM))
        assert answer.status == 200, answer
        paths = HOT if model == ROUTE else tuple(path for path in HOT if path in LITELLM_TAKES)
        bodies = [
            (path, [], json.dumps(body).encode()) for path in paths for body in bodies_that_name(trap.url, model, path)
        ]
        named = [(path, [header], asking(model, path)) for path in paths for header in headers_that_name(trap.url)]
        await at_once(pool, (send_naming(*each) for each in (*bodies, *named)))
        if model == ROUTE:
            for route in SERVED:
                escaped = quote(trap.url, safe="")
                target = f"{route.path(escaped)}?url={escaped}&next={trap.url}&stream=false"
                for method in sorted(route.methods & {"GET", "POST", "DELETE"}):
                    for header in headers_that_name(trap.url):
                        key = ADMIN if whose(route.template).startswith("admins") else CALLER
                        sent = [*bearer(key), *typed(method, route.template), header]
                        sound(await pool[0].ask(method, target, sent, b""), f"{method} {target} {header}", method)
    assert trap.visits == 0
    allowed = {("127.0.0.1", hostile.sandbox.port), ("127.0.0.1", hostile.vendor.port)}
    strangers = {place for place in gateway.connects() - allowed if not is_our_socket(place)}
    assert strangers == set()
    assert ("127.0.0.1", hostile.vendor.port) in gateway.connects(), "litellm's process is watched, too"
    if model == LITELLM:
        assert any(trap.url.encode() in body for body in hostile.vendor.bodies), (
            "what is in messages is passed on as it is"
        )


LITELLM_TAKES = ("/v1/chat/completions", "/v1/responses", "/v1/completions")


def is_our_socket(place: tuple[str, int]) -> bool:
    """Whether it is the worker's socket, or the name service's own, which the C library tries before it reads files."""
    return place[1] == 0 and ("/understudy-" in place[0] or "nscd" in place[0])


def asking(model: str, path: str = "/v1/chat/completions") -> bytes:
    """A request that is right for an endpoint, where it takes JSON."""
    said: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
    if path == "/v1/completions" or "images" in path:
        said = {"prompt": "Hi"}
    elif "chat" not in path:
        said = {"input": "Hi", "voice": "alloy"} if path == "/v1/audio/speech" else {"input": "Hi"}
    return json.dumps({"model": model, **said}).encode()


def send_naming(path: str, headers: RawHeaders, body: bytes) -> Any:
    async def send(client: BareClient) -> None:
        answer = await client.ask("POST", path, [*bearer(CALLER), JSON_TYPE, *headers], body)
        sound(answer, f"{path} {headers} {body[:300]!r}", "POST", upstream=True)

    return send


async def test_a_login_leads_nowhere_else(hostile: Hostile) -> None:
    async with bare_client(hostile.gateway.port) as client:
        for place in ELSEWHERE:
            headers = [FORM_TYPE, ("sec-fetch-site", "same-origin")]
            answer = await client.ask(
                "POST", "/ui/login", headers, f"key={ADMIN}&next={quote(place, safe='')}".encode()
            )
            assert (answer.status, answer.header("location")) == (303, "/ui"), (place, answer)
            cookie = answer.header("set-cookie") or ""
            assert "HttpOnly" in cookie and "SameSite=strict" in cookie
            answer = await client.ask(
                "GET", f"/ui/login?next={quote(place, safe='')}", [("cookie", cookie.split(";")[0])]
            )
            assert (answer.status, answer.header("location")) == (303, "/ui"), (place, answer)


# What is left.


async def test_ten_thousand_junk_values_make_no_series(hostile: Hostile) -> None:
    async with warmed_up(hostile) as before, clients(hostile.gateway.port, 8) as pool:

        def junk(at: int) -> Any:
            async def send(client: BareClient) -> None:
                kind = at % 5
                if kind == 0:
                    body = json.dumps({"model": f"m{at}", "messages": [{"role": "user", "content": "x"}]}).encode()
                    await client.ask("POST", "/v1/chat/completions", [*bearer(CALLER), JSON_TYPE], body)
                elif kind == 1:
                    await client.ask("GET", f"/v1/p{at}?q={at}", bearer(CALLER))
                elif kind == 2:
                    await client.ask(f"M{at}", "/v1/models", bearer(CALLER))
                elif kind == 3:
                    await client.ask(
                        "GET",
                        "/v1/models",
                        [*bearer(CALLER), ("user-agent", f"u{at}"), ("x-gateway-tags", f"t{at}=v{at}")],
                    )
                else:
                    await client.ask("GET", f"/v1/models/{ROUTE}@p{at}", [*bearer(CALLER), ("x-request-id", f"r{at}")])

            return send

        await at_once(pool, map(junk, range(10_000)))
        series_stay_as_they_were(before, await scraped(hostile.gateway.port))


async def test_afterwards_nothing_is_left(hostile: Hostile) -> None:
    gateway = hostile.gateway
    async with warmed_up(hostile):
        descriptors, threads = gateway.descriptors, gateway.threads
        async with clients(gateway.port, 50) as pool:
            await at_once(
                pool, (send_texts(SERVED[at % len(SERVED)], "GET", TEXTS[at % len(TEXTS)], "x") for at in range(500))
            )
        for at in range(50):
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{"[: at * 2]
            )
            writer.close()
        eventually(lambda: gateway.descriptors <= descriptors + 2, "descriptors are as before")
        assert gateway.threads <= threads + 4


def test_every_line_that_it_wrote_is_one_object_of_plain_text(hostile: Hostile) -> None:
    lines = hostile.gateway.out.read_bytes().split(b"\n")
    # What it says of its configuration as it starts is for people.
    lines = lines[next(at for at, line in enumerate(lines) if line.startswith(b"{")) :]
    assert len(lines) > 1_000
    for line in filter(None, lines):
        found = json.loads(line)
        assert isinstance(found, dict) and isinstance(found["event"], str), line
        assert all(32 <= byte < 127 for byte in line), line
        assert "forged" not in found["event"]
    whole = b"\n".join(lines)
    for secret in (CALLER, ADMIN, OBSERVER, REVIEWER, PEPPER, "sk-vendor"):
        assert secret.encode() not in whole
    assert b"Traceback" not in whole and b'"level":"critical"' not in whole


def test_no_sql_got_through(hostile: Hostile) -> None:
    import sqlite3

    with sqlite3.connect(f"file:{hostile.gateway.state / 'ledger.db'}?mode=ro", uri=True) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert {"attempts", "keys"} <= tables
        assert database.execute("SELECT COUNT(*) FROM attempts").fetchone()[0] > 0
        assert database.execute("SELECT DISTINCT route FROM attempts WHERE kind = 'live' ORDER BY 1").fetchall() == [
            (LITELLM,),
            (ROUTE,),
        ]
    database.close()


# What holds for every answer.


def sound(answer: Answer, what: str, method: str, *, upstream: bool = False) -> None:
    """Assert what holds for every answer, whatever was asked."""
    # A provider's own failure is told with 502 to 504; nothing else fails.
    assert answer.status < 500 or answer.status == 501 or (upstream and answer.status in (502, 503, 504)), (
        what,
        answer,
    )
    assert not any(name.startswith("access-control-") for name, _ in answer.headers), (what, answer.headers)
    assert not any(ord(char) < 32 or ord(char) > 126 for name, value in answer.headers for char in value), (
        what,
        answer.headers,
    )
    assert b"Traceback (most recent" not in answer.body and b'File "/' not in answer.body, what
    for secret in (ADMIN, OBSERVER, REVIEWER, PEPPER, "sk-vendor"):
        assert secret.encode() not in answer.body, what
    kind = (answer.header("content-type") or "").partition(";")[0]
    if answer.status >= 400 and method != "HEAD" and kind != "text/html" and answer.body:
        error = answer.json["error"]
        assert {"message", "type", "param", "code"} <= error.keys(), (what, error)
        assert len(error["message"]) < 4_000, what
    if kind == "text/html":
        held = answer.header("content-security-policy") or ""
        assert "default-src 'self'" in held or "default-src 'none'" in held, (what, answer.headers)
        assert answer.header("x-content-type-options") == "nosniff", what


@asynccontextmanager
async def clients(port: int, count: int = 6) -> AsyncIterator[list[BareClient]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(bare_client(port)) for _ in range(count)]


async def at_once(pool: list[BareClient], sends: Iterable[Any]) -> None:
    """Share work among connections."""
    left = iter(sends)

    async def work(client: BareClient) -> None:
        for send in left:
            await send(client)

    async with asyncio.TaskGroup() as group:
        for client in pool:
            group.create_task(work(client))


async def scraped(port: int) -> set[str]:
    """The names and labels of all series that there are."""
    async with bare_client(port) as client:
        answer = await client.ask("GET", "/metrics", bearer(OBSERVER))
    assert answer.status == 200
    return {line.rpartition(" ")[0] for line in answer.body.decode().splitlines() if line and not line.startswith("#")}


@asynccontextmanager
async def warmed_up(hostile: Hostile) -> AsyncIterator[set[str]]:
    """Have every route asked once, and every status seen that a caller can cause; yield the series that there are."""
    async with bare_client(hostile.gateway.port) as client:
        for path in HOT:
            for model in (ROUTE, "nowhere"):
                await client.ask("POST", path, [*bearer(CALLER), JSON_TYPE], asking(model, path))
            await client.ask("POST", path, [*bearer(CALLER), JSON_TYPE], b"{")
            await client.ask("POST", path, [*bearer(CALLER), JSON_TYPE], b"x" * 40)
            await client.ask("POST", path, [*bearer(WRONG), JSON_TYPE], b"{}")
            await client.ask("POST", path, [*bearer(CALLER), ("content-type", "text/plain")], b"{}")
        for route in SERVED:
            await client.ask("GET", route.path(), bearer(ADMIN))
    yield await scraped(hostile.gateway.port)


def series_stay_as_they_were(before: set[str], after: set[str]) -> None:
    """Assert that no series came that a caller could make more of: each is of a name, a route or a code that exists."""
    added = {series for series in after - before if not re.search(r'code="\d{3}"', series)}
    assert not added, sorted(added)[:20]
    assert len(after - before) < 50
