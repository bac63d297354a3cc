"""``gateway capture delete``: what is kept of somebody's requests, gone; and named where it cannot be reached."""

import json
import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption, load_routes
from gateway.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.cli.exported_holding import HoldingFile
    from gateway.cli.packs_holding import HoldingPack
    from gateway.cli.trained_holding import HoldingTrainingFile, TaughtVersion
    from gateway.config.loader import Loaded
    from gateway.store.database import Database
    from gateway.store.deletions import Receipt

_TABLES = {
    "captured": "captured request",
    "captured_again": "repeated request",
    "recordings": "recording",
    "feedback": "mark",
    "evaluation_answers": "evaluation answer",
    "judgements": "judgement",
}
_IN_LOG = (
    "Somebody is reading the database: its log (the file ending in -wal) still holds what was deleted, until they have "
    "finished and something is deleted again. Run it again."
)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the options ask for."""

    user: str | None
    request: str | None
    lost_hosts: "Sequence[str]"
    training_files: bool
    deleted_files: "Sequence[str]"
    yes: bool


@dataclass(frozen=True, slots=True)
class _Done:
    """What was deleted, and where such rows still are."""

    receipt: "Receipt | None" = None
    """None: there was no database."""
    inputs: int = 0
    """How many were looked for in packs, files and data sets."""
    packs: "Sequence[HoldingPack]" = field(default=())
    files: "Sequence[HoldingFile]" = field(default=())
    training_files: "Sequence[HoldingTrainingFile]" = field(default=())
    versions: "Sequence[TaughtVersion]" = field(default=())

    @property
    def is_left(self) -> bool:
        """Whether there is something that can still be done."""
        receipt = self.receipt
        todo = [*(file.what_to_do for file in self.files), *(file.what_to_do for file in self.training_files)]
        return bool(self.packs or any(todo) or (receipt is not None and (receipt.left or receipt.is_in_log)))


def delete(
    user: Annotated[
        str | None,
        typer.Option("--user", help="What applications send as user, safety_identifier or metadata.user_id."),
    ] = None,
    request: Annotated[str | None, typer.Option("--request", metavar="ID", help="A request's id.")] = None,
    training_files: Annotated[
        bool,
        typer.Option("--training-files", help="Delete training files at their providers, too, once jobs are over."),
    ] = False,
    lost_host: Annotated[
        list[str] | None,
        typer.Option("--lost-host", metavar="HOST", help="A host that is gone, with the files exported there."),
    ] = None,
    deleted_file: Annotated[
        list[str] | None,
        typer.Option("--deleted-file", metavar="ID", help="A training file that you have deleted at its provider."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete what is kept of a user or of a request, prove it, and name what holds such rows and cannot be reached.

    Captured requests, marks and corrections, recordings, evaluations' answers and judgements go in one transaction; a
    receipt stays, which names nobody. Exported files and data sets on this host are written anew without such rows;
    packs cannot be changed, nor files on other hosts: they are listed, with what to do. So are the training files that
    `gateway tune` uploaded (--training-files deletes them there), and the versions that were trained on such rows:
    nothing takes them out of a model. Run it again until nothing is listed but versions. What was asked until now and
    is not written yet never will be. What retention has deleted can no longer be traced to a user, nor can packs built
    from it; copies of files, and backups, are yours to look after.

    Exit codes: 0 it is gone, or nothing was there; 1 packs, files, training files, or the log of the database, still
    hold such rows; 2 the command was misused. Versions are told, and change no exit code.

    Example:  gateway capture delete --user customer-4711

    Example:  gateway capture delete --user customer-4711 --training-files
    """
    from gateway.cli.dataset_work import using

    if (user is None) == (request is None):
        raise typer.BadParameter("name a user or a request, and not both", param_hint="--user, --request")
    wanted = _Wanted(user, request, lost_host or (), training_files, deleted_file or (), yes)
    loaded = load_routes(routes)
    done = using(database, lambda opened: _delete(opened, loaded, wanted))
    typer.echo(json.dumps(_as_object(done), indent=2) if as_json else "\n".join(_lines(done)))
    raise typer.Exit(1 if done.is_left else 0)


