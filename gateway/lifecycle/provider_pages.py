"""Reads small documents and paged lists of a provider's management API, within bounds."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

import orjson

from gateway.errors import ConfigError
from gateway.policy.blacking_out import without
from gateway.providers.connection import TransportError
from gateway.providers.openai_wire import JSON_TYPE, MAX_ANSWER_BYTES, Upstream, header_map
from gateway.providers.retry_after import retry_after_s

CALL_TIMEOUT_S = 30.0
POST_TIMEOUT_S = 60.0
LONGEST_WORDS = 500

_Answer = TypeVar("_Answer")

Progress = Callable[[str, int, int | None], None]
"""What is being read, how much of it is done, and of how much; None: nobody knows."""


class Refused(Exception):
    """The provider answered with an error, or with something that is no answer; the message is a whole clause."""

    def __init__(
        self, message: str, *, status: int, code: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s
        """How long the provider asks to wait; None: it does not say."""


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
    status, headers, body = await _in_time(upstream.get(path), where, timeout_s)
    return _good(status, body, _bare(path), headers)


async def get_json(upstream: Upstream, path: str) -> Any:
    """Return a document.

    Raises:
        Refused: any status but 200, or a body that is no JSON.
        ConfigError: there is no connection, or no answer in time.
    """
    return _parsed(await get(upstream, path), _bare(path))


async def delete(upstream: Upstream, path: str) -> None:
    """Delete what is at a path. A refusal says what the provider says, without the key.

    Raises:
        Refused: any status but 200, 202 and 204, or an answer that says it was not deleted.
        ConfigError: there is no connection, or no answer in time: nobody knows whether it was done.
    """
    where = f"{upstream.provider.base_url}{path}"
    status, headers, body = await _in_time(upstream.request("DELETE", path), where, CALL_TIMEOUT_S)
    if status not in (200, 202, 204):
        raise _refusal(path, status, body, headers, upstream.secret)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return
    if isinstance(document, dict) and document.get("deleted") is False:
        raise Refused(f"{path} answered that it was not deleted", status=status)


async def post(
    upstream: Upstream,
    path: str,
    body: bytes,
    attempt_id: str,
    *,
    content_type: bytes = JSON_TYPE,
    timeout_s: float = POST_TIMEOUT_S,
) -> bytes:
    """Send a body; return what is answered. A refusal says what the provider says, without the key.

    Raises:
        Refused: any status but 200, 201, 202 and 204.
        ConfigError: there is no connection, or no answer in time: nobody knows whether it was done.
    """
    return await _in_time(
        _posted(upstream, path, body, attempt_id, content_type), f"{upstream.provider.base_url}{path}", timeout_s
    )


async def post_json(
    upstream: Upstream,
    path: str,
    body: bytes,
    attempt_id: str,
    *,
    content_type: bytes = JSON_TYPE,
    timeout_s: float = POST_TIMEOUT_S,
) -> Any:
    """Send a body; return the document that is answered.

    Raises:
        Refused, ConfigError: as ``post``; also for an answer that is no JSON.
    """
    answer = await post(upstream, path, body, attempt_id, content_type=content_type, timeout_s=timeout_s)
    return _parsed(answer, path)


async def _posted(upstream: Upstream, path: str, body: bytes, attempt_id: str, content_type: bytes) -> bytes:
    connection = await upstream.exchange(path.strip("/"), path, "").post(body, attempt_id, content_type)
    try:
        await connection.wait_head()
        status, answer = connection.status, await connection.read(MAX_ANSWER_BYTES)
        headers = header_map(connection.headers)
    finally:
        connection.finish()
    if status in (200, 201, 202, 204):
        return answer
    raise _refusal(path, status, answer, headers, upstream.secret)


def _refusal(path: str, status: int, answer: bytes, headers: Mapping[str, str], secret: str) -> Refused:
    said = words_of(answer, secret)
    return Refused(
        f"{path} answered {status}{f': {said}' if said else ''}",
        status=status,
        code=_code(answer),
        retry_after_s=retry_after_s(headers, None, "", now=None),
    )


def words_of(answer: bytes, secret: str) -> str:
    """Return what an error says, in its provider's words, on one line, the key blacked out; empty: nothing."""
    try:
        document = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return ""
    holders = [document.get("error"), document] if isinstance(document, dict) else []
    found = (said for holder in holders for said in _messages(holder) if isinstance(said, str) and said)
    return spoken(next(found, ""), secret)


def spoken(text: str, secret: str) -> str:
    """Return a provider's words as they may be shown: on one line, not too long, the key blacked out."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return without(line, secret)[:LONGEST_WORDS].strip()


def _messages(holder: object) -> tuple[object, ...]:
    return (holder.get("message"), holder.get("detail")) if isinstance(holder, dict) else (holder,)


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


def _good(status: int, body: bytes, where: str, headers: Mapping[str, str] | None = None) -> bytes:
    if status == 200:
        return body
    code = _code(body)
    wait_s = retry_after_s(headers, None, "", now=None)
    message = f"{where} answered {status}{f' {code}' if code else ''}"
    raise Refused(message, status=status, code=code, retry_after_s=wait_s)


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
