"""Style sheets, scripts and pictures: known by a hash of what is in them, so that browsers keep them for ever."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

DIRECTORY: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file, read once."""

    body: bytes
    media_type: str
    version: str


@cache
def static_files() -> dict[str, StaticFile]:
    """Return every file that pages may name, by its name: nothing else is ever served from there."""
    found = {}
    for path in sorted(DIRECTORY.iterdir()):
        if path.suffix in _TYPES:
            body = path.read_bytes()
            found[path.name] = StaticFile(body, _TYPES[path.suffix], hashlib.sha256(body).hexdigest()[:12])
    return found


def address(name: str) -> str:
    """Return where a file is, with its version; another content is another address."""
    return f"/ui/static/{name}?v={static_files()[name].version}"


@cache
def build() -> str:
    """Return one word for all of them: a page that was made by another build loads itself anew."""
    versions = "".join(file.version for file in static_files().values())
    return hashlib.sha256(versions.encode()).hexdigest()[:12]
