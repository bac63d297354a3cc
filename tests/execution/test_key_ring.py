import hmac
from datetime import UTC, datetime

import pytest

from gateway.config.callers import Caller, KeyRole
from gateway.execution.key_ring import KeyRing, digest_of

PEPPER = b"p" * 32
ONE, TWO = Caller("key_aaaaaaaa", "one"), Caller("key_bbbbbbbb", "two", expires_at=datetime(2020, 1, 1, tzinfo=UTC))


def test_a_digest_is_hmac_sha_256_under_the_pepper() -> None:
    ring = KeyRing(None, None, pepper=PEPPER)
    for key in (b"", b"us_abcd1234_x", b"\xff" * 1000):
        assert ring.digest(key) == digest_of(PEPPER, key) == hmac.new(PEPPER, key, "sha256").digest()
    assert ring.digest(b"a") != KeyRing(None, None, pepper=b"q" * 32).digest(b"a")


def test_without_a_pepper_digests_are_this_processs_own() -> None:
    assert KeyRing("k", None).digest(b"k") != KeyRing("k", None).digest(b"k")


@pytest.mark.parametrize(
    ("ring", "is_open", "is_keyed", "knows_all", "has_admin"),
    [
        pytest.param(KeyRing(None, None), True, False, True, False, id="no keys at all"),
        pytest.param(KeyRing(None, "a"), True, False, True, True, id="an admin's alone"),
        pytest.param(KeyRing("k", "a"), False, False, True, True, id="the environment's"),
        pytest.param(KeyRing(None, None, pepper=PEPPER), False, True, False, False, id="the database's, not read yet"),
        pytest.param(KeyRing("k", "a", pepper=PEPPER), False, True, False, True, id="both"),
    ],
)
def test_what_a_ring_tells_of_itself(
    ring: KeyRing, is_open: bool, is_keyed: bool, knows_all: bool, has_admin: bool
) -> None:
    assert (ring.is_open, ring.is_keyed, ring.knows_all, ring.has_admin) == (is_open, is_keyed, knows_all, has_admin)


def test_keys_of_the_environment_are_always_there() -> None:
    ring = KeyRing("k", "a", pepper=PEPPER, residency="eu", pins=True)
    ring.replace([])
    default, admin = ring.find(b"k"), ring.find(b"a")
    assert default == Caller("default", "default", residency="eu", pins=True, capture=True)
    assert admin is not None
    assert (admin.name, admin.role, admin.is_limited) == ("admin", KeyRole.ADMIN, False)


def test_others_are_replaced_whole_and_the_environments_win() -> None:
    ring = KeyRing("k", "a", pepper=PEPPER)
    ring.replace([(ring.digest(b"1"), ONE), (ring.digest(b"k"), TWO)])
    assert ring.find(b"1") == ONE
    assert ring.find(b"k") == Caller("default", "default", capture=True)
    ring.replace([(ring.digest(b"2"), TWO)])
    assert ring.find(b"1") is None
    assert ring.find(b"2") == TWO, "expired or not: the guard looks at the clock"


def test_only_all_of_the_databases_keys_make_a_ring_know_all() -> None:
    ring = KeyRing(None, "a", pepper=PEPPER)
    ring.replace([(ring.digest(b"1"), ONE)], all_of_them=False)
    assert not ring.knows_all
    ring.replace([(ring.digest(b"1"), ONE)])
    ring.replace([], all_of_them=False)
    assert ring.knows_all, "what was read once stays read"


def test_a_secret_for_a_purpose_follows_from_the_pepper_and_is_no_digest_of_a_key() -> None:
    ring, other = KeyRing("k", None, pepper=PEPPER), KeyRing(None, "a", pepper=PEPPER)
    assert ring.secret_for("one") == other.secret_for("one") != ring.secret_for("two")
    assert ring.secret_for("one") != ring.digest(b"one")
