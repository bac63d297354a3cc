"""What is wrong with routes.yaml, as values: each finding has a file, a line and one sentence."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from gateway.errors import ConfigError

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_MOST_FINDINGS = 1000
_ABBREVIATED = 4
"""Letters from which on a beginning is taken for the word, where it is that of one word alone."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to mend, or to know."""

    file: str
    line: int
    message: str
    severity: Literal["error", "warning"] = "error"
    missing_secret: bool = False
    """Whether a credential is absent: a warning to ``check``, fatal to ``serve``."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class InvalidRoutes(ConfigError):
    """routes.yaml cannot be used; the message is one finding a line."""

    def __init__(self, findings: tuple[Finding, ...], directories: tuple[str, ...] = ()) -> None:
        super().__init__("\n".join(map(str, findings)))
        self.findings = findings
        self.directories = directories
        """Where a change could mend it: what a watcher watches."""


class Position(Protocol):
    """Whatever knows where it was written."""

    @property
    def file(self) -> str:
        """The file's path, relative to the directory of routes.yaml."""

    @property
    def line(self) -> int:
        """The line, from 1."""


class Findings:
    """Collects findings; the same sentence about the same line is kept once, and no more than a thousand."""

    def __init__(self, first_file: str) -> None:
        self._first_file = first_file
        self._found: dict[Finding, None] = {}

    def error(self, at: Position, message: str) -> None:
        """Record what keeps the configuration from being used."""
        self.add(Finding(at.file, at.line, message))

    def warning(self, at: Position, message: str, *, missing_secret: bool = False) -> None:
        """Record what the operator should know."""
        self.add(Finding(at.file, at.line, message, "warning", missing_secret))

    def add(self, finding: Finding) -> None:
        """Record a finding; its message becomes one printable line."""
        if len(self._found) < _MOST_FINDINGS:
            self._found[replace(finding, message=printable(finding.message))] = None

    def errors(self) -> tuple[Finding, ...]:
        """Return the errors in the order of the files and their lines."""
        return self._sorted("error")

    def warnings(self) -> tuple[Finding, ...]:
        """Return the warnings in the order of the files and their lines."""
        return self._sorted("warning")

    def _sorted(self, severity: str) -> tuple[Finding, ...]:
        chosen = (finding for finding in self._found if finding.severity == severity)
        return tuple(sorted(chosen, key=lambda f: (f.file != self._first_file, f.file, f.line)))


def printable(text: str) -> str:
    """Return the text with control characters, line ends and what turns the direction of writing escaped."""
    return _UNPRINTABLE.sub(lambda match: ascii(match.group())[1:-1], text)


def quoted(word: str) -> str:
    """Return a word in quotes, cut where it is absurdly long."""
    return f"'{word}'" if len(word) <= 100 else f"'{word[:60]}…'"


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Return the right word that is nearest to a wrong one, or None where none is near."""
    known = sorted(set(words))
    # difflib compares pairwise: a hostile file must not buy minutes of it.
    if len(word) > 100 or len(known) > 500:
        return None
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if not near and len(word) >= _ABBREVIATED:
        near = [each for each in known if each.startswith(word)]
    return near[0] if len(near) == 1 else None


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the nearest right word, or nothing where none is near."""
    near = nearest(word, words)
    return f"; did you mean '{near}'?" if near else ""
