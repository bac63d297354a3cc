"""Recordings by a provider's batch API: asked at once, answered within a day, at half the price.

What a batch promises is kept as rows without an answer, so that no command asks for it twice. Such a row names first
the uploaded file (``file:…``), then the batch that was made of it: a command that is killed in between leaves what the
next one needs to find that batch, or to make it.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from gateway.config.routes import Route, Target
from gateway.errors import ConfigError
from gateway.execution.endpoints import CHAT
from gateway.learning.pace import Purse
from gateway.learning.recordings.batch_answers import BatchAnswer, BatchReader, in_a_batch
from gateway.learning.recordings.batch_api import ENDED, ENDPOINT, BatchApi
from gateway.learning.recordings.plan import Lengths, Question, cost_at_most, prefix_chars
from gateway.learning.recordings.recorder import RecordingRun, Stop, answered, recording_of
from gateway.learning.workbench import Workbench
from gateway.ledger.entry import new_attempt_id
from gateway.lifecycle.provider_pages import Refused
from gateway.reasons import FailureKind
from gateway.store.recordings import Recording
from gateway.store.usage import UsageStore

MOST_ROWS: Final = 10_000
MOST_BYTES: Final = 50 * 2**20
"""Of one batch. OpenAI takes 50,000 rows and 200 MB; what comes back is read into memory."""
POLL_S: Final = 30.0
MOST_FAILED_LOOKS: Final = 10
_FILE: Final = "file:"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A batch that is still at work."""

    batch_id: str
    status: str
    rows: int
    done: int
    expires_at: datetime | None


@dataclass(slots=True)
class Collected:
    """What became of the batches that were looked at."""

    run: RecordingRun
    spent_nanousd: int = 0
    waiting: list[Waiting] = field(default_factory=list)


