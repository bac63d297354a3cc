"""Model ids that are hard-coded in source trees, and when each of them stops.

Ids are used or only mentioned (in comments and prose); both are found, and whoever reads the findings decides. A line
that holds ``understudy: ignore`` has none.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Final

from gateway.config.model_ids import base_of
from gateway.config.routes import Routes
from gateway.lifecycle.scan_dates import KnownDates
from gateway.lifecycle.scan_files import Piece, Unreadable, pieces, read
from gateway.lifecycle.scan_ids import Named, Surroundings, Vocabulary, family, is_ambiguous
from gateway.lifecycle.scan_syntax import Text
from gateway.policy.lifecycle import Dates

IGNORE: Final = "understudy: ignore"
_JOINED_BEFORE: Final = tuple("}$*\\#")
_JOINED_AFTER: Final = tuple("{$*#")
_PATH_GOES_ON: Final = re.compile(r"""\\[^"'`nrt\\]""")


@dataclass(frozen=True, slots=True)
class Finding:
    """One occurrence of an id."""

    file: Path
    cell: int | None
    """Of a notebook, counted from 1; the line is then the cell's."""
    line: int
    column: int
    text: str
    """As written."""
    model: str
    """Without prefix."""
    vendor: str
    base: str | None
    used: bool
    """False: it stands in a comment or in prose."""
    dates: Dates
    elsewhere: tuple[tuple[str, date], ...] = ()
    """Other vendors that date the same id, with the day on which it stops there."""
    snapshot: tuple[str, date] | None = None
    """Of an alias without a day of its own: the dated snapshot that stops last, and when."""
    routes: tuple[str, ...] = ()
    """Names of routes to ask for instead: those whose primary it is, or is trained from it."""

    def days_left(self, today: date) -> int | None:
        """Return the days until it stops, zero or negative once it has; None: no date is known."""
        return (self.dates.shutdown - today).days if self.dates.shutdown else None


@dataclass(frozen=True, slots=True)
class Report:
    """What a scan found."""

    today: date
    """In UTC, as providers count days."""
    within_days: int
    files_read: int
    findings: tuple[Finding, ...]
    """Sorted by date, then file; those without a date come last."""
    unreadable: tuple[tuple[Path, str], ...]

    @property
    def used(self) -> tuple[Finding, ...]:
        """Return what is more than mentioned."""
        return tuple(finding for finding in self.findings if finding.used)

    @property
    def failing(self) -> tuple[Finding, ...]:
        """Return what is used and stops within the days, or has stopped already."""
        return tuple(finding for finding in self.used if self.is_soon(finding))

    def is_soon(self, finding: Finding) -> bool:
        """Tell whether a model stops within the days, or has stopped already."""
        left = finding.days_left(self.today)
        return left is not None and left <= self.within_days