async def _delete(database: "Database | None", loaded: "Loaded", wanted: _Wanted) -> _Done:
    from gateway.cli import trained_holding
    from gateway.cli.cutover import whoami
    from gateway.cli.exported_holding import clean_files
    from gateway.cli.packs_holding import packs_holding
    from gateway.ledger.entry import new_attempt_id
    from gateway.store.deletions import DeletionStore

    if database is None:
        return _Done()
    store, now = DeletionStore(database), SystemClock().now()
    earlier = await store.earlier(user=wanted.user, request_id=wanted.request)
    found = await store.find(user=wanted.user, request_id=wanted.request)
    if any(found.values()) and not wanted.yes:
        _ask(found)
    receipt = await store.delete(
        deletion_id=new_attempt_id(now), by=whoami(), now=now, user=wanted.user, request_id=wanted.request
    )
    gone = earlier | set(receipt.input_ids)
    files = await clean_files(gone, database, wanted.lost_hosts)
    packs = await packs_holding(gone, loaded, database)
    training_files = await trained_holding.training_files(
        gone, loaded.routes, database, delete=wanted.training_files, deleted=wanted.deleted_files
    )
    versions = await trained_holding.versions(gone, database)
    if training_files or versions:
        receipt = await store.note(receipt, trained_holding.out_of_reach(training_files, versions))
    return _Done(receipt, len(gone), packs, files, training_files, versions)


def _ask(found: dict[str, int]) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody is there to ask whether to delete; say it beforehand", param_hint="--yes")
    typer.confirm(f"Delete {_counts_text(found)}? It cannot be undone.", abort=True, err=True)


def _as_object(done: _Done) -> dict[str, Any]:
    receipt = done.receipt
    return {
        "receipt": {**asdict(receipt), "deleted_at": receipt.deleted_at.isoformat()} if receipt else None,
        "packs": [asdict(pack) for pack in done.packs],
        "files": [asdict(file) for file in done.files],
        "training_files": [asdict(file) for file in done.training_files],
        "versions": [asdict(version) for version in done.versions],
    }


def _lines(done: _Done) -> list[str]:
    from gateway.cli.exported_holding import file_lines
    from gateway.cli.trained_holding import training_file_lines, version_lines

    said = [_receipt_text(done.receipt)]
    if done.inputs:
        said += [*file_lines(done.files), *_pack_lines(done.packs)]
        said += [*training_file_lines(done.training_files), *version_lines(done.versions)]
    return said


def _counts_text(counts: dict[str, int]) -> str:
    from gateway.lifecycle.forecast_words import counted

    return ", ".join(counted(counts[table], noun) for table, noun in _TABLES.items() if counts[table])


def _receipt_text(receipt: "Receipt | None") -> str:
    if receipt is None:
        return "nothing of it is kept"
    left = "nothing is left" if not receipt.left else f"{receipt.left} rows came meanwhile: run it again"
    gone = f"deleted {_counts_text(receipt.counts)}" if any(receipt.counts.values()) else "nothing of it is kept"
    return (
        f"{gone}; looked again: {left}\n"
        + (f"{_IN_LOG}\n" if receipt.is_in_log else "")
        + f"receipt {receipt.deletion_id}, {receipt.deleted_at:%Y-%m-%d %H:%M:%S} UTC, by {receipt.by}\n"
        f"  of {receipt.selector}\n"
        f"  inputs: {', '.join(receipt.input_ids) or 'none'}\n"
        f"  sha256: {receipt.digest}"
    )


def _pack_lines(packs: "Sequence[HoldingPack]") -> list[str]:
    from gateway.lifecycle.forecast_words import counted

    if not packs:
        return ["no pack that routes.yaml names, and none in the database, holds such rows"]
    lines = ["These packs hold such rows, and cannot be changed from here:"]
    for pack in packs:
        held = f" holds {counted(len(pack.rows), 'row')} ({', '.join(pack.rows)})" if pack.rows else ""
        lines += [f"  {pack.place}{held}", f"    {pack.what_to_do}"]
    return lines
