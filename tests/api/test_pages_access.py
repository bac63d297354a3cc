"""Who may look at the pages: tables over what a request shows, without a server."""

from datetime import UTC, datetime, timedelta

import pytest
from fake_clock import FakeClock
from starlette.datastructures import Headers

from gateway.api.failures import MOST_PEERS
from gateway.api.guard import FORM_TYPE, Guard
from gateway.api.pages.access import (
    FAILURES_A_MINUTE,
    HOME,
    LASTS,
    Access,
    Standing,
    is_https,
    is_same_origin,
    own_view,
)
from gateway.errors import ForbiddenOrigin, TwoCredentials, UnsupportedMediaType
from gateway.execution.key_ring import KeyRing

KEY, ADMIN_KEY = "sk-caller", "sk-admin"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
OPEN, KEYED = Access(None, is_keyed=False), Access(ADMIN_KEY, is_keyed=True)
CLOSED, ADMIN_ALONE = Access(None, is_keyed=True), Access(ADMIN_KEY, is_keyed=False)
COOKIE = KEYED.new_cookie(NOW)


def guard_of(key: str | None, admin_key: str | None) -> Guard:
    return Guard(KeyRing(key, admin_key), FakeClock())


def bearer(secret: str) -> Headers:
    return Headers({"authorization": f"Bearer {secret}"})


@pytest.mark.parametrize(
    ("access", "headers", "cookie", "standing"),
    [
        pytest.param(OPEN, Headers(), None, Standing.OPEN, id="without keys everybody of this machine looks"),
        pytest.param(OPEN, bearer("anything"), "x", Standing.OPEN, id="without keys credentials mean nothing"),
        pytest.param(KEYED, Headers(), None, Standing.NOBODY, id="with keys nobody without one"),
        pytest.param(KEYED, bearer(ADMIN_KEY), None, Standing.BEARER, id="the admin's key"),
        pytest.param(
            KEYED, Headers({"authorization": f"bearer {ADMIN_KEY}"}), None, Standing.BEARER, id="in lower case"
        ),
        pytest.param(KEYED, bearer(KEY), None, Standing.WRONG, id="not the callers' key"),
        pytest.param(KEYED, bearer(""), None, Standing.WRONG, id="not an empty one"),
        pytest.param(KEYED, bearer("sk-admiñ"), None, Standing.WRONG, id="not one with letters beyond ASCII"),
        pytest.param(KEYED, Headers({"authorization": ADMIN_KEY}), None, Standing.WRONG, id="not without its scheme"),
        pytest.param(KEYED, Headers({"authorization": f"Basic {ADMIN_KEY}"}), None, Standing.WRONG, id="not as Basic"),
        pytest.param(KEYED, Headers({"x-api-key": ADMIN_KEY}), None, Standing.NOBODY, id="not in another header"),
        pytest.param(KEYED, Headers(), COOKIE, Standing.COOKIE, id="the cookie of a login"),
        pytest.param(KEYED, bearer("wrong"), COOKIE, Standing.WRONG, id="a wrong key is not made good by a cookie"),
        pytest.param(
            KEYED, Headers(), COOKIE[:-2] + "xx", Standing.WRONG, id="not a cookie whose signature was changed"
        ),
        pytest.param(KEYED, Headers(), "B" + COOKIE[1:], Standing.WRONG, id="not a cookie whose end was changed"),
        pytest.param(KEYED, Headers(), COOKIE[:20], Standing.WRONG, id="not a part of a cookie"),
        pytest.param(KEYED, Headers(), "", Standing.WRONG, id="not an empty cookie"),
        pytest.param(KEYED, Headers(), "no base64 ñ!", Standing.WRONG, id="not a cookie that is none"),
        pytest.param(KEYED, Headers(), ADMIN_KEY, Standing.WRONG, id="not the key as a cookie"),
        pytest.param(
            Access("another", is_keyed=True),
            Headers(),
            COOKIE,
            Standing.WRONG,
            id="another admin key ends every cookie",
        ),
        pytest.param(CLOSED, bearer(KEY), None, Standing.CLOSED, id="without an admin's key nobody, not even callers"),
        pytest.param(CLOSED, Headers(), COOKIE, Standing.CLOSED, id="nor a cookie of former days"),
        pytest.param(ADMIN_ALONE, Headers(), None, Standing.NOBODY, id="an admin's key alone closes them, too"),
        pytest.param(ADMIN_ALONE, bearer(ADMIN_KEY), None, Standing.BEARER, id="and opens them"),
    ],
)
def test_who_may_look(access: Access, headers: Headers, cookie: str | None, standing: Standing) -> None:
    assert access.visitor(headers, cookie, NOW).standing is standing


