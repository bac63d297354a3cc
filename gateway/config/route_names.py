"""How a route is called: in ``model`` and everywhere that routes are named, and in the paths of its own files."""

from dataclasses import dataclass
from typing import Final

BETWEEN: Final = ":"
"""Between a task and its tenant, in a variant's name."""
VARIABLES: Final = ("{route}", "{task}")


@dataclass(frozen=True, slots=True)
class RouteName:
    """The name of a route: of a task, or of one tenant's variant of it."""

    task: str
    tenant: str | None = None

    def __str__(self) -> str:
        return self.task if self.tenant is None else f"{self.task}{BETWEEN}{self.tenant}"

    @property
    def in_files(self) -> str:
        """The name in the path of a file: without the colon, which ConfigMaps do not take."""
        return self.task if self.tenant is None else f"{self.task}.{self.tenant}"

    def filled_in(self, path: str) -> str:
        """Return a path with its variables replaced: ``{route}``, and ``{task}``, which variants of a task share."""
        return path.replace("{route}", self.in_files).replace("{task}", self.task)
