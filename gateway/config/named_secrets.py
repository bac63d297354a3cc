"""Secrets that routes.yaml names and never holds: by the variable or the file in which they are found."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gateway.config.findings import Findings
from gateway.config.source_files import SourceFiles
from gateway.config.yaml_source import Node

# Upper case alone: a key pasted in place of a variable's name is recognised, and never repeated in a message.
_VARIABLE_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class Named:
    """A secret as it is named."""

    env: str | None
    file: Path | None

    @property
    def is_there(self) -> bool:
        """Whether it is named at all."""
        return self.env is not None or self.file is not None


def read_named(
    subject: str, what: str, node: Node, files: SourceFiles, environ: Mapping[str, str], findings: Findings
) -> Named:
    """Return where the secret ``what`` of a mapping is found: its keys ``{what}_env`` and ``{what}_file``.

    Two names for it and a name that cannot be one are errors; a secret that is absent is a warning marked as such.
    """
    env_at, file_at = node.get(f"{what}_env"), node.get(f"{what}_file")
    env, file = env_at.text if env_at else None, file_at.text if file_at else None
    if env and env_at and file and file_at:
        findings.error(file_at, f"{subject} has both {what}_env and {what}_file; keep one")
    elif env and env_at:
        if not _VARIABLE_NAME.fullmatch(env):
            findings.error(env_at, f"{subject}.{what}_env must be the NAME of an environment variable, in upper case")
        elif not environ.get(env):
            findings.warning(env_at, f"{subject}: {env} is not set", missing_secret=True)
    elif file and file_at and not _is_file(files.locate(file_at, file)):
        findings.warning(file_at, f"{subject}: the file of {what}_file is not there", missing_secret=True)
    return Named(env, files.locate(file_at, file) if file and file_at else None)


def url_problem(written: str, *, query_allowed: bool = False) -> str | None:
    """Return what is wrong with a URL, as a predicate that does not repeat it (it may hold a secret); None: nothing."""
    if not written.isascii() or not written.isprintable() or " " in written:
        return "holds a character that does not belong in a URL"
    try:
        url = urlsplit(written)
        port = url.port
    except ValueError:
        return "is not a URL"
    if url.scheme not in ("http", "https") or not url.hostname or port == 0:
        return "must be an http or https URL"
    if "@" in url.netloc:
        return "must hold no user name or password"
    if "#" in written or ("?" in written and not query_allowed):
        return "must hold no fragment" if query_allowed else "must hold no query or fragment"
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
