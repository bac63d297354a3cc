import pytest

from gateway.policy.verification import CALLS_TO_BELIEVE, Evidence, Listing, conclude, recheck_pause_s
from gateway.reasons import Availability, FailureKind

GONE, NO_ACCESS, EITHER = FailureKind.MODEL_GONE, FailureKind.MODEL_NO_ACCESS, FailureKind.MODEL_AMBIGUOUS
REFUSED, BUSY = FailureKind.AUTHENTICATION, FailureKind.OVERLOADED
LISTED, ABSENT, UNAVAILABLE = Listing.LISTED, Listing.ABSENT, Listing.UNAVAILABLE


@pytest.mark.parametrize(
    ("evidence", "believed"),
    [
        pytest.param(
            Evidence(Listing.KEY_REFUSED, (FailureKind.AUTHENTICATION,), ever_served=True, date_passed=True),
            Availability.NO_ACCESS,
            id="the key is refused: no access, whatever else is known",
        ),
        pytest.param(
            Evidence(Listing.KEY_REFUSED),
            None,
            id="a key that may not list may still call: ask",
        ),
        pytest.param(
            Evidence(Listing.KEY_REFUSED, (None,)),
            Availability.AVAILABLE,
            id="a key that may not list and may call",
        ),
        pytest.param(Evidence(ABSENT), Availability.NO_ACCESS, id="absent and never served: perhaps never ours"),
        pytest.param(Evidence(ABSENT, ever_served=True), Availability.GONE, id="absent, and it once answered: gone"),
        pytest.param(Evidence(ABSENT, date_passed=True), Availability.GONE, id="absent, and its date has passed: gone"),
        pytest.param(Evidence(LISTED), None, id="listed: a call must tell"),
        pytest.param(Evidence(UNAVAILABLE), None, id="no list to be had: a call must tell"),
        pytest.param(Evidence(LISTED, (None,)), Availability.AVAILABLE, id="listed and it answers"),
        pytest.param(Evidence(UNAVAILABLE, (None,)), Availability.AVAILABLE, id="no list, but it answers"),
        pytest.param(Evidence(LISTED, (GONE,)), None, id="listed, one call says gone: not enough"),
        pytest.param(
            Evidence(LISTED, (GONE, GONE), ever_served=True), None, id="listed, two calls say gone: not enough"
        ),
        pytest.param(Evidence(LISTED, (GONE,) * 3), Availability.GONE, id="listed, but three calls say gone"),
        pytest.param(Evidence(UNAVAILABLE, (GONE,) * 3), Availability.GONE, id="no list, three calls say gone"),
        pytest.param(Evidence(LISTED, (GONE, None)), Availability.AVAILABLE, id="it answers at the second call"),
        pytest.param(Evidence(LISTED, (GONE, GONE, None)), Availability.AVAILABLE, id="it answers at the third call"),
        pytest.param(Evidence(LISTED, (NO_ACCESS,)), Availability.NO_ACCESS, id="a call says no access"),
        pytest.param(Evidence(LISTED, (REFUSED,)), Availability.NO_ACCESS, id="a call's key is refused"),
        pytest.param(Evidence(LISTED, (GONE, NO_ACCESS)), Availability.NO_ACCESS, id="first gone, then no access"),
        pytest.param(Evidence(LISTED, (BUSY,)), Availability.UNKNOWN, id="a busy provider says nothing"),
        pytest.param(Evidence(LISTED, (GONE, BUSY)), Availability.UNKNOWN, id="gone, then busy, says nothing"),
        pytest.param(
            Evidence(LISTED, (EITHER,) * 3), Availability.UNKNOWN, id="listed, three ambiguous calls: unknown"
        ),
        pytest.param(
            Evidence(LISTED, (GONE, EITHER, GONE), ever_served=True),
            Availability.UNKNOWN,
            id="listed, not all of three calls say gone: unknown",
        ),
        pytest.param(Evidence(UNAVAILABLE, (EITHER,) * 2), None, id="no list, two ambiguous calls: not enough"),
        pytest.param(
            Evidence(UNAVAILABLE, (EITHER,) * 3, ever_served=True),
            Availability.GONE,
            id="no list, three ambiguous calls, and it once answered: gone",
        ),
        pytest.param(
            Evidence(UNAVAILABLE, (EITHER,) * 3, date_passed=True),
            Availability.GONE,
            id="no list, three ambiguous calls, its date has passed: gone",
        ),
        pytest.param(
            Evidence(UNAVAILABLE, (EITHER,) * 3),
            Availability.NO_ACCESS,
            id="no list, three ambiguous calls, never served: no access",
        ),
    ],
)
def test_what_evidence_amounts_to(evidence: Evidence, believed: Availability | None) -> None:
    assert conclude(evidence) is believed


@pytest.mark.parametrize("kind", sorted(set(FailureKind) - {GONE, EITHER}), ids=str)
@pytest.mark.parametrize("listing", [LISTED, UNAVAILABLE], ids=str)
def test_a_failure_of_another_kind_never_makes_a_model_gone(kind: FailureKind, listing: Listing) -> None:
    for before in range(CALLS_TO_BELIEVE):
        found = conclude(Evidence(listing, (GONE,) * before + (kind,), ever_served=True, date_passed=True))
        # One that finds fault with a parameter has found the model.
        answered = (kind, listing) == (FailureKind.BAD_REQUEST, LISTED)
        assert found in ((Availability.AVAILABLE,) if answered else (Availability.UNKNOWN, Availability.NO_ACCESS))


@pytest.mark.parametrize(
    ("availability", "pauses_s"),
    [
        pytest.param(Availability.UNKNOWN, [1, 2, 4, 8, 16, 32, 60, 60], id="unknown: from a second to a minute"),
        pytest.param(
            Availability.GONE, [60, 120, 240, 480, 960, 1920, 3600, 3600], id="gone: from a minute to an hour"
        ),
        pytest.param(
            Availability.NO_ACCESS, [60, 120, 240, 480, 960, 1920, 3600, 3600], id="no access: from a minute to an hour"
        ),
    ],
)
def test_rechecks_come_at_growing_pauses(availability: Availability, pauses_s: list[float]) -> None:
    assert [recheck_pause_s(availability, checks) for checks in range(8)] == pauses_s
    assert recheck_pause_s(availability, 100_000) == pauses_s[-1]
