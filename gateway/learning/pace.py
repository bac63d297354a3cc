"""How fast, and for how much money, a run may ask."""

from dataclasses import dataclass

from gateway.clock import Clock


class Pace:
    """A token bucket that holds one token: so many starts a second, evenly; a pause holds up everybody."""

    def __init__(self, per_s: float, clock: Clock) -> None:
        self._interval_s, self._clock = 1 / per_s, clock
        self._free_at = clock.monotonic()

    async def turn(self) -> None:
        """Wait until it is one's turn."""
        while (wait_s := self._free_at - self._clock.monotonic()) > 0:
            await self._clock.sleep(wait_s)
        self._free_at = self._clock.monotonic() + self._interval_s

    def pause(self, seconds: float) -> None:
        """Let nobody start for a while."""
        self._free_at = max(self._free_at, self._clock.monotonic() + seconds)


@dataclass(slots=True)
class Purse:
    """What a run may spend and has spent, in nano-dollars."""

    cap: int | None
    """None: nobody set one."""
    spent: int = 0
    set_aside: int = 0
    """For what is in flight: upper estimates."""

    def holds(self, amount: int) -> bool:
        """Tell whether so much can be spent beside everything that is in flight."""
        return self.cap is None or self.spent + self.set_aside + amount <= self.cap
