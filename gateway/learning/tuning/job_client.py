"""One provider's fine-tuning jobs and their files, whatever its API calls them."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson

from gateway.clock import Clock
from gateway.learning.provider_files import upload
from gateway.ledger.entry import new_attempt_id
from gateway.lifecycle.provider_pages import Refused, delete, get_json, pages, post_json, spoken
from gateway.policy.tuning import Method
from gateway.providers.job_apis import JobApi, SeenJob, Wanted, read_job, request_of
from gateway.providers.openai_wire import Upstream

PURPOSE: Final = "fine-tune"
ABSENT_FILE: Final = "file-gateway-asks-whether-training-is-open"
"""The id of a file that no provider has."""
CLOSED: Final = "training_not_available"
_JOBS_A_PAGE, _FILES_A_PAGE, _MOST = 100, 10_000, 20_000


class JobClient:
    """Every method raises ``Refused`` where the provider answers with an error, ``ConfigError`` where it does not."""

    def __init__(self, upstream: Upstream, api: JobApi, clock: Clock) -> None:
        self.api = api
        self._upstream, self._clock = upstream, clock

    async def find_file(self, name: str) -> str | None:
        """Return the id of the file of this name; None: the list has none."""
        async for rows in self._listed(self.api.files_path, self.api.files_filter, _FILES_A_PAGE):
            for row in rows:
                if row.get("filename") == name and isinstance(row.get("id"), str):
                    return str(row["id"])
        return None

    async def upload(self, name: str, content: bytes) -> str:
        """Upload training rows; return the file's id."""
        field = "file_name" if self.api.names_file else None
        where = self.api.upload_path
        return await upload(self._upstream, self._clock, where, PURPOSE, name, content, name_field=field)

    async def file_status(self, file_id: str) -> str:
        """Return how far the provider is with reading a file: its own word, lower case; empty: it does not say."""
        found = await get_json(self._upstream, f"{self.api.files_path}/{quote(file_id, safe='')}")
        status = found.get("status") if isinstance(found, dict) else None
        return status.lower() if isinstance(status, str) else ""

    async def delete_file(self, file_id: str) -> None:
        """Delete a file."""
        await delete(self._upstream, f"{self.api.files_path}/{quote(file_id, safe='')}")

    async def find_job(self, training_file: str) -> SeenJob | None:
        """Return the job of a training file; None: the list has none."""
        async for rows in self._listed(self.api.jobs_path, "", _JOBS_A_PAGE):
            for row in rows:
                job = read_job(self.api, row)
                if job is not None and job.training_file == training_file:
                    return job
        return None

    async def create(self, wanted: Wanted) -> SeenJob:
        """Begin a job."""
        path = self.api.jobs_path
        body = orjson.dumps(request_of(self.api, wanted))
        return self._read(await post_json(self._upstream, path, body, new_attempt_id(self._clock.now())))

    async def look(self, job_id: str) -> SeenJob:
        """Return a job as it stands."""
        return self._read(await get_json(self._upstream, self._path(job_id)))

    async def latest_event(self, job_id: str) -> str | None:
        """Return what the provider said last of a job; None: nothing, or it cannot be had."""
        try:
            document = await get_json(self._upstream, f"{self._path(job_id)}/events")
        except Refused:
            return None
        rows = document.get("data") if isinstance(document, dict) else None
        events = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        newest = max(events, key=lambda row: str(row.get("created_at") or ""), default={})
        # Lists are newest first: of several in one second the first is the last.
        said = newest.get("message")
        return self.shown(said) if isinstance(said, str) else None

    async def cancel(self, job_id: str) -> None:
        """Ask for a job's end."""
        await post_json(self._upstream, f"{self._path(job_id)}/cancel", b"{}", new_attempt_id(self._clock.now()))

    async def list_jobs(self) -> None:
        """See whether jobs can be listed at all."""
        async for _ in self._listed(self.api.jobs_path, "", 1):
            return

    async def asks_for_nothing(self, base: str, method: Method) -> Refused:
        """Ask for a job of a file that does not exist, and return how that is refused: nothing is sent, or begun.

        Raises:
            Refused: it was not refused; the job that came of it is cancelled.
        """
        try:
            job = await self.create(Wanted(base=base, method=method, training_file=ABSENT_FILE))
        except Refused as refused:
            return refused
        await self.cancel(job.id)
        raise Refused(
            f"{self.api.jobs_path} made a job ({job.id}) of a file that does not exist; it was cancelled at once",
            status=200,
        )

    def shown(self, words: str) -> str:
        """Return the provider's words as they may be kept and shown."""
        return spoken(words, self._upstream.secret)

    def _read(self, answer: Any) -> SeenJob:
        job = read_job(self.api, answer) if isinstance(answer, dict) else None
        if job is None:
            raise Refused(f"{self.api.jobs_path} answered something that is no job", status=200)
        return job

    def _path(self, job_id: str) -> str:
        return f"{self.api.jobs_path}/{quote(job_id, safe='')}"

    async def _listed(self, path: str, query: str, a_page: int) -> AsyncIterator[list[Mapping[str, Any]]]:
        asked = f"{path}?{query}" if query else path
        if self.api.pages == "after":
            async for rows in pages(self._upstream, asked, a_page, _MOST):
                yield rows
            return
        number, total = 0, 0
        while total < _MOST:
            mark = "&" if "?" in asked else "?"
            numbered = f"{asked}{mark}page={number}&page_size=100" if self.api.pages == "number" else asked
            document = await get_json(self._upstream, numbered)
            found = document.get("data") if isinstance(document, dict) else None
            if not isinstance(found, list):
                raise Refused(f"{path} answered something that is no list", status=200)
            yield [row for row in found if isinstance(row, dict)]
            total += len(found)
            number += 1
            if self.api.pages == "none" or len(found) < 100:
                return
