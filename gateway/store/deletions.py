"""Deletion at somebody's wish, over every table that holds texts of requests, with proof."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, Table, and_, delete, func, insert, select, update

from gateway.store.captured import digest_of, empty_log, erasing, selector_of
from gateway.store.database import Database
from gateway.store.rows import Rows
from gateway.store.tables_learning import (
    captured,
    captured_again,
    deletions,
    evaluation_answers,
    judgements,
    recordings,
)
from gateway.store.tables_training import feedback

_TABLES: Final = (captured, captured_again, recordings, feedback, evaluation_answers, judgements)
_BY_NAME: Final = (captured, captured_again, recordings, feedback)
"""Whose rows say of which user and request they are; in the others an input is all that tells."""
# SQLite takes 32,766 parameters in a statement.
_IDS_AT_ONCE: Final = 5_000

Inputs = set[tuple[str, str]]
"""Route and input id."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was deleted; it names nobody."""

    deletion_id: str
    deleted_at: datetime
    selector: str
    """``user:`` or ``request:``, and the SHA-256 of its name."""
    by: str
    counts: dict[str, int]
    """Rows by table."""
    input_ids: tuple[str, ...]
    digest: str
    """SHA-256, over the above and ``out_of_reach`` (where there is any) as JSON with sorted keys; the row in the table
    ``deletions`` holds the same."""
    left: int
    """Rows that were found afterwards; 0, unless some were written in that very moment."""
    is_in_log: bool
    """SQLite's log still holds the text, since somebody reads the database: it goes with a later deletion."""
    out_of_reach: Mapping[str, Any] | None = None
    """What held such rows and could not be reached, by kind; None: nothing is known to."""

    @property
    def proven(self) -> dict[str, Any]:
        """What the digest is of, but for ``out_of_reach``."""
        return {
            "deletion_id": self.deletion_id,
            "deleted_at": self.deleted_at,
            "selector": self.selector,
            "by": self.by,
            "counts": self.counts,
            "input_ids": list(self.input_ids),
        }


