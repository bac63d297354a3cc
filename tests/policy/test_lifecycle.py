from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.routes import Cutover
from gateway.policy.lifecycle import UNKNOWN_DATES, Dates, midnight, share_moved, state
from gateway.reasons import Lifecycle

END = date(2027, 1, 14)
DATES = Dates(announced=date(2026, 10, 14), shutdown=END)
RAMP = Cutover(days_before=14, ramp_days=7)


def on(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("dates", "now", "expected"),
    [
        pytest.param(UNKNOWN_DATES, "2099-01-01", Lifecycle.ACTIVE, id="without a date it is active, however late"),
        pytest.param(DATES, "2026-11-23", Lifecycle.DEPRECATED, id="a date is announced"),
        pytest.param(
            DATES, "2027-01-13T23:59:59.999999", Lifecycle.DEPRECATED, id="the last instant of the day before"
        ),
        pytest.param(DATES, "2027-01-14T00:00", Lifecycle.RETIRED, id="the first instant of the day"),
        pytest.param(DATES, "2028-06-01", Lifecycle.RETIRED, id="long after"),
    ],
)
def test_the_state_on_a_day(dates: Dates, now: str, expected: Lifecycle) -> None:
    assert state(dates, on(now)) is expected


@pytest.mark.parametrize(
    ("cutover", "now", "share"),
    [
        pytest.param(Cutover(), "2027-01-13T23:59:59", 0.0, id="without a ramp: nothing a second before"),
        pytest.param(Cutover(), "2027-01-14T00:00", 1.0, id="without a ramp: everything on the day"),
        pytest.param(Cutover(days_before=14), "2026-12-30T23:59:59", 0.0, id="14 days before: nothing on D-15"),
        pytest.param(Cutover(days_before=14), "2026-12-31T00:00", 1.0, id="14 days before: everything on D-14"),
        pytest.param(RAMP, "2026-12-23T23:59", 0.0, id="14/7: nothing on D-22"),
        pytest.param(RAMP, "2026-12-24T00:00", 0.0, id="14/7: the ramp begins at D-21"),
        pytest.param(RAMP, "2026-12-25T00:00", 1 / 7, id="14/7: a seventh a day later"),
        pytest.param(RAMP, "2026-12-27T12:00", 0.5, id="14/7: half in the middle"),
        pytest.param(RAMP, "2026-12-31T00:00", 1.0, id="14/7: everything at D-14"),
        pytest.param(Cutover(ramp_days=4), "2027-01-12T00:00", 0.5, id="a ramp that ends on the day itself"),
        pytest.param(Cutover(at="gone", days_before=14, ramp_days=7), "2027-06-01", 0.0, id="at: gone ignores dates"),
    ],
)
def test_the_share_that_has_moved(cutover: Cutover, now: str, share: float) -> None:
    assert share_moved(DATES, cutover, on(now)) == pytest.approx(share)


def test_no_date_moves_nothing() -> None:
    assert share_moved(UNKNOWN_DATES, RAMP, on("2099-01-01")) == 0.0


def test_dates_that_only_warn_move_nothing() -> None:
    assert share_moved(Dates(shutdown=END, acts=False), Cutover(), on("2028-01-01")) == 0.0


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 200_000), st.integers(0, 50_000))
def test_the_share_never_falls(days_before: int, ramp_days: int, minutes: int, later: int) -> None:
    cutover = Cutover(days_before=days_before, ramp_days=ramp_days)
    now = midnight(END) - timedelta(days=130) + timedelta(minutes=minutes)
    share, after = share_moved(DATES, cutover, now), share_moved(DATES, cutover, now + timedelta(minutes=later))
    assert 0.0 <= share <= after <= 1.0
