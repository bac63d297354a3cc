"""Stopping in order: who is being answered now, and the end of those who cannot be waited for any longer."""

import asyncio
from typing import Protocol

LEDGER_CLOSE_S = 5.0
SHORTEST_LEDGER_CLOSE_S = 2.0
HURRIED_LEDGER_CLOSE_S = 0.3


class Ending(Protocol):
    """Something that is under way and can be told to end."""

    def cut(self) -> None:
        """End it now; whoever waits for it is told why."""


class Draining:
    """Knows every answer that is under way, and how far the process is with stopping."""

    def __init__(self) -> None:
        self.began = False
        """A stop was asked for: this replica is not ready, and goes on answering."""
        self.over = False
        """Nobody is waited for any more; whoever still comes is refused."""
        self.hurried = False
        """Whether it was asked for twice."""
        self._until = 0.0
        self._under_way: set[Ending] = set()

    def __len__(self) -> int:
        """Return how many answers are under way."""
        return len(self._under_way)

    def enter(self, ending: Ending) -> None:
        """Count somebody in; ``leave`` must follow."""
        self._under_way.add(ending)

    def leave(self, ending: Ending) -> None:
        """Count them out."""
        self._under_way.discard(ending)

    def begin(self, until: float) -> None:
        """Be not ready from now on; answers may go on until the loop's time is ``until``."""
        self.began, self._until = True, until

    def cut(self) -> int:
        """End every answer that is still under way; return how many those were."""
        self.over = True
        still = tuple(self._under_way)
        for ending in still:
            ending.cut()
        return len(still)

    def ledger_close_s(self) -> float:
        """Return how long the ledger may take to bring its last rows to the database.

        What it does not manage is in the journal: it is no loss, only later.
        """
        if self.hurried:
            return HURRIED_LEDGER_CLOSE_S
        left_s = self._until - asyncio.get_running_loop().time()
        return min(LEDGER_CLOSE_S, max(SHORTEST_LEDGER_CLOSE_S, left_s)) if self.began else LEDGER_CLOSE_S
