"""The files that make up one configuration: read once, within limits, and hashed."""

import glob
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from gateway.config.findings import Position
from gateway.config.yaml_source import MAX_BYTES


class Unreadable(Exception):
    """A file cannot be read; the message says why, and fits behind its path."""


class SourceFiles:
    """Reads the files of one load; paths are relative to the file in which they are written."""

    def __init__(self, first: Path, instead: Mapping[Path, bytes] | None = None) -> None:
        # Not resolve(): a mounted ConfigMap is a symlink, and its name is meant, not what it leads to at the moment.
        self.first = Path(os.path.abspath(first))
        self.root = self.first.parent
        self._contents: dict[Path, bytes] = {}
        self._instead = instead or {}
        self._directories: dict[str, None] = {str(self.root): None}

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that was read, the first first."""
        return tuple(map(str, self._contents))

    @property
    def directories(self) -> tuple[str, ...]:
        """Every directory in which a file was read, missed, or looked for."""
        return tuple(self._directories)

    def label(self, path: Path) -> str:
        """Return how a file is called in findings: its path from the directory of routes.yaml."""
        return os.path.relpath(path, self.root)

    def locate(self, at: Position, written: str) -> Path:
        """Return the absolute path of a file named at a position."""
        return Path(os.path.abspath(self.root / os.path.dirname(at.file) / written))

    def read(self, path: Path, max_bytes: int = MAX_BYTES) -> bytes:
        """Return a file's content.

        Raises:
            Unreadable: It is not there, is no regular file, is larger than ``max_bytes``, or may not be read.
        """
        if path not in self._contents:
            self._directories[str(path.parent)] = None
            try:
                if not path.exists():
                    raise Unreadable("does not exist")
                if not path.is_file():
                    raise Unreadable("is not a file")
                with path.open("rb") as stream:
                    content = self._instead.get(path) or stream.read(max_bytes + 1)
            except OSError as error:
                raise Unreadable(f"cannot be read: {error.strerror}") from None
            except ValueError:
                raise Unreadable("is not a path") from None
            if len(content) > max_bytes:
                raise Unreadable(f"is larger than {max_bytes // 1_048_576} MiB")
            self._contents[path] = content
        return self._contents[path]

    def matching(self, at: Position, pattern: str) -> list[Path]:
        """Return the files that an include pattern names, sorted; a plain path is returned as it is."""
        path = self.locate(at, pattern)
        self._directories[str(_fixed_part(path))] = None
        if not glob.has_magic(str(pattern)):
            return [path]
        try:
            found = glob.glob(pattern, root_dir=self.root / os.path.dirname(at.file))
        except ValueError:
            return []
        return sorted(self.locate(at, name) for name in found)

    def config_hash(self) -> str:
        """Return the first 12 hex digits of a hash over every file's place and content."""
        digest = hashlib.sha256()
        for path in sorted(self._contents):
            digest.update(self.label(path).encode() + b"\0" + hashlib.sha256(self._contents[path]).digest())
        return digest.hexdigest()[:12]


def _fixed_part(path: Path) -> Path:
    """Return the deepest directory of a pattern that holds no wildcard."""
    parent = path.parent
    while glob.has_magic(str(parent)):
        parent = parent.parent
    return parent
