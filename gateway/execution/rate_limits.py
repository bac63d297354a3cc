"""Requests and tokens per minute of each key, counted in this process; and what answers say of them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from gateway.clock import Clock
from gateway.config.callers import Caller
from gateway.errors import ConfigError, LimitReached
from gateway.execution.answer_headers import Header
from gateway.metrics import Metrics
from gateway.policy import limits
from gateway.policy.limits import Level, Limit, duration_text

if TYPE_CHECKING:
    from gateway.execution.redis_limits import RedisLimits

FORGET_FROM = 1024
"""Of so many keys those at rest are forgotten; what is kept of the others is bounded by what was taken of late."""
REQUESTS, TOKENS = "requests", "tokens"
requests_limit = lru_cache(maxsize=4096)(limits.requests_limit)
tokens_limit = lru_cache(maxsize=4096)(limits.tokens_limit)


@dataclass(slots=True)
class Levels:
    """What one key has taken."""

    requests: Level
    tokens: Level


class Found(NamedTuple):
    """What was found when a request came, in microseconds; it was counted if neither had to wait."""

    requests_wait_us: int
    tokens_wait_us: int
    requests_ahead_us: int
    """How long until all requests have drained away; this one counts where it was let in."""
    tokens_ahead_us: int
    mark_us: int
    """Of the tokens' level; what of them was not used is given back by it."""
    born_us: int = 0
    """Which of several levels that followed each other, where they are shared."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What one request has taken."""

    caller: Caller
    tokens: int
    mark_us: int
    born_us: int
    levels: Levels | None
    """Where it was counted in this process; None: where it is shared."""
    headers: Sequence[Header]


class LimitsHere:
    """Counts for this process alone."""

    is_shared: bool | None = None
    """Nobody asked for sharing."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._limited = metrics.limited
        for name in (REQUESTS, TOKENS):
            self._limited.labels(name)
        self._levels: dict[str, Levels] = {}
        self._forget_from = FORGET_FROM

    async def take(self, caller: Caller, tokens: int) -> Taken:
        """Count one request and set tokens aside.

        Raises:
            LimitReached: too many of either; nothing is counted then.
        """
        self.refuse_too_large(caller, tokens)
        now_us = self._now_us()
        levels = self._levels.get(caller.id) or self._met(caller.id, now_us)
        return self.answer(caller, tokens, found_here(levels, caller, tokens, now_us), levels)

    def give_back(self, taken: Taken, unused: int) -> None:
        """Give back tokens that were set aside and not used (negative: more were used). Never raises."""
        per_minute, levels = taken.caller.tokens_per_minute, taken.levels
        if per_minute is None or levels is None or unused == 0:
            return
        limit, now_us = tokens_limit(per_minute), self._now_us()
        if unused > 0:
            levels.tokens = limits.given_back(levels.tokens, limit, taken.mark_us, unused, now_us)
        else:
            levels.tokens = limits.taken(levels.tokens, limit, -unused, now_us)

    def follow(self, caller: Caller, found: Found) -> None:
        """Take over what was found where levels are shared, to go on from there if need be."""
        now_us = self._now_us()
        levels = self._levels.get(caller.id) or self._met(caller.id, now_us)
        levels.requests = Level(now_us + found.requests_ahead_us)
        levels.tokens = Level(now_us + found.tokens_ahead_us, levels.tokens.given_back_us)

    def answer(self, caller: Caller, tokens: int, found: Found, levels: Levels | None = None) -> Taken:
        """Return what was taken.

        Raises:
            LimitReached: by what was found, nothing was.
        """
        headers = headers_of(caller, found)
        if found.requests_wait_us == 0 and found.tokens_wait_us == 0:
            return Taken(caller, tokens, found.mark_us, found.born_us, levels, headers)
        which = REQUESTS if found.requests_wait_us >= found.tokens_wait_us else TOKENS
        wait_us = max(found.requests_wait_us, found.tokens_wait_us)
        per_minute = caller.requests_per_minute if which == REQUESTS else caller.tokens_per_minute
        wanted = f"; this request may take {tokens:,}" if which == TOKENS else ""
        self._limited.labels(which).inc()
        raise LimitReached(
            f"This key may take {per_minute:,} {which} per minute{wanted}. Try again in {duration_text(wait_us)}.",
            headers=retry_after(wait_us) | texts(headers),
        )

    def refuse_too_large(self, caller: Caller, tokens: int) -> None:
        """Refuse a request that needs more tokens than a whole minute has: it would wait for ever.

        Raises:
            LimitReached: it does.
        """
        per_minute = caller.tokens_per_minute
        if per_minute is not None and tokens > per_minute:
            self._limited.labels(TOKENS).inc()
            levels = self._levels.get(caller.id) or Levels(Level(), Level())
            headers = headers_of(caller, seen(levels, self._now_us()))
            raise LimitReached(
                f"This request may take {tokens:,} tokens, prompt and longest answer together, and this key has "
                f"{per_minute:,} per minute: it can never pass. Ask for a shorter answer, send less, or have the limit "
                "raised: prompts of the route's fallbacks are in it.",
                headers={"x-should-retry": "false"} | texts(headers),
            )

    def _met(self, caller_id: str, now_us: int) -> Levels:
        """Return the levels of a key that is not known here, or not any more."""
        if len(self._levels) >= self._forget_from:
            for known, levels in list(self._levels.items()):
                if max(levels.requests.rests_at_us, levels.tokens.rests_at_us) <= now_us:
                    del self._levels[known]
            self._forget_from = max(FORGET_FROM, 2 * len(self._levels))
        levels = self._levels[caller_id] = Levels(Level(), Level())
        return levels

    def _now_us(self) -> int:
        return int(self._clock.monotonic() * 1_000_000)


def found_here(levels: Levels, caller: Caller, tokens: int, now_us: int) -> Found:
    """Take both or neither of what a request needs, and tell what was found."""
    requests, most = per_minute_of(caller)
    requests_wait_us = limits.wait_us(levels.requests, requests, 1, now_us) if requests is not None else 0
    tokens_wait_us = limits.wait_us(levels.tokens, most, tokens, now_us) if most is not None else 0
    if requests_wait_us == 0 and tokens_wait_us == 0:
        if requests is not None:
            levels.requests = limits.taken(levels.requests, requests, 1, now_us)
        if most is not None:
            levels.tokens = limits.taken(levels.tokens, most, tokens, now_us)
    return seen(levels, now_us, requests_wait_us, tokens_wait_us)


def seen(levels: Levels, now_us: int, requests_wait_us: int = 0, tokens_wait_us: int = 0) -> Found:
    """Return levels as they are now."""
    return Found(
        requests_wait_us,
        tokens_wait_us,
        max(0, levels.requests.rests_at_us - now_us),
        max(0, levels.tokens.rests_at_us - now_us),
        levels.tokens.mark_us,
    )


def per_minute_of(caller: Caller) -> tuple[Limit | None, Limit | None]:
    """Return a key's limits of requests and of tokens."""
    requests, tokens = caller.requests_per_minute, caller.tokens_per_minute
    return (
        requests_limit(requests) if requests is not None else None,
        tokens_limit(tokens) if tokens is not None else None,
    )


