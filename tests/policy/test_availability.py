from datetime import UTC, datetime, timedelta

import pytest

from gateway.policy.availability import RETURN_HOLDS, Sign, TargetState, after, follow, may_change
from gateway.reasons import Availability

AVAILABLE, SUSPECT, UNKNOWN = Availability.AVAILABLE, Availability.SUSPECT, Availability.UNKNOWN
GONE, NO_ACCESS = Availability.GONE, Availability.NO_ACCESS
NOW = datetime(2027, 1, 14, tzinfo=UTC)

# One row a belief, one column a sign: the whole machine.
SIGNS = (Sign.ANSWERED, Sign.SAID_GONE, Sign.FOUND_GONE, Sign.FOUND_NO_ACCESS, Sign.FOUND_AVAILABLE, Sign.FOUND_NOTHING)
MACHINE = {
    UNKNOWN: (AVAILABLE, SUSPECT, GONE, NO_ACCESS, AVAILABLE, UNKNOWN),
    AVAILABLE: (AVAILABLE, SUSPECT, GONE, NO_ACCESS, AVAILABLE, AVAILABLE),
    SUSPECT: (SUSPECT, SUSPECT, GONE, NO_ACCESS, AVAILABLE, SUSPECT),
    GONE: (GONE, GONE, GONE, NO_ACCESS, AVAILABLE, GONE),
    NO_ACCESS: (NO_ACCESS, NO_ACCESS, GONE, NO_ACCESS, AVAILABLE, NO_ACCESS),
}


@pytest.mark.parametrize(
    ("before", "sign", "expected"),
    [
        pytest.param(before, sign, expected, id=f"{before} and {sign}: {expected}")
        for before, row in MACHINE.items()
        for sign, expected in zip(SIGNS, row, strict=True)
    ],
)
def test_what_is_believed_after_a_sign(before: Availability, sign: Sign, expected: Availability) -> None:
    assert after(before, sign) is expected


def test_the_table_knows_every_belief_and_every_sign() -> None:
    assert set(MACHINE) == set(Availability)
    assert set(SIGNS) == set(Sign)


@pytest.mark.parametrize("mine", Availability, ids=str)
@pytest.mark.parametrize("agreed", [AVAILABLE, GONE, NO_ACCESS], ids=str)
def test_what_is_agreed_counts_but_clears_no_suspicion(mine: Availability, agreed: Availability) -> None:
    expected = SUSPECT if (mine, agreed) == (SUSPECT, AVAILABLE) else agreed
    assert follow(mine, agreed) is expected


def state(availability: Availability, age: timedelta) -> TargetState:
    return TargetState(availability, 3, NOW - age)


@pytest.mark.parametrize(
    ("before", "found", "expected"),
    [
        pytest.param(None, GONE, True, id="the first time it is gone"),
        pytest.param(None, AVAILABLE, False, id="there is nothing to tell of one that was never gone"),
        pytest.param(
            state(GONE, timedelta(0)), AVAILABLE, True, id="a return is its own three probes, and may be told"
        ),
        pytest.param(state(GONE, timedelta(0)), NO_ACCESS, True, id="gone turns out to be closed to us"),
        pytest.param(state(GONE, timedelta(hours=1)), GONE, False, id="gone stays gone: nothing changes"),
        pytest.param(state(AVAILABLE, RETURN_HOLDS), GONE, True, id="gone again, a minute after its return"),
        pytest.param(
            state(AVAILABLE, RETURN_HOLDS - timedelta(seconds=1)), GONE, False, id="gone again too soon has to wait"
        ),
        pytest.param(
            state(AVAILABLE, timedelta(minutes=-30)), GONE, True, id="the clock was set back: wait for nothing"
        ),
        pytest.param(state(GONE, timedelta(0)), SUSPECT, False, id="a suspicion is nobody else's business"),
        pytest.param(state(GONE, timedelta(0)), UNKNOWN, False, id="nothing found changes nothing"),
    ],
)
def test_when_a_finding_may_be_agreed_on(before: TargetState | None, found: Availability, expected: bool) -> None:
    assert may_change(before, found, NOW) is expected
