"""Who tells of the demo: a screen for people, lines where there is no terminal, JSON for scripts."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson
import typer

from gateway.cli.demo_scene import Scene, Told

if TYPE_CHECKING:
    from gateway.cli.demo_run import Teller

LINE_EVERY: Final = timedelta(days=8)
JSON_EVERY: Final = timedelta(days=2)
"""Of the demo's calendar."""


class Lines:
    """Tells by plain lines: each event, and now and then how things stand."""

    def __init__(self) -> None:
        self._next: Any = None

    def told(self, told: Told) -> None:
        """Print an event."""
        from gateway.cli.demo_view import told_line

        typer.echo(told_line(told))

    def scene(self, scene: Scene) -> None:
        """Print how things stand, every few days."""
        from gateway.cli.demo_view import scene_line

        if scene.answered and (self._next is None or scene.now >= self._next):
            self._next = scene.now + LINE_EVERY
            typer.echo(scene_line(scene))


class JsonLines:
    """Tells by JSON objects, one a line."""

    def __init__(self) -> None:
        self._next: Any = None

    def told(self, told: Told) -> None:
        """Print an event."""
        from gateway.cli.demo_view import told_document

        say(told_document(told))

    def scene(self, scene: Scene) -> None:
        """Print how things stand, every few days."""
        from gateway.cli.demo_view import scene_document

        if self._next is None or scene.now >= self._next:
            self._next = scene.now + JSON_EVERY
            say(scene_document(scene))


class Screen:
    """Tells by one screen that is drawn anew."""

    def __init__(self, show: Callable[[Scene], None]) -> None:
        self._show = show

    def told(self, told: Told) -> None:
        """Nothing: the next scene has it."""

    def scene(self, scene: Scene) -> None:
        """Draw."""
        self._show(scene)


class Painter:
    """Keeps the most telling scene for a picture, and passes everything on."""

    def __init__(self, teller: "Teller") -> None:
        self._teller = teller
        self.best: Scene | None = None

    def told(self, told: Told) -> None:
        """Pass it on."""
        self._teller.told(told)

    def scene(self, scene: Scene) -> None:
        """Pass it on; keep the last one in which one route is on its ramp and another has just lost its model."""
        self._teller.scene(scene)
        shares = [row.share or 0.0 for row in scene.routes]
        lately = timedelta(0) < scene.now - scene.story.vanishes_at < timedelta(days=4)
        if self.best is None or (lately and any(0.05 < share < 0.95 for share in shares)):
            self.best = scene


def say(document: dict[str, Any]) -> None:
    """Print one JSON object as a line."""
    sys.stdout.write(orjson.dumps(document).decode() + "\n")
    sys.stdout.flush()


@contextmanager
def teller_for(*, as_json: bool, is_terminal: bool) -> Iterator["Teller"]:
    """Yield who tells."""
    if as_json:
        yield JsonLines()
    elif is_terminal:
        with _screen() as teller:
            yield teller
    else:
        yield Lines()


@contextmanager
def _screen() -> Iterator[Screen]:
    from rich.console import Console
    from rich.live import Live

    from gateway.cli.demo_view import screen

    console = Console()
    with Live(console=console, auto_refresh=False, transient=False) as live:
        yield Screen(lambda scene: live.update(screen(scene, console.width), refresh=True))
