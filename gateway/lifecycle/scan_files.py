"""Which files of a tree are somebody's own sources, and what they say. Nothing of the tree is executed.

Inside of a git work tree, git says which files there are, so that what .gitignore names is left out; elsewhere the
directories are walked. Either way what others wrote or what machines made is skipped, by name.
"""

import codecs
import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.lifecycle.scan_languages import PYTHON, Syntax, syntax_of

MAX_BYTES: Final = 2 * 1024 * 1024
_SKIPPED_DIRECTORIES: Final = re.compile(
    # Other people's code.
    r"node_modules|bower_components|vendor|third_party|site-packages|\.?venv|virtualenv"
    # What machines made.
    r"|build|dist|target|out|coverage|htmlcov|__pycache__|\.ipynb_checkpoints|\.next|\.nuxt|\.svelte-kit|\.turbo"
    # What tools keep for themselves.
    r"|\.git|\.hg|\.svn|\.tox|\.nox|\.eggs|\.cache|\..*_cache|\.idea|\.gradle|\.terraform|\.serverless|\.aws-sam"
)
_SKIPPED_SUFFIXES: Final = (".lock", ".lock.json", ".lock.hcl", "-lock.json", "-lock.yaml", ".min.js", ".map")
_SKIPPED_NAMES: Final = frozenset(("npm-shrinkwrap.json", "go.sum", "packages.lock.json"))
_GIT: Final = ("git", "-c", "core.fsmonitor=false", "-c", "core.quotepath=false")


@dataclass(frozen=True, slots=True)
class Piece:
    """A text to look through: a whole file, or one cell of a notebook."""

    text: str
    syntax: Syntax
    cell: int | None = None
    """Counted from 1, over cells of all kinds."""


class Unreadable(Exception):
    """A file could not be read; the message says why."""


def source_files(paths: Sequence[Path]) -> list[Path]:
    """Return every source under the paths, each once, in order of their names, as it is first named.

    A path may be a file. Symbolic links are not followed, other than a path that is one itself; what they lead to
    within the tree is found in its own place.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for file in sorted(_walk(path) if path.is_dir() else (path,)):
            if is_source(file.name):
                found.setdefault(file.resolve(), file)
    return list(found.values())


def is_source(name: str) -> bool:
    """Tell whether a file is read at all, by its name."""
    lower = name.lower()
    if lower in _SKIPPED_NAMES or lower.endswith(_SKIPPED_SUFFIXES):
        return False
    return lower.endswith(".ipynb") or syntax_of(lower) is not None


def _walk(root: Path) -> Iterator[Path]:
    listed = _listed_by_git(root)
    if listed is None:
        yield from _walk_plainly(root)
        return
    for relative in listed:
        file = root / relative
        parents = Path(relative).parts[:-1]
        if any(map(_SKIPPED_DIRECTORIES.fullmatch, parents)) or file.is_symlink():
            continue
        if file.is_dir():  # a submodule
            if not _SKIPPED_DIRECTORIES.fullmatch(file.name):
                yield from _walk(file)
        elif file.is_file():
            yield file


def _walk_plainly(root: Path) -> Iterator[Path]:
    for directory, directories, files in os.walk(root):
        if "pyvenv.cfg" in files and Path(directory) != root:
            directories.clear()
            continue
        directories[:] = [name for name in directories if not _SKIPPED_DIRECTORIES.fullmatch(name)]
        for name in files:
            file = Path(directory, name)
            if not file.is_symlink() and file.is_file():
                yield file


def _listed_by_git(root: Path) -> list[str] | None:
    """Return what git tracks or would track, relative to the root; None: no git, no work tree, or one it ignores."""
    try:
        # A directory that git ignores was asked for by name: then all of it is meant.
        if _git(root, "check-ignore", "--quiet", ".").returncode == 0:
            return None
        listing = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
    except OSError:
        return None
    if listing.returncode != 0:
        return None
    return [os.fsdecode(name) for name in listing.stdout.split(b"\0") if name]


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*_GIT, *arguments], cwd=root, capture_output=True, check=False)


def read(file: Path) -> bytes:
    """Return a file's bytes; what is UTF-16, as UTF-8.

    Raises:
        Unreadable: No permission, gone since it was listed, no regular file, larger than 2 MiB, or binary.
    """
    try:
        with open(file, "rb", opener=_without_waiting) as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise Unreadable("not a regular file")
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from None
    if len(content) > MAX_BYTES:
        raise Unreadable("larger than 2 MiB")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace").encode()
    if b"\0" in content[:8192]:
        raise Unreadable("binary")
    return content


def _without_waiting(name: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to would be waited for."""
    return os.open(name, flags | os.O_NONBLOCK)


def pieces(name: str, content: bytes) -> Iterator[Piece]:
    """Yield what there is to look through in a file.

    Raises:
        Unreadable: A notebook that is no JSON.
    """
    if name.lower().endswith(".ipynb"):
        yield from _cells(content)
    elif (syntax := syntax_of(name)) is not None:
        yield Piece(content.decode("utf-8-sig", errors="replace"), syntax)


def _cells(content: bytes) -> Iterator[Piece]:
    try:
        notebook = json.loads(content)
        cells = [(cell["cell_type"], cell["source"]) for cell in notebook["cells"]]
    except (ValueError, RecursionError, LookupError, TypeError):
        raise Unreadable("not a notebook") from None
    for number, (kind, source) in enumerate(cells, 1):
        if kind == "code":
            lines = source if isinstance(source, list) else [source]
            yield Piece("".join(line for line in lines if isinstance(line, str)), PYTHON, number)
