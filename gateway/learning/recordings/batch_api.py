"""OpenAI's batch API, as far as recordings need it: a file up, a batch made of it, and its files down again."""

import asyncio
from secrets import token_hex
from typing import Any, Final
from urllib.parse import quote

import orjson

from gateway.clock import Clock
from gateway.errors import ConfigError
from gateway.execution.endpoints.multipart import Form, Part
from gateway.ledger.entry import new_attempt_id
from gateway.lifecycle.provider_pages import Refused, get, get_json, pages
from gateway.policy.blacking_out import without
from gateway.providers.connection import TransportError
from gateway.providers.openai_wire import JSON_TYPE, MAX_ANSWER_BYTES, Upstream

KINDS: Final = frozenset(("openai", "azure", "sandbox"))
"""Providers that have it."""
ENDPOINT: Final = "/v1/chat/completions"
ENDED: Final = frozenset(("completed", "failed", "expired", "cancelled"))
UPLOAD_TIMEOUT_S: Final = 600.0
DOWNLOAD_TIMEOUT_S: Final = 600.0
_CALL_TIMEOUT_S: Final = 60.0
_BATCHES_A_PAGE, _MOST_BATCHES = 100, 2_000


class BatchApi:
    """One provider's batches.

    Every method raises ``Refused`` where the provider answers with an error, and ``ConfigError`` where there is no
    answer.
    """

    def __init__(self, upstream: Upstream, clock: Clock) -> None:
        self._upstream, self._clock = upstream, clock

    async def upload(self, name: str, content: bytes) -> str:
        """Upload a batch's input; return the file's id."""
        file = Part("file", content, name, b"application/jsonl")
        form = Form((Part("purpose", b"batch"), file), token_hex(16))
        return _id_of(await self._post("/files", form.encoded(), form.content_type, UPLOAD_TIMEOUT_S), "/files")

    async def create(self, file_id: str) -> str:
        """Begin a batch; return its id."""
        body = {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": "24h"}
        return _id_of(await self._post("/batches", orjson.dumps(body), JSON_TYPE, _CALL_TIMEOUT_S), "/batches")

    async def made_of(self, file_id: str) -> str | None:
        """Return the batch that was made of a file; None: none was."""
        async for rows in pages(self._upstream, "/batches", _BATCHES_A_PAGE, _MOST_BATCHES):
            for row in rows:
                if row.get("input_file_id") == file_id and isinstance(row.get("id"), str):
                    return str(row["id"])
        return None

    async def look(self, batch_id: str) -> dict[str, Any]:
        """Return a batch as it stands."""
        found = await get_json(self._upstream, f"/batches/{quote(batch_id, safe='')}")
        if not isinstance(found, dict):
            raise Refused("/batches answered something that is no batch", status=200)
        return found

    async def lines(self, file_id: str) -> list[dict[str, Any]]:
        """Return the rows of a file that a batch wrote; lines that are no objects are left out."""
        content = await get(self._upstream, f"/files/{quote(file_id, safe='')}/content", DOWNLOAD_TIMEOUT_S)
        rows = []
        for line in content.split(b"\n"):
            try:
                row = orjson.loads(line) if line.strip() else None
            except orjson.JSONDecodeError:
                continue
            if isinstance(row, dict):
                rows.append(row)
        return rows

    async def _post(self, path: str, body: bytes, content_type: bytes, timeout_s: float) -> Any:
        where = f"{self._upstream.provider.base_url}{path}"
        try:
            async with asyncio.timeout(timeout_s):
                exchange = self._upstream.exchange(path.strip("/"), path, "")
                connection = await exchange.post(body, new_attempt_id(self._clock.now()), content_type)
                try:
                    await connection.wait_head()
                    status, answer = connection.status, await connection.read(MAX_ANSWER_BYTES)
                finally:
                    connection.finish()
        except TransportError as error:
            raise ConfigError(f"{where}: {error}") from None
        except TimeoutError:
            raise ConfigError(f"{where}: no answer within {timeout_s:g} s") from None
        if status not in (200, 201):
            raise Refused(f"{path} answered {status}{_said(answer, self._upstream.secret)}", status=status)
        try:
            return orjson.loads(answer)
        except orjson.JSONDecodeError:
            raise Refused(f"{path} answered something that is no JSON", status=status) from None


def _id_of(answer: Any, path: str) -> str:
    if not isinstance(answer, dict) or not isinstance(answer.get("id"), str):
        raise Refused(f"{path} answered something without an id", status=200)
    return str(answer["id"])


def _said(answer: bytes, secret: str) -> str:
    """Return what an error says, in its provider's words, the key blacked out."""
    try:
        message = orjson.loads(answer)["error"]["message"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
    if not isinstance(message, str):
        return ""
    return f": {without(message, secret)}"[:500]
