"""The lines of a file of rows, one at a time, whatever its size."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

MAX_LINE_BYTES: Final = 16 * 2**20
_BOM: Final = b"\xef\xbb\xbf"
_READ: Final = 2**20

Advance = Callable[[int], None]
"""Told how many bytes have been read."""


@dataclass(slots=True)
class FileTraits:
    """What was seen of a file beside its rows; complete once its last line was taken."""

    size_bytes: int = 0
    lines: int = 0
    has_bom: bool = False
    crlf: list[int] = field(default_factory=list)
    """The first line that ends with CR LF."""
    crlf_lines: int = 0
    blank: list[int] = field(default_factory=list)
    """The first blank line."""
    blank_lines: int = 0
    too_long: list[int] = field(default_factory=list)
    """Lines beyond ``MAX_LINE_BYTES``, the first hundred."""


def rows_of(path: Path, traits: FileTraits, advance: Advance | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield each row with its line, from 1, without white space around it; no more than a line is in memory.

    Blank lines, CR LF and a byte order mark at the beginning are passed over and noted, and so is a line that is too
    long to be a row.

    Raises:
        OSError: it cannot be read.
    """
    traits.size_bytes = path.stat().st_size
    read = 0
    with path.open("rb", buffering=_READ) as stream:
        while line := stream.readline(MAX_LINE_BYTES + 1):
            traits.lines += 1
            read += len(line)
            if len(line) > MAX_LINE_BYTES:
                traits.too_long += [traits.lines][: 100 - len(traits.too_long)]
                while line and not line.endswith(b"\n"):
                    line = stream.readline(_READ)
                    read += len(line)
                continue
            if traits.lines == 1 and line.startswith(_BOM):
                traits.has_bom = True
                line = line.removeprefix(_BOM)
            if line.endswith(b"\r\n"):
                traits.crlf_lines += 1
                traits.crlf = traits.crlf or [traits.lines]
            if row := line.strip(b" \t\r\n"):
                yield traits.lines, row
            else:
                traits.blank_lines += 1
                traits.blank = traits.blank or [traits.lines]
            if advance is not None:
                advance(read)
