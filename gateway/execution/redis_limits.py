"""The same limits, shared by all replicas in a Redis server: one script a request, which takes both or neither.

Requests that come while others are being counted are counted together, next. While the server is away every replica
counts by itself, from where it was, and no request waits for it.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.clock import Clock
from gateway.config.callers import Caller
from gateway.errors import ConfigError
from gateway.execution.rate_limits import Found, LimitsHere, Taken, per_minute_of
from gateway.metrics import Counters
from gateway.policy.limits import MINUTE_US, Limit

log = structlog.get_logger()
PATIENCE_S: Final = 0.05
"""How long requests wait for the server at most."""
LOOKS: Final = 10
"""In so many parts it is waited: a loop that was held meanwhile has used up one of them, and not all."""
LOOK_EVERY_S: Final = 1.0
CONNECT_S: Final = 1.0
MOST_AT_ONCE: Final = 100
MOST_WAITING: Final = 10_000
"""What is given back waits for its turn; beyond this the oldest is forgotten, and drains away by itself."""
NO_LIMIT: Final = -1
PREFIX: Final = "understudy:limits"

TAKE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local kept = redis.call('HMGET', KEYS[1], 'requests', 'tokens', 'given_back', 'born')
local requests, tokens = math.max(tonumber(kept[1]) or 0, now), math.max(tonumber(kept[2]) or 0, now)
local given_back, born = tonumber(kept[3]) or 0, tonumber(kept[4]) or now
local function wait(level, cost, burst)
  if burst < 0 then return 0 end
  return math.max(0, level + cost - now - math.max(burst, cost))
end
local requests_cost, tokens_cost = tonumber(ARGV[1]), tonumber(ARGV[3])
local requests_wait = wait(requests, requests_cost, tonumber(ARGV[2]))
local tokens_wait = wait(tokens, tokens_cost, tonumber(ARGV[4]))
if requests_wait == 0 and tokens_wait == 0 then
  requests, tokens = requests + requests_cost, tokens + tokens_cost
  redis.call('HSET', KEYS[1], 'requests', requests, 'tokens', tokens, 'given_back', given_back, 'born', born)
  redis.call('PEXPIRE', KEYS[1], math.floor((math.max(requests, tokens) - now) / 1000) + 1000)
end
return {requests_wait, tokens_wait, requests - now, tokens - now, tokens + given_back, born}
"""
"""What ``policy.limits`` says, by the server's clock. A level that is no more was at rest."""

GIVE_BACK: Final = """
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'given_back', 'born')
if kept[3] ~= ARGV[2] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local tokens, given_back, back = tonumber(kept[1]), tonumber(kept[2]), tonumber(ARGV[3])
if back > 0 then
  back = math.min(back, math.max(0, tonumber(ARGV[1]) - given_back - now))
  redis.call('HSET', KEYS[1], 'tokens', tokens - back, 'given_back', given_back + back)
else
  tokens = math.max(tokens, now) - back
  redis.call('HSET', KEYS[1], 'tokens', tokens)
  redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]), math.floor((tokens - now) / 1000) + 1000))
end
return back
"""


@dataclass(slots=True)
class Waiting:
    """A request that is to be counted; its future gets what was found, or None: count it here."""

    caller: Caller
    tokens: int
    found: "asyncio.Future[Found | None]"