class RecordingBatches:
    """Sends questions to one route's primary as batches, and fetches the answers."""

    def __init__(self, bench: Workbench, route: Route, primary: Target, lengths: Lengths) -> None:
        self._bench, self._route, self._primary, self._lengths = bench, route, primary, lengths
        self._prepared = bench.prepared(route, primary)
        self._api = BatchApi(self._prepared.upstream, bench.clock)
        self._reader = BatchReader(self._prepared, route, bench.snapshot.config_hash)
        self._usage = UsageStore(bench.database)

    async def submit(self, questions: Sequence[Question], purse: Purse) -> RecordingRun:
        """Send as many as the money is sure to suffice for; each of a batch's answers is set aside at its most.

        Raises:
            Refused: the provider does not take the file or the batch.
            ConfigError: it does not answer.
        """
        run = RecordingRun(len(questions))
        price = in_a_batch(self._bench.snapshot.price_book.lookup(*self._prepared.key))
        prefix = prefix_chars(self._prepared.prompt_prefix)
        afforded: list[Question] = []
        for question in questions:
            most = cost_at_most(question, price, prefix, self._lengths.longest)
            if not purse.holds(most):
                run.stopped = Stop.CAP
                break
            purse.set_aside += most
            afforded.append(question)
        for part in parts([(question, self._line(question)) for question in afforded]):
            run.kept += len(part)
            await self._send([question for question, _ in part], b"".join(line for _, line in part))
        return run

    async def collect(self, pending: Iterable[Recording]) -> Collected:
        """Fetch what batches have finished; take back what they promised and did not keep, so that it is asked again.

        Raises:
            Refused: the provider does not let us look.
            ConfigError: it does not answer.
        """
        promised: dict[str, list[Recording]] = defaultdict(list)
        for row in pending:
            promised[row.batch_id or ""].append(row)
        found = Collected(RecordingRun(sum(map(len, promised.values()))))
        for batch_id, rows in promised.items():
            await self._look(batch_id, rows, found)
        return found

    async def wait(
        self, pending: Callable[[], Awaitable[list[Recording]]], on_look: Callable[[Collected], None]
    ) -> Collected:
        """Look every 30 seconds until no batch is at work; ``pending`` reads what is promised.

        Raises:
            Refused, ConfigError: as ``collect``, ten times in a row.
        """
        whole, failed = Collected(RecordingRun(0)), 0
        while True:
            try:
                found = await self.collect(await pending())
            except (Refused, ConfigError):
                failed += 1
                if failed == MOST_FAILED_LOOKS:
                    raise
                await self._bench.clock.sleep(POLL_S)
                continue
            failed = 0
            whole.run.kept += found.run.kept
            whole.spent_nanousd += found.spent_nanousd
            whole.run.take(found.run)
            whole.waiting = found.waiting
            whole.run.total = whole.run.kept + whole.run.failed + sum(batch.rows for batch in found.waiting)
            on_look(whole)
            if not found.waiting:
                return whole
            await self._bench.clock.sleep(POLL_S)

    # A batch on its way out.

    def _line(self, question: Question) -> bytes:
        """Return a question as a line of a batch's input: what the primary would be sent, were it asked now."""
        request = CHAT.read({**question.body, "model": self._route.name})
        body = {**request.body, "model": self._prepared.model}
        CHAT.adapt(body, request, self._prepared)
        named = {"custom_id": f"{question.input.id}.{question.sample}", "method": "POST", "url": ENDPOINT}
        return orjson.dumps({**named, "body": orjson.Fragment(CHAT.encode(body, request)[0])}) + b"\n"

    async def _send(self, questions: Sequence[Question], content: bytes) -> None:
        now = self._bench.clock.now()
        file_id = await self._api.upload(f"{self._route.name}.jsonl", content)
        rows = [recording_of(question, self._route, self._primary, now) for question in questions]
        rows = [replace(row, batch_id=_FILE + file_id, attempt_id=new_attempt_id(now)) for row in rows]
        await self._bench.recordings.keep(rows)
        try:
            await self._begin(file_id, rows)
        except Refused:
            await self._bench.recordings.forget_pending(_FILE + file_id)
            raise

    async def _begin(self, file_id: str, rows: Sequence[Recording]) -> str:
        batch_id = await self._api.create(file_id)
        await self._bench.recordings.keep([replace(row, batch_id=batch_id) for row in rows])
        return batch_id

    # A batch on its way back.

    async def _look(self, batch_id: str, rows: Sequence[Recording], found: Collected) -> None:
        try:
            if batch_id.startswith(_FILE):
                batch_id = await self._batch_of_file(batch_id, rows)
            batch = await self._api.look(batch_id)
        except Refused as refused:
            if refused.status not in (400, 404):
                raise
            for _ in rows:
                found.run.note(FailureKind.BAD_REQUEST, f"batch {batch_id}: {refused}")
            await self._bench.recordings.forget_pending(batch_id)
            return
        status = str(batch.get("status"))
        if status not in ENDED:
            counts = batch.get("request_counts") or {}
            found.waiting.append(
                Waiting(batch_id, status, len(rows), int(counts.get("completed") or 0), _instant(batch, "expires_at"))
            )
            return
        await self._fetch(batch, {f"{row.input_id}.{row.sample}": row for row in rows}, found)
        await self._bench.recordings.forget_pending(batch_id)

    async def _batch_of_file(self, promise: str, rows: Sequence[Recording]) -> str:
        file_id = promise.removeprefix(_FILE)
        batch_id = await self._api.made_of(file_id)
        if batch_id is None:
            return await self._begin(file_id, rows)
        await self._bench.recordings.keep([replace(row, batch_id=batch_id) for row in rows])
        return batch_id

    async def _fetch(self, batch: Mapping[str, Any], promised: Mapping[str, Recording], found: Collected) -> None:
        """Keep a finished batch's answers, each with its row of the ledger, and count what failed."""
        read: dict[str, BatchAnswer] = {}
        finished_at = _instant(batch, "completed_at") or self._bench.clock.now()
        for name in ("output_file_id", "error_file_id"):
            for line in await self._api.lines(batch[name]) if isinstance(batch.get(name), str) else ():
                custom_id = str(line.get("custom_id"))
                if custom_id in promised and custom_id not in read:
                    read[custom_id] = self._reader.read(promised[custom_id], line, finished_at)
        kept = []
        for custom_id, row in promised.items():
            answer = read.get(custom_id)
            if answer is not None and answer.message is not None:
                kept.append(replace(answered(row, answer.message, answer.entry), duration_ms=None, ttft_ms=None))
            else:
                found.run.note(*(answer.trouble if answer else (FailureKind.SERVER_ERROR, _why_nothing(batch))))
        # The ledger first: its rows have the ids that were promised, so that none is written twice.
        await self._usage.insert_attempts([answer.entry for answer in read.values()])
        await self._bench.recordings.keep(kept)
        found.run.kept += len(kept)
        found.spent_nanousd += sum(answer.entry.cost_nanousd or 0 for answer in read.values())


def parts(lines: Sequence[tuple[Question, bytes]]) -> Iterator[list[tuple[Question, bytes]]]:
    """Cut questions, each with its line, into batches that are not too large."""
    part: list[tuple[Question, bytes]] = []
    size = 0
    for question, line in lines:
        if part and (len(part) == MOST_ROWS or size + len(line) > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append((question, line))
        size += len(line)
    if part:
        yield part


def _why_nothing(batch: Mapping[str, Any]) -> str:
    """Say why a batch has ended without an answer for a row."""
    errors = batch.get("errors")
    listed = errors.get("data") if isinstance(errors, dict) else None
    said = listed[0].get("message") if isinstance(listed, list) and listed and isinstance(listed[0], dict) else None
    return f"the batch is {batch.get('status')}{f': {said}' if isinstance(said, str) else ''}"


def _instant(batch: Mapping[str, Any], name: str) -> datetime | None:
    seconds = batch.get(name)
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int) and 0 < seconds < 2**33 else None
