"""Reviewers at the door of the pages: what their keys and cookies open, and what ends them. Tables without a server."""

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from starlette.datastructures import Headers

from gateway.api.pages.access import LASTS, Access, Standing, Visitor
from gateway.api.pages.frame import Page, ReviewersPage
from gateway.api.pages.keys_words import may_do, routes_words
from gateway.api.pages.review_actions import LongPage
from gateway.api.pages.reviewers import ends_of
from gateway.config.callers import Caller, KeyRole
from gateway.execution.key_ring import KeyRing

KEY, ADMIN_KEY, PEPPER = "sk-caller", "sk-admin", b"pepper-of-the-reviewers-at-the-door"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
MIRA = Caller("key_mira0000", "mira", KeyRole.REVIEWER)
KIM = Caller("yaml:kim", "kim", KeyRole.REVIEWER, routes=("forum-*",), expires_at=NOW + timedelta(hours=1))
OTHERS = (Caller("key_forum000", "forum-app"), Caller("key_prom0000", "prometheus", KeyRole.OBSERVER))


def ring_of(*callers: Caller, pepper: bytes = PEPPER, **texts: str) -> KeyRing:
    """A ring on which each caller's key is its name, or what ``texts`` says."""
    ring = KeyRing(KEY, ADMIN_KEY, pepper=pepper)
    ring.replace([(ring.digest(texts.get(caller.name, caller.name).encode()), caller) for caller in callers])
    return ring


def access_of(ring: KeyRing, admin_key: str | None = ADMIN_KEY) -> Access:
    return Access(admin_key, is_keyed=True, ring=ring)


def bearer(secret: str) -> Headers:
    return Headers({"authorization": f"Bearer {secret}"})


RING = ring_of(MIRA, KIM, *OTHERS)
ACCESS = access_of(RING)
COOKIE = ACCESS.reviewers.new_cookie(MIRA, "mira", NOW + LASTS)


def seen(access: Access, cookie: str = COOKIE, at: datetime = NOW) -> Visitor:
    return access.visitor(Headers(), cookie, at)


@pytest.mark.parametrize(
    ("secret", "reviewer"),
    [
        pytest.param("mira", MIRA, id="a key of the database"),
        pytest.param("kim", KIM, id="a key of routes.yaml"),
        pytest.param(" mira\t", MIRA, id="with the blanks that parsers leave"),
        pytest.param("forum-app", None, id="not an application's"),
        pytest.param("prometheus", None, id="not an observer's"),
        pytest.param(KEY, None, id="not the callers' one key"),
        pytest.param("mirä", None, id="not one with letters beyond ASCII"),
        pytest.param("", None, id="not an empty one"),
        pytest.param(RING.digest(b"mira").hex(), None, id="not what a key is known by"),
        pytest.param("key_mira0000", None, id="not a key's id"),
        pytest.param(PEPPER.decode(), None, id="not the pepper"),
    ],
)
def test_whose_key_is_a_reviewers(secret: str, reviewer: Caller | None) -> None:
    visitor = ACCESS.visitor(bearer(secret), None, NOW)
    assert (visitor.standing, visitor.reviewer) == (Standing.BEARER if reviewer else Standing.WRONG, reviewer)
    assert ACCESS.reviewers.by_key(secret, NOW) == reviewer


def test_the_administrator_is_no_reviewer() -> None:
    assert ACCESS.visitor(bearer(ADMIN_KEY), None, NOW).reviewer is None
    visitor = seen(ACCESS, ACCESS.new_cookie(NOW))
    assert (visitor.standing, visitor.reviewer) == (Standing.COOKIE, None)
    assert ACCESS.reviewers.by_key(ADMIN_KEY, NOW) is None


def test_a_login_is_whose_key_it_was_made_with() -> None:
    visitor = seen(ACCESS)
    assert (visitor.standing, visitor.reviewer) == (Standing.COOKIE, MIRA)
    assert "mira" not in COOKIE and b"key_mira0000" in base64.urlsafe_b64decode(COOKIE + "==")
    assert RING.digest(b"mira") not in base64.urlsafe_b64decode(COOKIE + "==")


# What the ring is when the cookie comes; whether it still opens.
RINGS: dict[str, tuple[Callable[[], Access], bool]] = {
    "another replica, with the same secrets": (lambda: access_of(ring_of(MIRA)), True),
    "the key may see less by now": (lambda: access_of(ring_of(replace(MIRA, routes=("a",)))), True),
    "the key is revoked": (lambda: access_of(ring_of(KIM)), False),
    "the key has another text": (lambda: access_of(ring_of(MIRA, mira="another text")), False),
    "the key is an application's by now": (lambda: access_of(ring_of(replace(MIRA, role=KeyRole.CALLER), KIM)), False),
    "the key is an observer's by now": (lambda: access_of(ring_of(replace(MIRA, role=KeyRole.OBSERVER), KIM)), False),
    "another key has this text": (lambda: access_of(ring_of(replace(KIM, expires_at=None), kim="mira")), False),
}


@pytest.mark.parametrize(("access", "opens"), RINGS.values(), ids=RINGS)
def test_a_login_lasts_as_long_as_its_key(access: Callable[[], Access], opens: bool) -> None:
    visitor = seen(access())
    assert visitor.standing is (Standing.COOKIE if opens else Standing.NOBODY)
    assert (visitor.reviewer is not None) is opens


def test_what_a_login_may_see_is_the_keys_as_it_is_now() -> None:
    narrowed = replace(MIRA, routes=("a",), tags={"tenant": "acme"})
    assert seen(access_of(ring_of(narrowed))).reviewer == narrowed


