from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.lifecycle import UNKNOWN_DATES, Dates, Origin
from gateway.policy.precedence import merge, ordered, rank, says_it_stays

EARLY, DAY, LATE = date(2026, 12, 1), date(2027, 1, 14), date(2027, 4, 14)


def claim(origin: Origin, shutdown: date | None = DAY, **fields: Any) -> Dates:
    acts = origin in (Origin.OPERATOR, Origin.PROVIDER, Origin.CURATED)
    return Dates(**{"shutdown": shutdown, "origin": origin, "acts": acts, "source": origin.value} | fields)


OPERATOR, PROVIDER, CURATED = claim(Origin.OPERATOR), claim(Origin.PROVIDER), claim(Origin.CURATED)
OF_BASE = claim(Origin.PROVIDER, inherited_from="base")
FEED, LITELLM = claim(Origin.FEED), claim(Origin.LITELLM)


@pytest.mark.parametrize(
    ("claims", "winner"),
    [
        pytest.param([claim(Origin.OPERATOR, LATE), PROVIDER], Origin.OPERATOR, id="the operator above the provider"),
        pytest.param([claim(Origin.PROVIDER, LATE), CURATED], Origin.PROVIDER, id="the provider above what ships"),
        pytest.param([claim(Origin.CURATED, LATE), FEED], Origin.CURATED, id="a person's row above a feed's"),
        pytest.param([claim(Origin.FEED, LATE), LITELLM], Origin.FEED, id="a feed above litellm's map"),
        pytest.param(
            [claim(Origin.PROVIDER, None), CURATED], Origin.CURATED, id="a provider that names no day denies nobody's"
        ),
        pytest.param(
            [claim(Origin.OPERATOR, None), CURATED],
            Origin.OPERATOR,
            id="an operator who names nothing means that it stays",
        ),
        pytest.param(
            [replace(OF_BASE, shutdown=LATE), CURATED],
            Origin.CURATED,
            id="the provider's word on the base is no better",
        ),
        pytest.param(
            [replace(OF_BASE, shutdown=EARLY), CURATED], Origin.PROVIDER, id="of those two the earlier one counts"
        ),
        pytest.param(
            [replace(OF_BASE, shutdown=EARLY, acts=False), CURATED],
            Origin.CURATED,
            id="of those two one that acts before one that may still move",
        ),
        pytest.param(
            [replace(PROVIDER, shutdown=LATE, acts=False), CURATED],
            Origin.PROVIDER,
            id="the provider's tentative word on the model itself is still its word",
        ),
        pytest.param([claim(Origin.FEED, None, announced=EARLY)], Origin.FEED, id="without any day the strongest"),
    ],
)
def test_who_is_believed(claims: list[Dates], winner: Origin) -> None:
    for order in (claims, claims[::-1]):
        assert merge(order).origin is winner


def test_nothing_is_known_where_nobody_speaks() -> None:
    assert merge(()) == UNKNOWN_DATES


@pytest.mark.parametrize(
    ("claims", "disputed_by"),
    [
        pytest.param([CURATED, LITELLM], [], id="the same day is no dispute"),
        pytest.param([CURATED, claim(Origin.LITELLM, LATE)], [Origin.LITELLM], id="another day is"),
        pytest.param([CURATED, claim(Origin.FEED, None)], [], id="no day is none"),
        pytest.param(
            [claim(Origin.OPERATOR, None), CURATED, LITELLM],
            [Origin.CURATED, Origin.LITELLM],
            id="an operator who says it stays is contradicted by every day",
        ),
        pytest.param(
            [claim(Origin.FEED, LATE), claim(Origin.LITELLM, EARLY), CURATED],
            [Origin.FEED, Origin.LITELLM],
            id="the strongest first",
        ),
    ],
)
def test_who_says_otherwise_is_shown(claims: list[Dates], disputed_by: list[Origin]) -> None:
    assert [other.origin for other in merge(claims).disputed_by] == disputed_by