def headers_of(caller: Caller, found: Found) -> list[Header]:
    """Return what an answer says of what is left, under OpenAI's names."""
    requests, tokens = per_minute_of(caller)
    headers: list[Header] = []
    if requests is not None:
        ahead_us = found.requests_ahead_us
        headers = [
            (b"x-ratelimit-limit-requests", b"%d" % requests.per_minute),
            (b"x-ratelimit-remaining-requests", b"%d" % requests.left(ahead_us)),
            (b"x-ratelimit-reset-requests", duration_text(ahead_us).encode()),
        ]
    if tokens is not None:
        ahead_us = found.tokens_ahead_us
        headers += [
            (b"x-ratelimit-limit-tokens", b"%d" % tokens.per_minute),
            (b"x-ratelimit-remaining-tokens", b"%d" % tokens.left(ahead_us)),
            (b"x-ratelimit-reset-tokens", duration_text(ahead_us).encode()),
        ]
    return headers


def texts(headers: Sequence[Header]) -> dict[str, str]:
    """Return headers as an error carries them."""
    return {name.decode(): value.decode() for name, value in headers}


def retry_after(wait_us: int) -> dict[str, str]:
    """Return when to try again, in both forms; SDKs read the one in milliseconds first. Never too early."""
    return {"retry-after": str(max(1, -(-wait_us // 1_000_000))), "retry-after-ms": str(max(1, -(-wait_us // 1000)))}


@asynccontextmanager
async def counting(url: str | None, clock: Clock, metrics: Metrics) -> AsyncIterator["LimitsHere | RedisLimits"]:
    """Open what counts: this process alone, or a Redis server at ``url``, where all replicas count together.

    Raises:
        ConfigError: the address is none, or what speaks to it is not installed.
    """
    here = LimitsHere(clock, metrics)
    if url is None:
        yield here
        return
    try:
        from gateway.execution.redis_limits import RedisLimits
    except ImportError:
        raise ConfigError(
            "GATEWAY_LIMITS_URL needs a library that is not installed: pip install 'understudy-gateway[redis]'"
        ) from None
    shared = RedisLimits(url, here, clock, metrics.unshared)
    await shared.start()
    try:
        yield shared
    finally:
        await shared.close()