def test_a_cookie_ends_to_the_second_and_holds_no_key() -> None:
    nearly = NOW + LASTS - timedelta(seconds=1)
    assert KEYED.visitor(Headers(), COOKIE, nearly).standing is Standing.COOKIE
    assert KEYED.visitor(Headers(), COOKIE, NOW + LASTS).standing is Standing.NOBODY
    assert ADMIN_KEY not in COOKIE
    assert KEYED.new_cookie(NOW) != COOKIE, "two logins are told apart"


def test_another_replica_with_the_same_key_takes_the_cookie() -> None:
    assert Access(ADMIN_KEY, is_keyed=True).visitor(Headers(), COOKIE, NOW).standing is Standing.COOKIE


def test_each_login_has_its_own_word_for_forms() -> None:
    first, second = (KEYED.visitor(Headers(), cookie, NOW).csrf for cookie in (COOKIE, KEYED.new_cookie(NOW)))
    assert first != second
    assert len(first) == 64
    assert OPEN.visitor(Headers(), None, NOW).csrf != Access(None, is_keyed=False).visitor(Headers(), None, NOW).csrf


def test_ten_failures_a_minute_end_all_tries_of_that_address() -> None:
    access = Access(ADMIN_KEY, is_keyed=True)
    for second in range(FAILURES_A_MINUTE):
        assert not access.failed_logins.are_too_many("stranger", float(second))
        access.failed_logins.add("stranger", float(second))
    assert access.failed_logins.are_too_many("stranger", 59.9)
    assert not access.failed_logins.are_too_many("admin", 59.9), "no stranger keeps the admin out"
    assert not access.failed_logins.are_too_many("stranger", 60.0)


def test_failures_of_many_addresses_are_not_remembered_for_ever() -> None:
    access = Access(ADMIN_KEY, is_keyed=True)
    for _ in range(FAILURES_A_MINUTE):
        access.failed_logins.add("first", 0.0)
    for number in range(MOST_PEERS):
        assert access.failed_logins.are_too_many("first", 1.0)
        access.failed_logins.add(str(number), 1.0)
    assert not access.failed_logins.are_too_many("first", 1.0)


ORIGIN = "http://gateway.internal:8080"


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        pytest.param({"sec-fetch-site": "same-origin"}, True, id="its browser says so"),
        pytest.param({"sec-fetch-site": "same-origin", "origin": "null"}, True, id="whatever its origin is called"),
        pytest.param({"sec-fetch-site": "cross-site", "origin": ORIGIN}, False, id="its browser says that it is not"),
        pytest.param({"sec-fetch-site": "same-site", "origin": ORIGIN}, False, id="a sibling's page"),
        pytest.param({"sec-fetch-site": "none", "origin": ORIGIN}, False, id="no page at all"),
        pytest.param({"origin": ORIGIN}, True, id="an old browser, by its origin"),
        pytest.param({"origin": "https://gateway.internal:8080"}, True, id="behind something that ends https"),
        pytest.param({"origin": ORIGIN.upper().replace("HTTP", "http")}, True, id="in capitals"),
        pytest.param({"origin": "http://gateway.internal"}, False, id="another port"),
        pytest.param({"origin": "http://evil.example"}, False, id="another origin"),
        pytest.param({"origin": "http://gateway.internal:8080.evil.example"}, False, id="one that begins like ours"),
        pytest.param({"origin": "null"}, False, id="an origin that is not told"),
        pytest.param({"origin": "http://[::1"}, False, id="no origin"),
        pytest.param({"origin": "file://gateway.internal:8080"}, False, id="a file"),
        pytest.param({}, False, id="nothing is said"),
        pytest.param({"referer": ORIGIN + "/ui"}, False, id="a referrer alone"),
    ],
)
def test_forms_come_from_our_own_pages(headers: dict[str, str], same: bool) -> None:
    assert is_same_origin(Headers({"host": "gateway.internal:8080"} | headers)) is same


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        pytest.param("/ui", True, id="the first view"),
        pytest.param("/ui/calendar?until=2027-01-14", True, id="a view with its question"),
        pytest.param("/ui/routes/forum-reply?at=2027-01-14", True, id="a route on a day"),
        pytest.param("/ui/routes/a%20b", True, id="a name with a blank"),
        pytest.param("/ui/requests/req_0123", True, id="a request"),
        pytest.param("/ui/review?route=reply&show=all", True, id="the review of a route"),
        pytest.param("/ui/review/0199f0de-0000-7000-8000-0000000000ff?did=kept", True, id="an answer"),
        pytest.param("/ui/review/../keys", False, id="a way out of the review"),
        pytest.param("/ui/login", False, id="not the login itself"),
        pytest.param("/ui/actions/cutover", False, id="nothing that acts"),
        pytest.param("/v1/models", False, id="nothing outside the pages"),
        pytest.param("https://evil.example", False, id="another site"),
        pytest.param("//evil.example", False, id="another site without a scheme"),
        pytest.param("/\\evil.example", False, id="a backslash"),
        pytest.param("/ui//evil.example", False, id="two slashes"),
        pytest.param("/ui/../v1/models", False, id="a way out"),
        pytest.param("/ui/calendar@evil.example", False, id="a name in front of a host"),
        pytest.param("javascript:alert(1)", False, id="a script"),
        pytest.param("/ui\r\nset-cookie: a=b", False, id="a header"),
        pytest.param("/ui?q=<script>", False, id="markup"),
        pytest.param("/ui\n", False, id="a line's end"),
        pytest.param("/ui?" + "a" * 2000, False, id="a very long one"),
        pytest.param("", False, id="an empty one"),
        pytest.param(None, False, id="none"),
    ],
)
def test_a_login_leads_on_to_our_own_views_alone(path: str | None, kept: bool) -> None:
    assert own_view(path) == (path if kept else HOME)


