"""Training files: fetched once, kept as they came, and read for what a fallback's prompt can start from."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from gateway.errors import ConfigError
from gateway.lifecycle.fine_tuning_jobs import TrainingFile
from gateway.lifecycle.provider_pages import Refused, get
from gateway.providers.openai_wire import MAX_ANSWER_BYTES, Upstream

DOWNLOAD_TIMEOUT_S = 300.0
EXAMPLES = 20
_LONGEST_EXAMPLE = 4_000
_LONGEST_SYSTEM = 20_000
# A system message that carries the request's own data is another one in every row, and no instruction.
_LEAST_SHARE = 0.2
_SYSTEM_ROLES = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Studied:
    """What a training file teaches."""

    rows: int
    system: str | None = None
    """The system message that most rows have; None where rows have none in common."""
    trained_system: tuple[str, ...] = ()
    """Every system message that at least a fifth of the rows has."""
    examples: tuple[tuple[str, str], ...] = ()
    """Up to twenty pairs of request and answer, from all over the file."""


async def fetch(upstream: Upstream, file: TrainingFile, path: Path) -> bytes:
    """Return a training file's content, and keep it at ``path``; a file of its size that is there already is taken.

    Raises:
        ConfigError: it is too large for this client, cannot be had, or ``path`` holds something else.
        OSError: it cannot be kept.
    """
    if (content := _kept(file, path)) is not None:
        return content
    if file.size_bytes is not None and file.size_bytes > MAX_ANSWER_BYTES:
        raise ConfigError(f"{file.id} has {file.size_bytes / 2**20:,.0f} MiB: fetch it with the provider's own client")
    try:
        content = await get(upstream, f"/files/{quote(file.id, safe='')}/content", DOWNLOAD_TIMEOUT_S)
    except Refused as refused:
        raise ConfigError(f"{file.id} could not be fetched: {refused}") from None
    _keep(content, path)
    return content


def _kept(file: TrainingFile, path: Path) -> bytes | None:
    if not path.exists():
        return None
    content = path.read_bytes()
    if file.size_bytes is not None and len(content) != file.size_bytes:
        raise ConfigError(f"{path} holds something else, and was left as it is")
    return content


def _keep(content: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    # What was trained on is nobody else's to read.
    with open(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as unfinished:
        unfinished.write(content)
    part.rename(path)


def study(content: bytes) -> Studied:
    """Read training rows as far as they are chats; other rows are counted, and teach nothing here."""
    rows = 0
    systems: Counter[str] = Counter()
    pairs: list[tuple[str, str]] = []
    for messages in _rows(content):
        rows += 1
        texts = {role: text for role, text in messages if text.strip()}
        system = next((texts[role] for role in _SYSTEM_ROLES if role in texts), None)
        if system is not None and len(system) <= _LONGEST_SYSTEM:
            systems[system] += 1
        user, assistant = texts.get("user"), texts.get("assistant")
        if user and assistant and len(user) + len(assistant) <= _LONGEST_EXAMPLE:
            pairs.append((user, assistant))
    common = tuple(text for text, count in systems.most_common(5) if count >= _LEAST_SHARE * rows)
    pairs = list(dict.fromkeys(pairs))
    chosen = pairs[:: max(1, -(-len(pairs) // EXAMPLES))]
    return Studied(rows, common[0].strip() if common else None, common, tuple(chosen))


def _rows(content: bytes) -> Iterator[list[tuple[str, str]]]:
    """Yield each row's messages as (role, text); none for a row that is no chat."""
    for line in content.split(b"\n"):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            row = None
        messages = row.get("messages") if isinstance(row, dict) else None
        yield [pair for message in messages if (pair := _text(message))] if isinstance(messages, list) else []


def _text(message: Any) -> tuple[str, str] | None:
    if not isinstance(message, dict):
        return None
    role, content = message.get("role"), message.get("content")
    return (role, content) if isinstance(role, str) and isinstance(content, str) else None
