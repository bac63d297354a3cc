"""Named points at which a gateway of the rigs dies, and what it can be made to leave out; none is in the gateway."""

import functools
import importlib
import inspect
import os
import resource
import signal
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import mutants

Look = Callable[..., bool]


class Point(NamedTuple):
    """A call that a gateway can die before, or after."""

    where: str
    """``module:name``; or ``sql:TABLE`` for a statement that writes a table of the ledger, in the rows' transaction."""
    most: int = 1
    """The death comes at the n-th call, n up to this."""
    look: Look = lambda *_, **__: True
    """Which calls count."""
    at_stop: bool = False
    """Whether the point is passed where a stop was asked for."""
    first_start: bool = False
    """Whether the point is passed at the first start alone."""


def _path(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")


def _segment(fd: int, *_: object) -> bool:
    return ".seg" in _path(fd)


def _of_journal(path: Any, *_: object, **__: object) -> bool:
    return ".journal" in str(path) or "journal" in Path(str(path)).parts


def _last_block(_reply: object, data: bytes, *_: object) -> bool:
    return b"[DONE]" in data


def _of_rows(_client: object, wanted: Any) -> bool:
    # A job of no file is asked for, too, to see whether training is open.
    return not wanted.training_file.startswith("file-gateway-")


POINTS: Mapping[str, Point] = {
    "the journal is opened": Point("gateway.ledger.journal:Journal.open"),
    "an intent": Point("gateway.ledger.journal:Journal.intent", 6),
    "progress": Point("gateway.ledger.journal:Journal.progress", 6),
    "a settle": Point("gateway.ledger.journal:Journal.settle", 6),
    "a frame": Point("os:pwrite", 8, _segment),
    "space is set aside": Point("os:posix_fallocate", 2),
    "a sync": Point("gateway.ledger.segments:FileCalls.sync", 4),
    "segments are let go": Point("gateway.ledger.journal:Journal.release", 3),
    "a segment is removed": Point("os:unlink", 1, lambda path, *_, **__: str(path).endswith(".seg")),
    "a dead journal is read": Point("gateway.ledger.replay:JournalReader.__init__", 2),
    "a batch is read": Point("gateway.ledger.replay:JournalReader.batch", 4),
    "orphans are found": Point("gateway.ledger.replay:JournalReader.orphans"),
    "rows are given to the store": Point("gateway.store.usage:UsageStore.insert_attempts", 4),
    "a checkpoint is asked for": Point("gateway.store.usage:UsageStore.checkpoint"),
    "a journal is forgotten": Point("gateway.store.usage:UsageStore.forget_journal"),
    "a dead journal's directory is removed": Point("os:rmdir", 1, _of_journal),
    "rows are inserted": Point("sql:attempts", 3),
    "hours are added up": Point("sql:usage_hours", 3),
    "days are added up": Point("sql:usage_days", 3),
    "labels are added up": Point("sql:usage_labels", 3),
    "the checkpoint is written": Point("sql:journals", 3),
    "the commit": Point("sql:COMMIT", 3),
    "the request goes upstream": Point("gateway.providers.connection:Connection.start", 6),
    "the first event": Point("gateway.execution.attempts:Attempt._await_first_event", 4),
    "a whole answer goes out": Point("gateway.api.wire:AsgiReply.whole", 4),
    "a stream begins": Point("gateway.api.wire:AsgiReply.begin", 4),
    "a stream's last event goes out": Point("gateway.api.wire:AsgiReply.block", 3, _last_block),
    "a stream is closed": Point("gateway.api.wire:AsgiReply.end", 3),
    "the journal is closed": Point("gateway.ledger.journal:Journal.close", at_stop=True),
    "a migration's step": Point("alembic.runtime.migration:HeadMaintainer.update_to_step", 12, first_start=True),
}
BUDGET_POINTS: Mapping[str, Point] = {
    "money is set aside": Point("gateway.store.spend:SpendStore.reserve", 3),
    "a budgeted intent": Point("gateway.ledger.journal:Journal.intent", 3),
    "a budgeted request goes upstream": Point("gateway.providers.connection:Connection.start", 3),
    "a budgeted row": Point("gateway.ledger.journal:Journal.settle", 3),
    "a budgeted answer": Point("gateway.api.wire:AsgiReply.whole", 3),
    "a request is over": Point("gateway.execution.admission:Admission.over", 3),
    "a batch is settled": Point("gateway.store.spend:SpendStore.settle", 2),
    "holds are counted": Point("gateway.store.spend:settle_holds", 2),
    "a dead journal's holds are settled": Point("gateway.store.usage:settle_journal", 1),
}
"""Where a gateway dies whose caller has a budget."""
TUNING_POINTS: Mapping[str, Point] = {
    "a job is kept": Point("gateway.store.tuning:TuningStore.add"),
    "a step is written": Point("gateway.store.tuning:TuningStore.change", 8),
    "a request is sent": Point("gateway.providers.connection:Connection.start", 12),
    "a file is uploaded": Point("gateway.learning.tuning.job_client:JobClient.upload", 2),
    "training is asked about": Point("gateway.learning.tuning.job_client:JobClient.asks_for_nothing"),
    "a job is asked for": Point("gateway.learning.tuning.job_client:JobClient.create", 1, _of_rows),
    "a version is registered": Point("gateway.store.versions:VersionStore.register"),
}
"""Where ``gateway tune`` dies."""
SIDES = ("before", "after")
TORN = "halfway through a frame"
NAMES = [*(f"{side} {name}" for name in POINTS for side in SIDES), TORN]

_writes_rows: ContextVar[bool] = ContextVar("_writes_rows", default=False)


def point_of(name: str) -> Point:
    known = "a frame" if name == TORN else name.partition(" ")[2]
    return BUDGET_POINTS.get(known) or TUNING_POINTS.get(known) or POINTS[known]


def prepare(order: Mapping[str, Any]) -> None:
    """Arm what this child is to do differently."""
    rig = order.get("rig", {})
    for where, value in rig.get("constants", {}).items():
        _set(where, value)
    if "file_bytes" in rig:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (rig["file_bytes"], resource.RLIM_INFINITY))
    if "segment_bytes" in rig:
        importlib.import_module("gateway.ledger.journal").Journal.open.__func__.__kwdefaults__["segment_bytes"] = rig[
            "segment_bytes"
        ]
    if "power" in rig:
        mutants.record_power(Path(rig["power"]))
    for mutant in rig.get("mutants", ()):
        mutants.MUTANTS[mutant]()
    if "failpoint" in rig:
        _arm(rig["failpoint"], rig["count"], Path(rig["reached"]))