def test_what_the_winner_leaves_out_comes_from_the_strongest_that_has_it() -> None:
    own = claim(Origin.PROVIDER, DAY)
    curated = claim(Origin.CURATED, LATE, announced=EARLY, replacement="gpt-6-luna")
    feed = claim(Origin.FEED, DAY, announced=DAY, replacement="another", last_training_day=EARLY)
    merged = merge([feed, curated, own])
    assert (merged.announced, merged.replacement, merged.last_training_day) == (EARLY, "gpt-6-luna", EARLY)
    assert (merged.origin, merged.source, merged.shutdown) == (Origin.PROVIDER, "provider", DAY)


def test_a_stronger_one_without_a_day_still_tells_what_it_knows() -> None:
    merged = merge([claim(Origin.PROVIDER, None, announced=EARLY), CURATED])
    assert (merged.origin, merged.announced) == (Origin.CURATED, EARLY)


def test_days_that_cannot_be_true_of_the_winner_are_not_filled_in() -> None:
    merged = merge([claim(Origin.PROVIDER, EARLY), claim(Origin.CURATED, LATE, announced=DAY, last_training_day=DAY)])
    assert (merged.announced, merged.last_training_day) == (None, None)


def test_an_operator_who_says_it_stays_is_told_of_no_announcement() -> None:
    merged = merge([claim(Origin.OPERATOR, None), claim(Origin.CURATED, announced=EARLY, replacement="next")])
    assert (merged.shutdown, merged.announced, merged.replacement) == (None, None, None)


def test_an_operator_who_adds_to_what_is_known_does_not_unsay_the_day() -> None:
    merged = merge([claim(Origin.OPERATOR, None, replacement="ours"), claim(Origin.CURATED, DAY, replacement="theirs")])
    assert (merged.shutdown, merged.replacement, merged.origin) == (DAY, "ours", Origin.CURATED)


days = st.none() | st.dates(date(2026, 1, 1), date(2028, 12, 31))
any_claim = st.builds(
    Dates,
    announced=days,
    shutdown=days,
    replacement=st.none() | st.sampled_from(["a", "b"]),
    certainty=st.sampled_from(["planned", "tentative"]),
    source=st.text(max_size=3),
    acts=st.booleans(),
    last_training_day=days,
    origin=st.sampled_from(Origin),
    inherited_from=st.none() | st.just("base"),
)


@given(st.lists(any_claim, min_size=1, max_size=8))
def test_the_winner_is_never_weaker_than_another_and_hides_none(claims: list[Dates]) -> None:
    merged = merge(claims)
    dated = [claim for claim in claims if claim.shutdown is not None]
    operators = [claim for claim in claims if claim.origin is Origin.OPERATOR]
    if any(claim.shutdown for claim in operators) or not any(map(says_it_stays, operators)):
        assert (merged.shutdown is None) == (not dated)
        assert all(rank(merged) <= rank(claim) for claim in dated)
        equals = [claim for claim in dated if (rank(claim), claim.acts) == (rank(merged), merged.acts)]
        assert all(
            merged.shutdown is not None and merged.shutdown <= claim.shutdown for claim in equals if claim.shutdown
        )
    else:
        assert merged.origin is Origin.OPERATOR
    assert {claim.shutdown for claim in dated} <= {merged.shutdown, *(other.shutdown for other in merged.disputed_by)}
    assert all(other.shutdown not in (None, merged.shutdown) for other in merged.disputed_by)


@given(st.lists(any_claim, max_size=6), st.randoms(use_true_random=False))
def test_what_is_believed_does_not_depend_on_who_spoke_first(claims: list[Dates], random: Any) -> None:
    shuffled = list(claims)
    random.shuffle(shuffled)
    one, other = merge(claims), merge(shuffled)
    assert (one.shutdown, one.origin, one.acts) == (other.shutdown, other.origin, other.acts)
    assert [rank(claim) for claim in ordered(claims)] == sorted(map(rank, claims))
