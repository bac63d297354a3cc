"""Batches at work: begun, shown, cancelled; and brought forward to the time whenever somebody looks.

A batch takes its whole duration, however many requests it has: a tenth of it to validate, eight to answer them, evenly,
and one to write the files. Nothing runs in between: what is due by now is done before anybody is answered.
"""

import asyncio
from typing import Any, Final
from uuid import uuid4

import orjson

from gateway.sandbox.batches import ENDED, WINDOW_S, Batch, Row, Status, read_rows
from gateway.sandbox.bill import Attempt
from gateway.sandbox.chat import Chat
from gateway.sandbox.completions import Completions
from gateway.sandbox.embeddings import Embeddings
from gateway.sandbox.endpoint import Endpoint, answer_in_batch, load_body
from gateway.sandbox.files import no_file
from gateway.sandbox.paging import Query, page
from gateway.sandbox.provider import Provider
from gateway.sandbox.refusals import (
    ProviderError,
    check_choices,
    invalid_type,
    method_not_allowed,
    missing_parameter,
    openai_error,
    unknown_url,
)

BATCHES = "/batches"
_PHASE = 0.1
"""The share of its duration that a batch takes to validate, to write its files, and to be cancelled."""
_ROWS_AT_ONCE = 64
_NAME_LENGTH = 256
_BATCHES_A_PAGE, _MOST_BATCHES_A_PAGE = 20, 100
_ENDPOINTS: Final[dict[str, Endpoint]] = {f"/v1{one.path}": one for one in (Chat(), Completions(), Embeddings())}


def answer(provider: Provider, method: str, path: str, query: Query, raw: bytes) -> dict[str, Any]:
    """Create a batch, list them, show or cancel one.

    Raises:
        ProviderError: there is no such batch or path, or what is asked cannot be done.
    """
    identity, _, action = path.removeprefix(BATCHES).removeprefix("/").partition("/")
    if action not in ("", "cancel"):
        raise unknown_url(method, f"/v1{path}")
    if method not in (("POST",) if action else ("GET",) if identity else ("GET", "POST")):
        raise method_not_allowed(method, f"/v1{path}")
    if not identity:
        if method == "POST":
            return _create(provider, raw)
        shown = [batch.describe() for batch in provider.batches.newest_first()]
        return page(shown, query, _BATCHES_A_PAGE, _MOST_BATCHES_A_PAGE, _no_batch)
    batch = provider.batches.find(identity)
    if batch is None:
        raise _no_batch(identity)
    if action:
        if batch.status in ENDED:
            raise openai_error(409, f"Cannot cancel a batch with status '{batch.status}'.")
        if batch.status is not Status.CANCELLING:
            batch.enter(Status.CANCELLING, provider.batches.elapsed_s(batch))
    return batch.describe()


async def advance(provider: Provider) -> None:
    """Bring every batch to where it is by now; its answers are billed as they are written."""
    if not provider.batches.running():
        return
    async with provider.batches.advancing:
        for batch in provider.batches.running():
            await _advance(provider, batch, provider.batches.elapsed_s(batch))


def _create(provider: Provider, raw: bytes) -> dict[str, Any]:
    body = load_body(raw)
    for name in ("input_file_id", "endpoint", "completion_window"):
        if body.get(name) is None:
            raise missing_parameter(name)
        if not isinstance(body[name], str):
            raise invalid_type(name, "a string", body[name])
    check_choices(body, {"endpoint": tuple(_ENDPOINTS), "completion_window": ("24h",)})
    metadata = body.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise invalid_type("metadata", "an object", metadata)
    file = provider.files.find(body["input_file_id"])
    if file is None:
        raise no_file(body["input_file_id"])
    if file.purpose != "batch":
        raise openai_error(400, f"Invalid file purpose: '{file.purpose}'. Expected 'batch'.", param="input_file_id")
    return provider.batches.create(body["endpoint"], file.id, file.content, metadata).describe()


async def _advance(provider: Provider, batch: Batch, elapsed_s: float) -> None:
    duration_s = batch.duration_s
    validated_s, answered_s = duration_s * _PHASE, duration_s * (1 - _PHASE)
    if batch.status is Status.CANCELLING:
        over_s = batch.since[Status.CANCELLING] + duration_s * _PHASE
        if elapsed_s >= over_s:
            _end(provider, batch, Status.CANCELLED, over_s)
        return
    if batch.status is Status.VALIDATING and elapsed_s >= validated_s:
        batch.rows, batch.errors = read_rows(batch.content, batch.endpoint)
        batch.total = len(batch.rows)
        if batch.errors:
            _end(provider, batch, Status.FAILED, validated_s)
        else:
            batch.enter(Status.IN_PROGRESS, validated_s)
    if batch.status is Status.IN_PROGRESS:
        in_time_s = min(elapsed_s, WINDOW_S)
        done = in_time_s >= answered_s
        share = 1.0 if done else (in_time_s - validated_s) / (answered_s - validated_s)
        await _answer_rows(provider, batch, int(batch.total * share))
        if done:
            batch.enter(Status.FINALIZING, answered_s)
        elif elapsed_s >= WINDOW_S:
            for row in batch.rows[batch.answered :]:
                batch.write(_expired(row), succeeded=False)
            _end(provider, batch, Status.EXPIRED, WINDOW_S)
    if batch.status is Status.FINALIZING and elapsed_s >= duration_s:
        _end(provider, batch, Status.COMPLETED, duration_s)


async def _answer_rows(provider: Provider, batch: Batch, due: int) -> None:
    """Answer the rows up to the one that is due, and let others be served in between."""
    endpoint = _ENDPOINTS[batch.endpoint]
    while batch.answered < due:
        line, succeeded = _answered(provider, endpoint, batch.rows[batch.answered])
        batch.write(line, succeeded=succeeded)
        if batch.answered % _ROWS_AT_ONCE == 0:
            await asyncio.sleep(0)


def _answered(provider: Provider, endpoint: Endpoint, row: Row) -> tuple[bytes, bool]:
    """Return the line that answers a row, and whether it is an answer; bill it either way."""
    status: int
    body: Any
    attempt = Attempt(row.custom_id[:_NAME_LENGTH], endpoint.name)
    try:
        status, body = 200, orjson.Fragment(answer_in_batch(endpoint, provider, attempt, row.body))
    except ProviderError as error:
        status, body = error.status, error.body
        attempt.status = status
    provider.bill.add(attempt.row())
    response = {"status_code": status, "request_id": f"req_{uuid4().hex}", "body": body}
    return _line(row, response, None), status == 200


def _expired(row: Row) -> bytes:
    said = "This request could not be executed before the completion window expired."
    return _line(row, None, {"code": "batch_expired", "message": said})


def _line(row: Row, response: Any, error: Any) -> bytes:
    named = {"id": f"batch_req_{uuid4().hex}", "custom_id": row.custom_id}
    return orjson.dumps({**named, "response": response, "error": error})


def _end(provider: Provider, batch: Batch, status: Status, elapsed_s: float) -> None:
    """Write the files, where there is something to write into them, and let go of everything else."""
    for kind, lines in (("output", batch.output), ("error", batch.failures)):
        if lines:
            content = b"\n".join(lines) + b"\n"
            file = provider.files.keep(f"{batch.id}_{kind}.jsonl", "batch_output", content)
            if kind == "output":
                batch.output_file_id = file.id
            else:
                batch.error_file_id = file.id
    batch.enter(status, elapsed_s)
    batch.let_go()


def _no_batch(identity: str) -> ProviderError:
    return openai_error(404, f"No batch found with id '{identity}'.")
