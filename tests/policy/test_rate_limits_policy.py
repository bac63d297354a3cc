"""Requests and tokens per minute: no window of 60 seconds has more than is promised, and nobody waits for nothing."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.limits import (
    MINUTE_US,
    Level,
    Limit,
    duration_text,
    given_back,
    requests_limit,
    taken,
    tokens_limit,
    wait_us,
)

SECOND_US = 1_000_000
START_US = 1_000 * SECOND_US


@pytest.mark.parametrize(
    ("per_minute", "burst"),
    [
        pytest.param(1, 1, id="one a minute: one at once"),
        pytest.param(5, 1, id="less than one in ten seconds: one at once"),
        pytest.param(60, 10, id="one a second: ten seconds' worth at once"),
        pytest.param(700, 116, id="what does not divide evenly is rounded down"),
        pytest.param(100_000, 16_666, id="a hundred thousand"),
    ],
)
def test_as_many_requests_come_at_once_as_the_burst(per_minute: int, burst: int) -> None:
    limit, level = requests_limit(per_minute), Level()
    let_in = 0
    while wait_us(level, limit, 1, START_US) == 0 and let_in <= burst:
        assert abs(limit.left(level.rests_at_us - START_US) - (burst - let_in)) <= (burst - let_in) / 100
        level = taken(level, limit, 1, START_US)
        let_in += 1
    assert (limit.burst, let_in) == (burst, burst)
    assert limit.left(level.rests_at_us - START_US) == 0


def test_who_waits_as_long_as_was_said_is_let_in_and_a_microsecond_earlier_not() -> None:
    limit, level = requests_limit(7), taken(Level(), requests_limit(7), 1, START_US)
    wait = wait_us(level, limit, 1, START_US)
    assert wait > 0
    assert wait_us(level, limit, 1, START_US + wait - 1) == 1
    assert wait_us(level, limit, 1, START_US + wait) == 0


def test_what_is_larger_than_the_burst_passes_once_all_has_drained_away() -> None:
    limit = tokens_limit(1000)
    level = taken(Level(), limit, 100, START_US)
    assert wait_us(level, limit, 1000, START_US) == level.rests_at_us - START_US == 6 * SECOND_US
    assert wait_us(level, limit, 1000, level.rests_at_us) == 0


@pytest.mark.parametrize(
    ("after_s", "room"),
    [
        pytest.param(0, 500, id="at once: all of it"),
        pytest.param(6, 500, id="after a while: what drained meanwhile is there either way"),
        pytest.param(12, 500, id="when half has drained: the rest comes back, and that is all there can be"),
        pytest.param(60, 500, id="when all has drained: nothing is left to come back"),
    ],
)
def test_all_of_an_amount_that_comes_back_leaves_it_as_if_it_had_never_been_taken(after_s: int, room: int) -> None:
    limit = tokens_limit(1000)
    level = taken(Level(), limit, 400, START_US)
    now = START_US + after_s * SECOND_US
    level = given_back(level, limit, level.mark_us, 400, now)
    assert limit.left(level.rests_at_us - now) == room


def test_what_has_drained_away_does_not_come_back_at_the_cost_of_later_takers() -> None:
    limit = tokens_limit(60)
    early = taken(Level(), limit, 30, START_US)
    later = START_US + 40 * SECOND_US
    level = taken(early, limit, 30, later)
    assert given_back(level, limit, early.mark_us, 30, later) == level


@pytest.mark.parametrize(
    ("duration_us", "said"),
    [
        (0, "0s"),
        (1, "1ms"),
        (120_000, "120ms"),
        (999_001, "1s"),
        (1_000_000, "1s"),
        (1_500_000, "1.5s"),
        (59_999_000, "59.999s"),
        (360_000_000, "6m0s"),
        (3_600_000_000 + 62_500_000, "1h1m2.5s"),
        (-5, "0s"),
    ],
)
def test_a_duration_reads_as_in_openais_headers(duration_us: int, said: str) -> None:
    assert duration_text(duration_us) == said


moves = st.lists(
    st.one_of(
        st.integers(0, 3), st.integers(0, 70 * SECOND_US), st.sampled_from([SECOND_US, 10 * SECOND_US, MINUTE_US])
    ),
    max_size=80,
)


@given(st.integers(1, 400), moves)
def test_in_any_minute_are_no_more_requests_than_the_limit_and_its_burst(per_minute: int, pauses: list[int]) -> None:
    limit, level, now = requests_limit(per_minute), Level(), START_US
    let_in: list[int] = []
    for pause in pauses:
        now += pause
        # As many as come in at once, and one more.
        for _ in range(limit.burst + 1):
            if wait_us(level, limit, 1, now) == 0:
                level = taken(level, limit, 1, now)
                let_in.append(now)
    for first, at in enumerate(let_in):
        in_window = sum(at <= other <= at + MINUTE_US for other in let_in[first:])
        assert in_window <= per_minute + limit.burst


@dataclass
class Request:
    """One that was let in, and what of it has come back."""

    at_us: int
    took: int
    mark_us: int
    unused: int = 0
    back_us: int = 0


steps = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.just(0), st.integers(1, 100)),
        st.tuples(st.just("wait"), st.integers(0, 90), st.just(0)),
        st.tuples(st.just("end"), st.integers(0, 5), st.integers(0, 100)),
    ),
    min_size=4,
    max_size=40,
)
"""Take so many percent of the limit; wait so many seconds; of a request under way so many percent were not used."""


def played(limit: Limit, script: list[tuple[str, int, int]]) -> tuple[list[Request], Level, int]:
    """Requests come, take tokens, and end with some of them unused; return them, the level, and the time."""
    requests: list[Request] = []
    running: list[Request] = []
    level, now = Level(), START_US
    for what, number, percent in script:
        tokens = max(1, limit.per_minute * percent // 100)
        if what == "wait":
            now += number * SECOND_US
        elif what == "take" and wait_us(level, limit, tokens, now) == 0:
            level = taken(level, limit, tokens, now)
            requests.append(Request(now, tokens, level.mark_us))
            running.append(requests[-1])
        elif what == "end" and running:
            request = running.pop(number % len(running))
            request.unused = request.took * percent // 100
            before, level = level, given_back(level, limit, request.mark_us, request.unused, now)
            request.back_us = level.given_back_us - before.given_back_us
    return requests, level, now


@given(st.integers(1, 600), steps)
def test_in_any_minute_no_more_tokens_are_used_than_the_limit_and_its_burst_or_the_largest_request(
    per_minute: int, script: list[tuple[str, int, int]]
) -> None:
    limit = tokens_limit(per_minute)
    requests, _, _ = played(limit, script)
    for first, request in enumerate(requests):
        within = [other for other in requests[first:] if other.at_us <= request.at_us + MINUTE_US]
        used = sum(other.took - other.unused for other in within)
        assert used <= per_minute + max(limit.burst, *(other.took for other in within))


@given(st.integers(1, 600), steps)
def test_after_all_that_came_back_the_level_is_as_if_only_the_rest_had_ever_been_taken(
    per_minute: int, script: list[tuple[str, int, int]]
) -> None:
    limit = tokens_limit(per_minute)
    requests, level, _ = played(limit, script)
    rests_at_us = 0
    for request in requests:
        rests_at_us = max(rests_at_us, request.at_us) + limit.cost_us(request.took) - request.back_us
    assert level.rests_at_us == rests_at_us