@dataclass(slots=True)
class Scanner:
    """Looks for ids in files, one after the other."""

    routes: Routes | None
    known: KnownDates
    vocabulary: Vocabulary = field(init=False)
    findings: list[Finding] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    files_read: int = 0

    def __post_init__(self) -> None:
        self.vocabulary = Vocabulary(self.known.models)

    def look_through(self, file: Path) -> None:
        """Add what one file holds; a file that cannot be read is noted, and no more."""
        try:
            content = read(file)
            if self.vocabulary.may_name_one(content):
                for piece in pieces(file.name, content):
                    self.findings.extend(self._in_piece(file, piece))
            self.files_read += 1
        except Unreadable as error:
            self.unreadable.append((file, str(error)))

    def _in_piece(self, file: Path, piece: Piece) -> Iterator[Finding]:
        text, surroundings = Text(piece.text, piece.syntax), Surroundings(piece.text)
        silent = {text.line_and_column(found.start())[0] for found in re.finditer(IGNORE, piece.text)}
        for start, word in self.vocabulary.words(piece.text):
            if (named := self.vocabulary.named(word)) is None:
                continue
            place = _place(text, start, start + len(word), named)
            vendor = self._vendor(named, surroundings)
            first, last = named.span or (0, len(word))
            line, column = text.line_and_column(start + first)
            if place is not None and vendor is not None and line not in silent:
                where = (file, piece.cell, line, column, word[first:last])
                yield self._finding(named, vendor, where, used=place == "used")

    def _vendor(self, named: Named, surroundings: Surroundings) -> str | None:
        """Choose among those who may be meant the one where the model stops first; None: nobody dates it."""
        if named.vendor is not None:
            # A host that dates none of it is worth a word only where whoever makes the model does.
            dated = self.vocabulary.vendors_of(named.model)
            return named.vendor if named.base or {named.vendor, family(named.model)} & set(dated) else None
        candidates = self.vocabulary.vendors_here(named.model, surroundings)
        days = {vendor: self.known.dates_of(vendor, named.model).shutdown for vendor in candidates}
        return min(candidates, key=lambda vendor: (days[vendor] or date.max, vendor), default=None)

    def _finding(
        self, named: Named, vendor: str, place: tuple[Path, int | None, int, int, str], *, used: bool
    ) -> Finding:
        others = (other for other in sorted(self.vocabulary.vendors_of(named.model)) if other != vendor)
        days = ((other, self.known.dates_of(other, named.model).shutdown) for other in others)
        return Finding(
            *place,
            model=named.model,
            vendor=vendor,
            base=named.base,
            used=used,
            dates=self.known.dates_of(vendor, named.model, named.base),
            elsewhere=tuple((other, day) for other, day in days if day is not None),
            snapshot=self.known.snapshot_of(vendor, named.model),
            routes=_routes_for(named, self.routes),
        )


def _place(text: Text, start: int, end: int, named: Named) -> str | None:
    """Tell whether an id is used or mentioned; None where it is part of something longer."""
    before, after = text.text[max(0, start - 1) : start], text.text[end : end + 2]
    if named.span is not None:
        return "mentioned" if text.is_comment(start) else "used"
    if before in _JOINED_BEFORE or after[:1] in _JOINED_AFTER or _PATH_GOES_ON.match(after):
        return None
    return text.place(start, end, ambiguous=named.base is None and is_ambiguous(named.model))


def _routes_for(named: Named, routes: Routes | None) -> tuple[str, ...]:
    """Return the routes to ask for instead: those of the very id, else those of what is trained from it."""
    primaries = [(name, route.primary) for name, route in routes.routes.items() if route.primary] if routes else []
    exact = tuple(name for name, primary in primaries if primary.model == named.model)
    return exact or tuple(name for name, primary in primaries if named.model in (primary.base, base_of(primary.model)))


def scan(
    files: Sequence[Path],
    *,
    now: datetime,
    within_days: int,
    routes: Routes | None = None,
    progress: Callable[[Iterable[Path]], Iterable[Path]] = iter,
) -> Report:
    """Look through files, and report what they name.

    Args:
        files: What ``scan_files.source_files`` lists.
        now: Aware, UTC; its day is today.
        within_days: How far ahead a shutdown is soon.
        routes: Gives routes to use instead, and the operator's own dates; the files it was read from are left out.
        progress: Is given the files, and yields them as they are looked through.
    """
    own = {Path(name).resolve() for name in routes.files} if routes else set()
    scanner = Scanner(routes, KnownDates(routes))
    for file in progress(files):
        if file.resolve() not in own:
            scanner.look_through(file)
    return Report(
        today=now.date(),
        within_days=within_days,
        files_read=scanner.files_read,
        findings=tuple(sorted(scanner.findings, key=_order)),
        unreadable=tuple(scanner.unreadable),
    )


def _order(finding: Finding) -> tuple[date, date, str, str, int, int, int]:
    place = (str(finding.file), finding.cell or 0, finding.line, finding.column)
    name, day = finding.snapshot or ("", date.max)
    # Groups of one day, or of one snapshot, stand together.
    return (finding.dates.shutdown or date.max, date.max if finding.dates.shutdown else day, name, *place)
