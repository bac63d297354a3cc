"""Reads small documents and paged lists of a provider's management API, within bounds."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

import orjson

from gateway.errors import ConfigError
from gateway.providers.connection import TransportError
from gateway.providers.openai_wire import MAX_ANSWER_BYTES, Upstream

CALL_TIMEOUT_S = 30.0

_Answer = TypeVar("_Answer")

Progress = Callable[[str, int, int | None], None]
"""What is being read, how much of it is done, and of how much; None: nobody knows."""


class Refused(Exception):
    """The provider answered with an error, or with something that is no answer; the message is a whole clause."""

    def __init__(self, message: str, *, status: int, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(slots=True)
class Reading:
    """One reading of an account."""

    upstream: Upstream
    progress: Progress
    notes: list[str] = field(default_factory=list)
    """What could not be read, and why: whole sentences."""


async def get(upstream: Upstream, path: str, timeout_s: float = CALL_TIMEOUT_S) -> bytes:
    """Return a document's bytes.

    Raises:
        Refused: any status but 200.
        ConfigError: there is no connection, or no answer in time.
    """
    where = f"{upstream.provider.base_url}{_bare(path)}"
    status, _, body = await _in_time(upstream.get(path), where, timeout_s)
    return _good(status, body, _bare(path))


async def get_json(upstream: Upstream, path: str) -> Any:
    """Return a document.

    Raises:
        Refused: any status but 200, or a body that is no JSON.
        ConfigError: there is no connection, or no answer in time.
    """
    return _parsed(await get(upstream, path), _bare(path))


async def get_models(upstream: Upstream) -> Any:
    """Return the list of models that tells of their dates.

    Raises:
        Refused: any status but 200, or a body that is no JSON.
        ConfigError: there is no connection, or no answer in time.
    """
    where = upstream.dated_models_url
    status, body = await _in_time(upstream.list_dated_models(MAX_ANSWER_BYTES), where, CALL_TIMEOUT_S)
    return _parsed(_good(status, body, where), where)


async def _in_time(call: Awaitable[_Answer], where: str, timeout_s: float) -> _Answer:
    try:
        async with asyncio.timeout(timeout_s):
            return await call
    except TransportError as error:
        raise ConfigError(f"{where}: {error}") from None
    except TimeoutError:
        raise ConfigError(f"{where}: no answer within {timeout_s:g} s") from None


def _good(status: int, body: bytes, where: str) -> bytes:
    if status == 200:
        return body
    code = _code(body)
    raise Refused(f"{where} answered {status}{f' {code}' if code else ''}", status=status, code=code)


def _parsed(body: bytes, where: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(f"{where} answered something that is no JSON", status=200) from None


async def pages(upstream: Upstream, path: str, limit: int, most_rows: int) -> AsyncIterator[list[Mapping[str, Any]]]:
    """Yield the pages of a list, by ``after``; what is not an object is left out of them.

    Raises:
        Refused: a page could not be had; those before it were.
        ConfigError: there is no connection, or no answer in time.
    """
    after, seen = "", set[str]()
    total = 0
    while total < most_rows:
        query = {"limit": limit, **({"after": after} if after else {})}
        document = await get_json(upstream, f"{path}{'&' if '?' in path else '?'}{urlencode(query)}")
        rows = document.get("data") if isinstance(document, dict) else None
        if not isinstance(rows, list):
            raise Refused(f"{_bare(path)} answered something that is no list", status=200)
        yield [row for row in rows[: most_rows - total] if isinstance(row, dict)]
        total += len(rows)
        last = rows[-1].get("id") if rows and isinstance(rows[-1], dict) else None
        # A server that ignores `after` would answer its first page for ever.
        if document.get("has_more") is not True or not isinstance(last, str) or last in seen:
            return
        seen.add(last)
        after = last


def _code(body: bytes) -> str | None:
    """Return the error's code, where it is one word in OpenAI's shape: nothing else of a body is repeated."""
    try:
        code = orjson.loads(body)["error"]["code"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return code if isinstance(code, str) and code.isidentifier() and len(code) <= 60 else None


def _bare(path: str) -> str:
    return path.partition("?")[0]
