import pytest

from gateway.policy.intended import is_intended
from gateway.reasons import Reason


@pytest.mark.parametrize(
    ("reason", "intended"),
    [
        pytest.param(Reason.PRIMARY, True, id="the primary is meant to answer"),
        pytest.param(Reason.NO_PRIMARY, True, id="a fallback is, where nothing is trained yet"),
        pytest.param(Reason.SHUTDOWN_REACHED, True, id="a date chose the fallback"),
        pytest.param(Reason.DEPRECATED_RAMP, True, id="the ramp chose it"),
        pytest.param(Reason.COMMANDED, True, id="a person chose it"),
        pytest.param(Reason.REHEARSAL, True, id="the rehearsal chose it"),
        pytest.param(Reason.GONE, False, id="the primary is gone, and nobody knew of a date"),
        pytest.param(Reason.NO_ACCESS, False, id="we may not use the primary"),
        pytest.param(Reason.SUSPECT, False, id="the primary is doubted"),
        pytest.param(Reason.CIRCUIT_OPEN, False, id="the primary fails"),
        pytest.param(Reason.RESTING, False, id="the primary asked for a pause"),
        pytest.param(Reason.TIMEOUT, False, id="the primary was too slow"),
        pytest.param(Reason.RATE_LIMITED, False, id="the primary had no room"),
        pytest.param(Reason.LACKS_CAPABILITY, False, id="the primary cannot do it"),
    ],
)
def test_whoever_was_chosen_is_intended_and_whoever_stands_in_is_not(reason: Reason, intended: bool) -> None:
    assert is_intended(reason, first_after_date=False) is intended


def test_a_primary_that_had_left_by_date_is_missed_by_nobody() -> None:
    assert is_intended(Reason.GONE, first_after_date=True)
