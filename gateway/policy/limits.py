"""What a key may take per minute: requests and tokens (the generic cell rate algorithm, GCRA). Pure.

A level is one instant, in whole microseconds: when all that was taken has drained away, at the limit's own pace.
Whoever takes moves it on. In any 60 seconds no more is taken than the limit and its burst; of tokens, where a single
request is larger than the burst, no more than the limit and that request.

Tokens are taken as the most that a request may use, and what it did not use is given back: as much of it as has not
drained away meanwhile. That makes the level exactly what it would be had only the rest been taken in the first place,
so the bound holds for what was used.
"""

from dataclasses import dataclass
from typing import Final

MINUTE_US: Final = 60_000_000
REQUESTS_BURST_S: Final = 10
"""So many seconds' worth of requests may come at once."""
TOKENS_BURST_S: Final = 30
"""Of tokens more, since they are taken as the most that a request may use, and most of that comes back."""


@dataclass(frozen=True, slots=True)
class Limit:
    """An amount per minute, and how much of it may be taken at once."""

    per_minute: int
    burst: int
    burst_us: int
    """How far ahead of now a level may be."""

    def cost_us(self, amount: int) -> int:
        """Return how far an amount moves a level: rounded so that the bound holds."""
        return -(-amount * MINUTE_US // self.per_minute)

    def left(self, ahead_us: int) -> int:
        """Return what may be taken at once of a level that is so far ahead of now."""
        room_us = max(0, self.burst_us - max(0, ahead_us))
        return min(self.burst, room_us * self.per_minute // MINUTE_US)


def requests_limit(per_minute: int) -> Limit:
    """Return the limit of so many requests per minute."""
    burst = max(1, per_minute * REQUESTS_BURST_S // 60)
    # So many times what one costs, rounding and all: else the last of them would miss its place by microseconds.
    return Limit(per_minute, burst, burst * -(-MINUTE_US // per_minute))


def tokens_limit(per_minute: int) -> Limit:
    """Return the limit of so many tokens per minute."""
    burst = max(1, per_minute * TOKENS_BURST_S // 60)
    return Limit(per_minute, burst, burst * MINUTE_US // per_minute)


@dataclass(frozen=True, slots=True)
class Level:
    """What is taken of one limit by one key; what nobody has taken of is at rest since 0."""

    rests_at_us: int = 0
    given_back_us: int = 0
    """All that was ever given back: what tells how much later takers have moved an earlier one's mark."""

    @property
    def mark_us(self) -> int:
        """What is needed to give something of the latest amount back."""
        return self.rests_at_us + self.given_back_us


def wait_us(level: Level, limit: Limit, amount: int, now_us: int) -> int:
    """Return how long until an amount can be taken, if nobody else takes; 0: now.

    What is larger than the burst is let in when everything has drained away: it would never be, otherwise.
    """
    cost_us = limit.cost_us(amount)
    return max(0, max(level.rests_at_us, now_us) + cost_us - now_us - max(limit.burst_us, cost_us))


def taken(level: Level, limit: Limit, amount: int, now_us: int) -> Level:
    """Return the level after an amount was taken, whether there was room for it or not."""
    return Level(max(level.rests_at_us, now_us) + limit.cost_us(amount), level.given_back_us)


def given_back(level: Level, limit: Limit, mark_us: int, unused: int, now_us: int) -> Level:
    """Return the level after what was not used of an amount came back; ``mark_us``: the level's, when it was taken."""
    undrained_us = mark_us - level.given_back_us - now_us
    # Rounded down, and what it cost was rounded up.
    back_us = min(unused * MINUTE_US // limit.per_minute, max(0, undrained_us))
    return Level(level.rests_at_us - back_us, level.given_back_us + back_us)


def duration_text(duration_us: int) -> str:
    """Return a duration as OpenAI's headers write it: ``0s``, ``120ms``, ``1.5s``, ``6m0s``; rounded up to the ms."""
    milliseconds = -(-max(0, duration_us) // 1000)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, milliseconds = divmod(milliseconds, 60_000)
    seconds = f"{milliseconds / 1000:.3f}".rstrip("0").rstrip(".")
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}s" if hours else f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