@pytest.mark.parametrize(
    ("headers", "scheme", "secure"),
    [
        pytest.param({}, "http", False, id="plain"),
        pytest.param({}, "https", True, id="https to us"),
        pytest.param({"x-forwarded-proto": "https"}, "http", True, id="https up to a proxy"),
        pytest.param({"origin": "https://gateway.example"}, "http", True, id="as the browser says"),
        pytest.param({"origin": "http://gateway.example"}, "http", False, id="plain, as the browser says"),
    ],
)
def test_the_cookie_is_for_https_where_that_is_spoken(headers: dict[str, str], scheme: str, secure: bool) -> None:
    assert is_https(Headers(headers), scheme) is secure


FORM = (b"content-type", FORM_TYPE + b"; charset=utf-8")


@pytest.mark.parametrize(
    ("guard", "method", "headers", "error"),
    [
        pytest.param(guard_of(None, None), "GET", [(b"host", b"localhost:8080")], None, id="open, from here"),
        pytest.param(
            guard_of(None, None), "GET", [(b"host", b"evil.example")], ForbiddenOrigin, id="open, another name"
        ),
        pytest.param(
            guard_of(None, ADMIN_KEY), "GET", [(b"host", b"evil.example")], ForbiddenOrigin, id="an admin's key"
        ),
        pytest.param(
            guard_of(None, None),
            "POST",
            [(b"host", b"localhost"), FORM, (b"origin", b"http://evil.example")],
            ForbiddenOrigin,
            id="open, another's form",
        ),
        pytest.param(guard_of(KEY, ADMIN_KEY), "GET", [(b"host", b"gateway.example")], None, id="keyed, asked later"),
        pytest.param(guard_of(KEY, ADMIN_KEY), "POST", [FORM], None, id="keyed, a form"),
        pytest.param(guard_of(KEY, ADMIN_KEY), "POST", [], UnsupportedMediaType, id="no type"),
        pytest.param(
            guard_of(KEY, ADMIN_KEY),
            "POST",
            [(b"content-type", b"application/json")],
            UnsupportedMediaType,
            id="no form",
        ),
        pytest.param(
            guard_of(KEY, ADMIN_KEY),
            "POST",
            [FORM, (b"content-encoding", b"gzip")],
            UnsupportedMediaType,
            id="compressed",
        ),
        pytest.param(
            guard_of(KEY, ADMIN_KEY),
            "GET",
            [(b"authorization", b"Bearer sk-admin"), (b"authorization", b"Bearer sk-caller")],
            TwoCredentials,
            id="two keys",
        ),
        pytest.param(
            guard_of(KEY, ADMIN_KEY),
            "GET",
            [(b"authorization", b"Bearer sk-admin"), (b"x-api-key", b"sk-caller")],
            TwoCredentials,
            id="a key in two headers",
        ),
    ],
)
def test_the_guard_lets_pages_through_to_their_own_check(
    guard: Guard, method: str, headers: list[tuple[bytes, bytes]], error: type[Exception] | None
) -> None:
    if error is None:
        guard.admit_page(method, headers)
    else:
        with pytest.raises(error):
            guard.admit_page(method, headers)
