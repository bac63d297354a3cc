from datetime import UTC, date, datetime, timedelta

import pytest

from gateway.config.routes import Target
from gateway.policy.lifecycle import UNKNOWN_DATES, Dates
from gateway.policy.upkeep import is_due
from tests.example_routes import a_fallback, a_primary, a_provider

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEPT = a_primary(provider=a_provider(kind="azure", keep_alive=True))
FEED = Dates(shutdown=date(2026, 11, 28), acts=False)
FAR = Dates(shutdown=date(2027, 6, 1), acts=False)
ACTS = Dates(shutdown=date(2026, 11, 28))


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


@pytest.mark.parametrize(
    ("target", "dates", "last_seen", "expected"),
    [
        pytest.param(a_fallback(), UNKNOWN_DATES, None, True, id="a fallback that was never called"),
        pytest.param(a_fallback(), UNKNOWN_DATES, ago(hours=7), True, id="a fallback idle for seven hours"),
        pytest.param(a_fallback(), UNKNOWN_DATES, ago(hours=5), False, id="a fallback that was called five hours ago"),
        pytest.param(a_primary(), UNKNOWN_DATES, None, False, id="a primary is its callers' business"),
        pytest.param(KEPT, UNKNOWN_DATES, ago(days=8), True, id="a deployment that would be deleted for idleness"),
        pytest.param(KEPT, UNKNOWN_DATES, ago(days=6), False, id="a deployment that was used this week"),
        pytest.param(a_primary(), FEED, ago(hours=2), True, id="a date that only warns is near: look every hour"),
        pytest.param(a_primary(), FEED, ago(minutes=50), False, id="but not more often"),
        pytest.param(a_primary(), FAR, None, False, id="a date that only warns is far off"),
        pytest.param(a_primary(), ACTS, None, False, id="a date that acts needs no proof"),
    ],
)
def test_who_is_due_for_a_probe(target: Target, dates: Dates, last_seen: datetime | None, expected: bool) -> None:
    assert is_due(target, dates, last_seen, NOW) is expected
