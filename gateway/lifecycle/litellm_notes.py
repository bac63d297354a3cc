"""What an import has to say: each thing with its lines in LiteLLM's config. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from gateway.config.findings import Position
from gateway.lifecycle.yaml_text import shown


class Verdict(StrEnum):
    """What became of something that the config says."""

    TAKEN = "taken_over"
    CHANGED = "changed"
    OPEN = "to_fill_in"
    MISSING = "no_counterpart"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is written."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Note:
    """One thing, said once for all the places where it is written."""

    verdict: Verdict
    about: str
    text: str
    places: tuple[Place, ...]


class Notes:
    """Collects notes; the same sentence about the same thing is kept once, with every place."""

    def __init__(self) -> None:
        self._places: dict[tuple[Verdict, str, str], dict[Place, None]] = {}

    def taken(self, about: str, text: str, at: Position) -> None:
        """Note what is in the draft and means the same there."""
        self._add(Verdict.TAKEN, about, text, at)

    def changed(self, about: str, text: str, at: Position) -> None:
        """Note what is in the draft and means something a little different there."""
        self._add(Verdict.CHANGED, about, text, at)

    def open(self, about: str, text: str, at: Position) -> None:
        """Note what somebody has to fill in."""
        self._add(Verdict.OPEN, about, text, at)

    def missing(self, about: str, text: str, at: Position) -> None:
        """Note what the draft has nothing for."""
        self._add(Verdict.MISSING, about, text, at)

    def of(self, verdict: Verdict) -> tuple[Note, ...]:
        """Return the notes with a verdict, in the order of their first lines."""
        found = [Note(kind, about, text, tuple(at)) for (kind, about, text), at in self._places.items()]
        return tuple(sorted((note for note in found if note.verdict is verdict), key=_first_line))

    def _add(self, verdict: Verdict, about: str, text: str, at: Position) -> None:
        key = (verdict, shown(about), shown(text))
        self._places.setdefault(key, {})[Place(shown(at.file), at.line)] = None


def lines_of(places: Iterable[Place], main: str, most: int = 6) -> str:
    """Return the lines of places as people write them; those of included files with the file's name."""
    found = sorted(places, key=lambda place: (place.file != main, place.file, place.line))
    shown = [f"{place.line}" if place.file == main else f"{place.file}:{place.line}" for place in found[:most]]
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return f"{', '.join(shown)}{more}"


def _first_line(note: Note) -> tuple[str, int]:
    first = min(note.places, key=lambda place: (place.file, place.line))
    return (first.file, first.line)
