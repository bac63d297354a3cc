"""How late the event loop is: what a handler that blocks takes from everybody else."""

import asyncio
from collections import deque
from typing import Final

EVERY_S: Final = 0.25
KEPT_S: Final = 15.0


class LoopLag:
    """Sleeps again and again; remembers how late each sleep ended; in the loop's own time, never an injected one."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()

    def worst_s(self) -> float:
        """Return the worst of the last 15 s, in seconds; 0 outside of a loop."""
        while self._seen and self._seen[0][0] < self._seen[-1][0] - KEPT_S:
            self._seen.popleft()
        return max((late_s for _, late_s in self._seen), default=0.0)

    async def run(self) -> None:
        """Keep at it."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + EVERY_S
            await asyncio.sleep(EVERY_S)
            now = loop.time()
            self._seen.append((now, max(0.0, now - due)))
            if len(self._seen) > KEPT_S / EVERY_S:
                self._seen.popleft()
