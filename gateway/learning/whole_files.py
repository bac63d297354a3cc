"""Files and directories that are put in their place whole, or not at all, and in place of earlier ones."""

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path


def put_whole(
    directory: Path,
    files: Mapping[str, bytes],
    *,
    private: bool,
    before: Callable[[], None] | None = None,
) -> None:
    """Write a directory beside its place and rename it; what is in it as directories moves along.

    ``private``: it is its owner's to read (0700, its files 0600; otherwise 0755 and 0644). ``before`` is called once
    everything is on the disk, and before the earlier directory is gone. May raise ``OSError``; then the earlier one is
    in its place.
    """
    fresh = directory.with_name(f".{directory.name}.{secrets.token_hex(4)}")
    old = fresh.with_name(f"{fresh.name}.old")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        fresh.mkdir(mode=0o700)
        for name, content in files.items():
            write_new(fresh / name, content, 0o600 if private else 0o644)
        fresh.chmod(0o700 if private else 0o755)
        if before is not None:
            before()
        if directory.exists():
            directory.rename(old)
        try:
            fresh.rename(directory)
        except OSError:
            with suppress(OSError):
                old.rename(directory)
            raise
        _keep_directories(old, directory)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if directory.exists():
            shutil.rmtree(old, ignore_errors=True)


def recover(directory: Path) -> None:
    """Put right what a process left that died while it put a directory in its place. May raise ``OSError``."""
    ours = re.compile(rf"{re.escape(f'.{directory.name}.')}[0-9a-f]{{8}}(\.old)?")
    left = {path: match[1] for path in _beside(directory) if (match := ours.fullmatch(path.name))}
    for old in sorted(path for path, is_old in left.items() if is_old):
        if directory.exists():
            _keep_directories(old, directory)
            shutil.rmtree(old)
        else:
            old.rename(directory)
    for fresh in (path for path, is_old in left.items() if not is_old):
        shutil.rmtree(fresh)


def write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that is not there yet, with this mode whatever the umask. May raise ``OSError``."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    path.chmod(mode)


def put_file(path: Path, content: bytes) -> None:
    """Write or replace a file whole, for its owner alone. May raise ``OSError``."""
    if path.exists() and not path.is_file():
        # A device or a pipe is written to; a file in its place would break whoever else uses it.
        path.write_bytes(content)
        return
    # mkstemp makes it with mode 0600.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _beside(directory: Path) -> list[Path]:
    return list(directory.parent.iterdir()) if directory.parent.is_dir() else []


def _keep_directories(old: Path, directory: Path) -> None:
    if old.is_dir():
        for inside in old.iterdir():
            if inside.is_dir() and not inside.is_symlink() and not (directory / inside.name).exists():
                inside.rename(directory / inside.name)
