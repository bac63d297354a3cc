"""Texts of anybody's as YAML and as its comments: quoted unless they are plain, and never off their line. Pure."""

import json
import re
from typing import Final

from gateway.config.findings import printable

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*(?::[A-Za-z0-9_./-]+)*")
_WORDS: Final = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n"))
_HIDDEN: Final = re.compile("[\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")
_COMMENT_WIDTH: Final = 114


def comment(text: str, indent: str, hanging: str = "") -> list[str]:
    """Return text as comment lines of at most 118 characters, where its words allow that."""
    lines, line = [], ""
    for word in shown(text).split():
        if line and len(indent) + len(line) + len(word) > _COMMENT_WIDTH:
            lines.append(line)
            line = hanging
        line = f"{line} {word}" if line.strip() else f"{line}{word}"
    return [f"{indent}# {line}" for line in [*lines, line]]


def shown(text: str) -> str:
    """Return text as a line for people: what cannot be seen, or turns a line around, is escaped."""
    return _escaped(printable(text))


def key(name: str) -> str:
    """Return a mapping's key."""
    return scalar(name, inner=True)


def scalar(text: str, *, inner: bool = False) -> str:
    """Return text as a YAML scalar: plain where nobody can misread it; ``inner`` also within braces or as a key."""
    plain = _PLAIN.fullmatch(text) is not None and text.lower() not in _WORDS and not (inner and ":" in text)
    return text if plain else quoted(text)


def quoted(text: str) -> str:
    """Return text in quotes."""
    # JSON's strings are YAML's, but for what YAML does not let stand unescaped.
    return _escaped(json.dumps(text, ensure_ascii=False))


def _escaped(text: str) -> str:
    return _HIDDEN.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