def test_a_login_ends_with_its_hours_and_with_its_key() -> None:
    cookie = ACCESS.reviewers.new_cookie(KIM, "kim", NOW + LASTS)
    second = timedelta(seconds=1)
    assert seen(ACCESS, at=NOW + LASTS - second).standing is Standing.COOKIE
    assert seen(ACCESS, at=NOW + LASTS).standing is Standing.NOBODY
    assert seen(ACCESS, cookie, NOW + timedelta(hours=1) - second).reviewer == KIM
    assert seen(ACCESS, cookie, NOW + timedelta(hours=1)).standing is Standing.NOBODY
    assert ACCESS.visitor(bearer("kim"), None, NOW + timedelta(hours=1)).standing is Standing.WRONG
    assert (ends_of(KIM, NOW, LASTS), ends_of(MIRA, NOW, LASTS)) == (KIM.expires_at, NOW + LASTS)


def test_the_text_before_a_rotation_opens_until_its_grace_is_over() -> None:
    ring = KeyRing(KEY, ADMIN_KEY, pepper=PEPPER)
    until = NOW + timedelta(hours=1)
    ring.replace([(ring.digest(b"new"), MIRA), (ring.digest(b"mira"), replace(MIRA, expires_at=until))])
    access = access_of(ring)
    assert seen(access).standing is Standing.COOKIE
    assert seen(access, at=until).standing is Standing.NOBODY
    assert seen(access, access.reviewers.new_cookie(MIRA, "new", NOW + LASTS), until).reviewer == MIRA


def _forged(change: Callable[[bytes], bytes]) -> str:
    raw = base64.urlsafe_b64decode(COOKIE + "=" * (-len(COOKIE) % 4))
    return base64.urlsafe_b64encode(change(raw)).decode().rstrip("=")


WRONG = {
    "with a later end": _forged(lambda raw: b"\x7f" + raw[1:]),
    "for another key": _forged(lambda raw: raw.replace(b"key_mira0000", b"key_kim00000")),
    "with another seal": _forged(lambda raw: raw[:24] + bytes(32) + raw[56:]),
    "with another signature": _forged(lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])),
    "without a key": _forged(lambda raw: raw[:56] + raw[-32:]),
    "in half": COOKIE[:60],
    "with what is no text for a key": _forged(lambda raw: raw[:56] + b"\xff" * 12 + raw[-32:]),
    "an administrator's of another gateway": Access("another", is_keyed=True).new_cookie(NOW),
    "of another pepper": access_of(ring_of(MIRA, pepper=b"another-pepper-that-is-long-enough")).reviewers.new_cookie(
        MIRA, "mira", NOW + LASTS
    ),
    "of another admin key": access_of(RING, "another").reviewers.new_cookie(MIRA, "mira", NOW + LASTS),
    "of days without an admin key": access_of(RING, None).reviewers.new_cookie(MIRA, "mira", NOW + LASTS),
    "the key itself": "mira",
}


@pytest.mark.parametrize("cookie", WRONG.values(), ids=WRONG)
def test_no_other_cookie_opens(cookie: str) -> None:
    assert seen(ACCESS, cookie) == Visitor(Standing.WRONG)


def test_a_reviewers_cookie_is_no_administrators() -> None:
    assert seen(Access(ADMIN_KEY, is_keyed=True)).standing is Standing.WRONG
    assert ACCESS.reviewers.login_of(ACCESS.new_cookie(NOW)) is None


def test_each_login_has_its_own_word_for_forms_and_none_is_the_administrators() -> None:
    cookies = (COOKIE, ACCESS.reviewers.new_cookie(MIRA, "mira", NOW + LASTS), ACCESS.new_cookie(NOW))
    assert len({seen(ACCESS, cookie).csrf for cookie in cookies}) == 3
    assert ACCESS.visitor(bearer("mira"), None, NOW).csrf != ACCESS.visitor(bearer(ADMIN_KEY), None, NOW).csrf
    assert seen(access_of(ring_of(MIRA))).csrf == seen(ACCESS).csrf, "any replica obeys the form of another's page"


def test_without_an_administrator_reviewers_get_in_and_nobody_else() -> None:
    access = access_of(RING, None)
    cookie = access.reviewers.new_cookie(MIRA, "mira", NOW + LASTS)
    assert seen(access, cookie).reviewer == MIRA
    assert access.visitor(bearer("kim"), None, NOW).reviewer == KIM
    assert access.visitor(bearer(ADMIN_KEY), None, NOW).standing is Standing.WRONG
    assert access.visitor(Headers(), None, NOW).standing is Standing.NOBODY
    assert access_of(ring_of(*OTHERS), None).visitor(bearer("mira"), None, NOW).standing is Standing.CLOSED


def test_pages_open_to_reviewers_only_where_they_say_so() -> None:
    assert (Page.opens_to_reviewers, ReviewersPage.opens_to_reviewers, LongPage.opens_to_reviewers) == (
        False,
        True,
        True,
    )


SAID = {
    "everybody's answers": (
        MIRA,
        "review: all",
        ["It may review every route.", "It sees every tenant’s.", "Its marks are kept as mira’s"],
    ),
    "one tenant's, of some routes": (
        replace(KIM, routes=("a", "b", "c-*"), tags={"tenant": "acme"}),
        "review: a, b +1",
        ["It may review a, b, c-*: 1 route of 2 now, a.", "Of those it sees acme’s alone."],
    ),
}


@pytest.mark.parametrize(("caller", "routes", "sentences"), SAID.values(), ids=SAID)
def test_a_keys_page_says_what_a_reviewer_may(caller: Caller, routes: str, sentences: list[str]) -> None:
    said = " ".join(may_do(caller, ("a", "other")))
    assert routes_words(caller) == routes
    assert said.startswith("It opens the review of answers, and nothing else.")
    assert [sentence for sentence in sentences if sentence not in said] == []