class DeletionStore:
    """Deletes by exactly one of ``user`` and ``request_id``. Every method may raise ``DatabaseUnavailable``.

    An input goes wherever it is: also where another user has asked the same on the same route, since there it is the
    same text.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows = Rows(database)

    async def find(self, *, user: str | None = None, request_id: str | None = None) -> dict[str, int]:
        """Return how many rows would be deleted, by table."""
        chosen = _Chosen(user, request_id)
        inputs: Inputs = set()
        for table in _BY_NAME:
            found = await self._rows.read(select(table.c.route, table.c.input_id).where(chosen.named(table)))
            inputs.update((row["route"], row["input_id"]) for row in found if row["input_id"] is not None)
        counts = await self._counted(inputs)
        # Marks on what nobody kept: no input leads to them.
        bare = select(func.count().label("rows")).where(chosen.named(feedback), feedback.c.input_id.is_(None))
        counts[feedback.name] += (await self._rows.read(bare))[0]["rows"]
        return counts

    async def earlier(self, *, user: str | None = None, request_id: str | None = None) -> frozenset[str]:
        """Return the ids of inputs that were deleted before by the same name."""
        query = select(deletions.c.input_ids).where(deletions.c.selector == _Chosen(user, request_id).selector)
        return frozenset(input_id for row in await self._rows.read(query) for input_id in row["input_ids"])

    async def delete(
        self, *, deletion_id: str, by: str, now: datetime, user: str | None = None, request_id: str | None = None
    ) -> Receipt:
        """Delete in one transaction, keep the receipt (``deletion_id``: a UUIDv7 of now), and look what is left.

        The receipt is kept also where nothing was found: what was asked before ``now`` and waits in a gateway's memory
        is then not written any more.
        """
        chosen = _Chosen(user, request_id)
        counts = Counter({table.name: 0 for table in _TABLES})
        inputs: Inputs = set()
        async with erasing(self._database) as connection:
            for table in _BY_NAME:
                # What it returns is what is gone: nothing slips in between finding and deleting.
                gone = delete(table).where(chosen.named(table)).returning(table.c.route, table.c.input_id)
                pairs = [(route, input_id) for route, input_id in await connection.execute(gone)]
                counts[table.name] += len(pairs)
                inputs.update((route, input_id) for route, input_id in pairs if input_id is not None)
            for table in _TABLES:
                for of_input in _of_inputs(table, inputs):
                    counts[table.name] += (await connection.execute(delete(table).where(of_input))).rowcount
            input_ids = sorted({input_id for _, input_id in inputs})
            written = _row(deletion_id, chosen.selector, by, now, counts, input_ids)
            await connection.execute(insert(deletions).values(written))
        is_in_log = not await empty_log(self._database)
        left = await self._left(chosen, inputs)
        return Receipt(**{**written, "input_ids": tuple(written["input_ids"])}, left=left, is_in_log=is_in_log)

    async def note(self, receipt: Receipt, out_of_reach: Mapping[str, Any]) -> Receipt:
        """Add to a receipt what holds such rows and could not be reached; return it with its new digest."""
        told = {**receipt.proven, "out_of_reach": dict(out_of_reach)}
        changed = replace(receipt, out_of_reach=out_of_reach, digest=_digest_of(told))
        new = {"out_of_reach": dict(out_of_reach), "digest": changed.digest}
        await self._rows.write(update(deletions).where(deletions.c.deletion_id == receipt.deletion_id).values(**new))
        return changed

    async def _left(self, chosen: "_Chosen", inputs: Inputs) -> int:
        left = sum((await self._counted(inputs)).values())
        for table in _BY_NAME:
            query = select(func.count().label("rows")).select_from(table).where(chosen.named(table))
            left += int((await self._rows.read(query))[0]["rows"])
        return left

    async def _counted(self, inputs: Inputs) -> dict[str, int]:
        counts = {table.name: 0 for table in _TABLES}
        for table in _TABLES:
            for of_input in _of_inputs(table, inputs):
                query = select(func.count().label("rows")).select_from(table).where(of_input)
                counts[table.name] += (await self._rows.read(query))[0]["rows"]
        return counts


class _Chosen:
    """Whose rows are meant."""

    def __init__(self, user: str | None, request_id: str | None) -> None:
        if (user is None) == (request_id is None):
            raise ValueError("name a user or a request, and not both")
        self._user, self._request_id = user, request_id

    @property
    def selector(self) -> str:
        """The name's kind and digest."""
        if self._user is not None:
            return selector_of("user", digest_of(self._user))
        return selector_of("request", digest_of(self._request_id or ""))

    def named(self, table: Table) -> ColumnElement[bool]:
        """The condition of one table's rows that carry the name, or count as everybody's."""
        if self._user is not None:
            return table.c.user_digest.in_((digest_of(self._user), ""))
        return table.c.request_id.in_((self._request_id, ""))


def _of_inputs(table: Table, inputs: Inputs) -> Iterator[ColumnElement[bool]]:
    """Yield conditions of a table's rows that are about these inputs, each with so many ids as a statement takes."""
    for route in sorted({route for route, _ in inputs}):
        ids = sorted(input_id for own, input_id in inputs if own == route)
        for start in range(0, len(ids), _IDS_AT_ONCE):
            yield and_(table.c.route == route, table.c.input_id.in_(ids[start : start + _IDS_AT_ONCE]))


def _row(
    deletion_id: str, selector: str, by: str, now: datetime, counts: Mapping[str, int], input_ids: list[str]
) -> dict[str, Any]:
    """Return the row of ``deletions``, its digest over all the rest."""
    row = {
        "deletion_id": deletion_id,
        "deleted_at": now,
        "selector": selector,
        "by": by,
        # SQLAlchemy's names are not exactly texts.
        "counts": {str(table): rows for table, rows in counts.items()},
        "input_ids": input_ids,
    }
    return {**row, "digest": _digest_of(row)}


def _digest_of(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(row, option=orjson.OPT_SORT_KEYS)).hexdigest()
