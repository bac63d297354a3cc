"""How a key stands, at the edges of its time."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.policy.key_states import KeyState, state_of

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
WEEK, TICK = timedelta(days=7), timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("expires_at", "revoked_at", "state"),
    [
        pytest.param(None, None, KeyState.ACTIVE, id="without an end"),
        pytest.param(NOW + WEEK + TICK, None, KeyState.ACTIVE, id="more than a week before its end"),
        pytest.param(NOW + WEEK, None, KeyState.EXPIRING, id="a week before its end"),
        pytest.param(NOW + TICK, None, KeyState.EXPIRING, id="just before its end"),
        pytest.param(NOW, None, KeyState.EXPIRED, id="at its end"),
        pytest.param(None, NOW, KeyState.REVOKED, id="revoked"),
        pytest.param(NOW - WEEK, NOW - WEEK, KeyState.REVOKED, id="revoked, and past its end as well"),
    ],
)
def test_a_key_is(expires_at: datetime | None, revoked_at: datetime | None, state: KeyState) -> None:
    assert state_of(expires_at, revoked_at, NOW) is state
    assert state.opens == (state in (KeyState.ACTIVE, KeyState.EXPIRING))