def _arm(name: str, count: int, reached: Path) -> None:
    point, before = point_of(name), name.startswith("before ")
    left = count

    def is_it(*args: Any, **kwargs: Any) -> bool:
        nonlocal left
        left -= point.look(*args, **kwargs)
        return left == 0

    def die(*args: Any, **kwargs: Any) -> None:
        if is_it(*args, **kwargs):
            with reached.open("a") as file:
                file.write(f"{name}\n")
            os.kill(os.getpid(), signal.SIGKILL)

    kind, _, what = point.where.partition(":")
    if name == TORN:
        whole = os.pwrite

        def torn(fd: int, data: bytes, offset: int) -> int:
            if left == 1 and point.look(fd):
                whole(fd, data[: len(data) // 2], offset)
            die(fd)
            return whole(fd, data, offset)

        os.pwrite = torn
    elif kind == "sql":
        _wrap_statements(what, die, before)
    else:
        wrap(point.where, die if before else None, None if before else die)


def wrap(where: str, before: Callable[..., None] | None, after: Callable[..., None] | None) -> None:
    """Have ``before`` and ``after`` called around a function, plain or not, with its arguments."""
    holder, name = _holder(where)
    found = inspect.getattr_static(holder, name)
    function: Any = found.__func__ if isinstance(found, (classmethod, staticmethod)) else found
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def waited(*args: Any, **kwargs: Any) -> Any:
            if before is not None:
                before(*args, **kwargs)
            result = await function(*args, **kwargs)
            if after is not None:
                after(*args, **kwargs)
            return result

        wrapped: Any = waited
    else:

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            if before is not None:
                before(*args, **kwargs)
            result = function(*args, **kwargs)
            if after is not None:
                after(*args, **kwargs)
            return result

        wrapped = called
    setattr(holder, name, type(found)(wrapped) if isinstance(found, (classmethod, staticmethod)) else wrapped)


def _wrap_statements(what: str, die: Callable[[], None], before: bool) -> None:
    """Die around a statement that writes a table, or around the commit of a transaction that wrote rows."""
    from sqlalchemy.engine.default import DefaultDialect

    dialects = [DefaultDialect, *_subclasses(DefaultDialect)]

    def concerns(statement: str) -> bool:
        written = statement.lstrip()[:40].replace('"', "")
        if written.startswith("INSERT INTO attempts"):
            _writes_rows.set(True)
        return _writes_rows.get() and any(
            written.startswith(f"{verb} {what} ") for verb in ("INSERT INTO", "UPDATE", "SELECT")
        )

    def statement_wrapper(original: Any) -> Any:
        @functools.wraps(original)
        def executed(self: Any, cursor: Any, statement: str, *rest: Any, **kwargs: Any) -> Any:
            hit = concerns(statement)
            if hit and before:
                die()
            result = original(self, cursor, statement, *rest, **kwargs)
            if hit and not before:
                die()
            return result

        return executed

    def commit_wrapper(original: Any) -> Any:
        @functools.wraps(original)
        def committed(self: Any, connection: Any) -> Any:
            hit = what == "COMMIT" and _writes_rows.get()
            if hit and before:
                die()
            result = original(self, connection)
            _writes_rows.set(False)
            if hit and not before:
                die()
            return result

        return committed

    for dialect in dialects:
        for name in ("do_execute", "do_executemany", "do_execute_no_params"):
            if name in vars(dialect):
                setattr(dialect, name, statement_wrapper(vars(dialect)[name]))
        if "do_commit" in vars(dialect):
            dialect.do_commit = commit_wrapper(vars(dialect)["do_commit"])  # type: ignore[method-assign]


def _subclasses(of: type) -> list[type]:
    return [found for direct in of.__subclasses__() for found in (direct, *_subclasses(direct))]


def _holder(where: str) -> tuple[Any, str]:
    module, _, path = where.partition(":")
    *parents, name = path.split(".")
    return functools.reduce(getattr, parents, importlib.import_module(module)), name


def _set(where: str, value: Any) -> None:
    holder, name = _holder(where)
    if not hasattr(holder, name):
        raise AttributeError(f"{where} is not there to be set")
    setattr(holder, name, value)
