"""How long a canary may take, by what is known of the primary's answers."""

import pytest

from gateway.metrics import FIRST_TOKEN_S, SECONDS, Histogram
from gateway.policy.patience import canary_limit_s


def distribution(*answers: tuple[int, float], bounds: tuple[float, ...] = SECONDS) -> Histogram:
    """So many answers that took so many seconds."""
    made = Histogram(bounds)
    for number, seconds in answers:
        for _ in range(number):
            made.observe(seconds)
    return made


@pytest.mark.parametrize(
    ("known", "at_most_s", "expected"),
    [
        pytest.param(distribution(), 600, 600, id="nothing is known: as for anybody"),
        pytest.param(distribution((99, 7)), 600, 600, id="99 answers are too few"),
        pytest.param(distribution((100, 7)), 600, 30, id="100 answers of 7 s, which were counted as 10 at most"),
        pytest.param(distribution((100, 10)), 600, 30, id="a bound belongs to its own bucket"),
        pytest.param(distribution((99, 7), (1, 300)), 600, 30, id="one of 100 does not count"),
        pytest.param(
            distribution((98, 7), (2, 300)), 600, 600, id="two of 100 do: three times 320 is more than total_s"
        ),
        pytest.param(distribution((199, 7), (2, 300)), 600, 30, id="two of 201 are fewer than one of 100"),
        pytest.param(distribution((1000, 0.2)), 600, 10, id="a primary that answers at once leaves the floor"),
        pytest.param(distribution((1000, 3)), 600, 15, id="above the floor it is three times"),
        pytest.param(distribution((1000, 3)), 12, 12, id="never more than the route's own"),
        pytest.param(
            distribution((1000, 0.2)), 4, 4, id="a route that waits less than the floor waits no longer for it"
        ),
        pytest.param(distribution((98, 7), (2, 700)), 600, 600, id="they fall above every bound"),
        pytest.param(distribution((98, 1), (2, 61), bounds=FIRST_TOKEN_S), 90, 90, id="so do first events"),
        pytest.param(distribution((100, 4), bounds=FIRST_TOKEN_S), 60, 15, id="first events have bounds of their own"),
    ],
)
def test_how_long_a_canary_may_take(known: Histogram, at_most_s: float, expected: float) -> None:
    assert canary_limit_s(known.bounds, known.counts, at_most_s=at_most_s) == expected