class RedisLimits:
    """Counts where all replicas count; ``start`` before the first request, ``close`` after the last."""

    def __init__(
        self, url: str, here: LimitsHere, clock: Clock, unshared: Counters, *, patience_s: float = PATIENCE_S
    ) -> None:
        """Connect to nobody yet. ``unshared`` counts who was counted in this process alone.

        Raises:
            ConfigError: the address is none; it is not repeated, since it may hold a password.
        """
        self._here = here
        self._clock = clock
        self._unshared = unshared
        self._patience_s = patience_s
        self._redis = client_of(url)
        self._take = self._redis.register_script(TAKE)
        self._give_back = self._redis.register_script(GIVE_BACK)
        self.is_shared = False
        """Whether the server counts now."""
        self._said_shared: bool | None = None
        self._awake = asyncio.Event()
        self._waiting: deque[Waiting] = deque()
        self._unused: deque[tuple[Taken, int]] = deque(maxlen=MOST_WAITING)
        self._behind: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look for the server, for a second at most; go on looking behind the requests."""
        await self._look()
        self._awake.set()
        self._behind = asyncio.create_task(self._run(), name="rate limits")

    async def close(self) -> None:
        """Give back what is left to give back, and leave."""
        if self._behind is not None:
            self._behind.cancel()
            await asyncio.gather(self._behind, return_exceptions=True)
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(CONNECT_S):
                if self.is_shared:
                    await self._count()
                await self._redis.aclose()
        # Nobody counts any more: who still asks is counted here.
        self._lost()

    async def take(self, caller: Caller, tokens: int) -> Taken:
        """Count one request and set tokens aside, everywhere.

        Raises:
            LimitReached: too many of either; nothing is counted then.
        """
        if not self.is_shared:
            return await self._alone(caller, tokens)
        self._here.refuse_too_large(caller, tokens)
        waiting = Waiting(caller, tokens, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._awake.set()
        found = await waiting.found
        if found is None:
            return await self._alone(caller, tokens)
        self._here.follow(caller, found)
        return self._here.answer(caller, tokens, found)

    async def _alone(self, caller: Caller, tokens: int) -> Taken:
        self._unshared.inc()
        return await self._here.take(caller, tokens)

    def give_back(self, taken: Taken, unused: int) -> None:
        """Have tokens given back soon that were set aside and not used (negative: more were used). Never raises."""
        if taken.levels is not None:
            self._here.give_back(taken, unused)
        elif unused != 0 and taken.caller.tokens_per_minute is not None:
            self._unused.append((taken, unused))
            self._awake.set()

    async def _run(self) -> None:
        """Count what waits, and look for a server that is away."""
        while True:
            await self._awake.wait()
            self._awake.clear()
            try:
                while not self.is_shared:
                    await self._look()
                    if not self.is_shared:
                        await self._clock.sleep(LOOK_EVERY_S)
                await self._count()
            except Exception:
                log.exception("rate_limits_not_counted")
                self._lost()
                await self._clock.sleep(LOOK_EVERY_S)

    def _lost(self) -> None:
        """Have everybody counted here, from now on, until the server is seen again."""
        self.is_shared = False
        while self._waiting:
            self._told(self._waiting.popleft(), None)
        self._awake.set()

    async def _look(self) -> None:
        """Ask the server whether it counts; say it where that has changed, without its address or its words."""
        why = ""
        try:
            async with asyncio.timeout(CONNECT_S):
                # What requests will ask: a server that answers, and takes no writes, is none.
                await self._take(keys=[PREFIX], args=[*cost(None, 0), *cost(None, 0)])
                await self._redis.script_load(GIVE_BACK)
        except (RedisError, OSError, TimeoutError) as error:
            why = type(error).__name__
        self.is_shared = not why
        if self.is_shared is not self._said_shared:
            self._said_shared = self.is_shared
            if self.is_shared:
                log.info("rate_limits_shared")
            else:
                log.warning("rate_limits_not_shared", why=why, until_then="each replica counts by itself")

    async def _count(self) -> None:
        """Have all that waits counted; where the server does not answer in time, everybody counts here."""
        while self._waiting or self._unused:
            takers = [self._waiting.popleft() for _ in range(min(MOST_AT_ONCE, len(self._waiting)))]
            unused = [self._unused.popleft() for _ in range(min(MOST_AT_ONCE, len(self._unused)))]
            try:
                answers = await self._answers(takers, unused)
                for waiting, answer in zip(takers, answers or [None] * len(takers), strict=False):
                    self._told(waiting, Found(*answer) if isinstance(answer, list) else None)
            finally:
                # Whatever went wrong, no request waits for ever: who was told nothing yet is counted here.
                for waiting in takers:
                    self._told(waiting, None)
            if answers is None or any(isinstance(answer, Exception) for answer in answers):
                self._lost()
                return

    async def _answers(self, takers: Sequence[Waiting], unused: Sequence[tuple[Taken, int]]) -> list[Any] | None:
        """Send it all at once; return an answer or an error for each, or None where none came in time."""
        pipeline = self._redis.pipeline(transaction=False)
        for waiting in takers:
            requests, most = per_minute_of(waiting.caller)
            arguments = (*cost(requests, 1), *cost(most, waiting.tokens))
            pipeline.evalsha(self._take.sha, 1, key_of(waiting.caller), *arguments)
        for taken, tokens in unused:
            # Rounded down, whichever sign it has: never too much comes back.
            back_us = tokens * MINUTE_US // (taken.caller.tokens_per_minute or 1)
            pipeline.evalsha(self._give_back.sha, 1, key_of(taken.caller), taken.mark_us, taken.born_us, back_us)
        asking = asyncio.create_task(pipeline.execute(raise_on_error=False))
        asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        for _ in range(LOOKS):
            if asking.done():
                break
            await asyncio.wait((asking,), timeout=self._patience_s / LOOKS)
        if not asking.done():
            asking.cancel()
            return None
        try:
            return asking.result()
        except (RedisError, OSError):
            return None

    def _told(self, waiting: Waiting, found: Found | None) -> None:
        """Hand over what was found; what nobody waits for any more is given back."""
        if not waiting.found.done():
            waiting.found.set_result(found)
        elif found is not None and found.requests_wait_us == found.tokens_wait_us == 0:
            taken = Taken(waiting.caller, waiting.tokens, found.mark_us, found.born_us, None, ())
            self.give_back(taken, waiting.tokens)


def client_of(url: str) -> Redis:
    """Return a client that tries once and waits no longer than it is told to.

    Raises:
        ConfigError: the address is none.
    """
    try:
        pool = ConnectionPool.from_url(
            url,
            socket_timeout=CONNECT_S,
            socket_connect_timeout=CONNECT_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
    except ValueError:
        raise ConfigError(
            "GATEWAY_LIMITS_URL is not the address of a Redis server: redis://HOST:PORT, rediss://… or unix://…"
        ) from None
    return Redis.from_pool(pool)


def cost(limit: Limit | None, amount: int) -> tuple[int, int]:
    """Return what an amount costs, and how far ahead of now a level may be, in microseconds."""
    return (limit.cost_us(amount), limit.burst_us) if limit is not None else (0, NO_LIMIT)


def key_of(caller: Caller) -> str:
    """Return where the server keeps what a key has taken."""
    return f"{PREFIX}:{caller.id}"
