"""What a person may command of a route."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.policy.commanding import InvalidCommand, ends_at

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("lasts", "ends"),
    [
        pytest.param("30m", NOW + timedelta(minutes=30), id="minutes"),
        pytest.param("24h", NOW + timedelta(hours=24), id="hours"),
        pytest.param("7d", NOW + timedelta(days=7), id="days"),
        pytest.param(None, None, id="until it is taken back"),
    ],
)
def test_when_a_command_ends(lasts: str | None, ends: datetime | None) -> None:
    assert ends_at(lasts, NOW) == ends


@pytest.mark.parametrize("lasts", ["", "1", "h", "-1h", "1.5h", "1w", "999999h"])
def test_what_is_no_duration(lasts: str) -> None:
    with pytest.raises(InvalidCommand):
        ends_at(lasts, NOW)
