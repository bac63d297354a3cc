from fake_clock import FakeClock

from gateway.execution.cache_keys import REQUESTS_PER_KEY, CacheKeys


def _shards(keys: CacheKeys, count: int) -> list[int]:
    return [int(keys.next().rsplit("-", 1)[1]) for _ in range(count)]


def test_a_key_names_the_prompt_and_fits_what_providers_take() -> None:
    keys = [CacheKeys(version, FakeClock()).next() for version in ("0123456789ab", "ba9876543210")]
    assert keys == ["understudy-0123456789ab-0", "understudy-ba9876543210-0"]
    assert all(len(key) <= 64 for key in keys)


def test_a_quiet_route_keeps_to_one_cache_for_ever() -> None:
    clock = FakeClock()
    keys = CacheKeys("v", clock)
    shards = []
    for _ in range(10):
        shards += _shards(keys, REQUESTS_PER_KEY)
        clock.advance(60)
    assert shards == [0] * 10 * REQUESTS_PER_KEY


def test_fifteen_requests_of_a_minute_share_a_key_and_the_next_ones_get_another() -> None:
    keys = CacheKeys("v", FakeClock())
    assert _shards(keys, 46) == [0] * 15 + [1] * 15 + [2] * 15 + [3]


def test_each_minute_begins_with_the_same_keys() -> None:
    clock = FakeClock()
    keys = CacheKeys("v", clock)
    first = _shards(keys, 40)
    clock.advance(59.9)
    assert _shards(keys, 1) == [2]
    clock.advance(0.1)
    assert _shards(keys, 40) == first
    clock.advance(3600)
    assert _shards(keys, 40) == first


def test_no_key_gets_more_than_fifteen_requests_of_a_minute() -> None:
    keys = CacheKeys("v", FakeClock())
    shards = _shards(keys, 1000)
    assert max(shards.count(shard) for shard in range(max(shards) + 1)) == REQUESTS_PER_KEY


def test_a_tenant_has_caches_of_its_own_even_for_a_prompt_that_others_have_too() -> None:
    names = {CacheKeys("v", FakeClock(), tenant).next() for tenant in (None, "acme", "globex")}
    assert len(names) == 3
    assert CacheKeys("v", FakeClock(), "acme").next() in names, "the same in every replica"
    assert len(CacheKeys("221ff1a6d0a3-replace", FakeClock(), "t" * 64).next()) <= 64
