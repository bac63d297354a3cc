"""OpenAI's batch API, as far as recordings need it: a file up, a batch made of it, and its files down again."""

from typing import Any, Final
from urllib.parse import quote

import orjson

from gateway.clock import Clock
from gateway.learning.provider_files import id_of, upload
from gateway.ledger.entry import new_attempt_id
from gateway.lifecycle.provider_pages import Refused, get, get_json, pages, post_json
from gateway.providers.openai_wire import Upstream

KINDS: Final = frozenset(("openai", "azure", "sandbox"))
"""Providers that have it."""
ENDPOINT: Final = "/v1/chat/completions"
ENDED: Final = frozenset(("completed", "failed", "expired", "cancelled"))
DOWNLOAD_TIMEOUT_S: Final = 600.0
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
        return await upload(self._upstream, self._clock, "/files", "batch", name, content)

    async def create(self, file_id: str) -> str:
        """Begin a batch; return its id."""
        body = {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": "24h"}
        attempt_id = new_attempt_id(self._clock.now())
        return id_of(await post_json(self._upstream, "/batches", orjson.dumps(body), attempt_id), "/batches")

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
