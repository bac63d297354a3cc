"""``gateway promote``."""

import asyncio
import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption, load_routes
from gateway.cli.cutover import whoami
from gateway.clock import SystemClock
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.cli.promote_acts import Done, Who
    from gateway.cli.promote_desk import Desk
    from gateway.policy.promotion import Version
    from gateway.policy.promotion_rules import Asked
    from gateway.store.database import Database

_SHARE = re.compile(r"(\d{1,2}(?:\.\d+)?)\s*%|(0?\.\d+)")
_NO_REASON = "no reason was given"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the options ask for, each of them looked at."""

    version: int | None
    model: str | None
    provider: str | None
    base: str | None
    asked: "Asked | None"
    """None: a patch, or nothing but a look."""
    write: bool
    look: bool
    """``--status``, or nothing else was said."""
    in_spite: bool
    expires_at: datetime
    who: "Who"


def promote(
    route: Annotated[str, typer.Argument(help="A route.")],
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="One of its versions, such as v2.", show_default=False)
    ] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="ID", help="Make this model a version first.")] = None,
    on: Annotated[
        str | None, typer.Option("--on", metavar="PROVIDER", help="Where that model is.  (default: the primary's)")
    ] = None,
    base: Annotated[
        str | None, typer.Option("--base", help="What it was trained from, where its id does not tell.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Write the change into routes.yaml.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the patch here.")] = None,
    canary: Annotated[
        str | None, typer.Option("--canary", metavar="5%", help="Let it answer a share of conversations.")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option("--margin", min=0.001, max=0.5, help="How much worse a canary may be.  (default: 0.05)"),
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Let it answer all of them at once, until that expires.")] = False,
    lasts: Annotated[
        str | None, typer.Option("--for", metavar="7d", help="For how long, 90d at most.  (default: 7d)")
    ] = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Let the version before it answer again.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Show the versions, and what is in force.")] = False,
    in_spite: Annotated[bool, typer.Option("--in-spite", help="Although evidence speaks against it.")] = False,
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Without asking the provider whether it has the model just now.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; everybody who looks will read it.")] = _NO_REASON,
    by: Annotated[str | None, typer.Option(help="Who commands it.  (default: you, at this machine)")] = None,
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make another version of a route's model its primary: as a patch of routes.yaml, step by step, or at once.

    Without more it prints that patch, and writes nothing: Git is the truth, and `git apply` takes it. --canary lets the
    version answer a share of conversations and stops by itself where the version is shown to be worse; another share
    grows or shrinks it. --now lets it answer everything until it expires, or routes.yaml names it. --rollback takes
    back what is in force, or makes the patch back to the version that served before; it refuses one that has stopped.

    Routes begin with v1, what routes.yaml names; `gateway tune` adds those that it trains. No server is needed: every
    replica on this database follows within seconds, and `gateway keys audit ROUTE` keeps who did it, and why.

    Exit codes: 0 it is done, 1 it may not be, or cannot, 2 the command was misused: a version that is not there, too.

    Example:  gateway promote forum-reply v2 --canary 5%

    Example:  gateway promote forum-reply v2 --now --for 3d --reason "the evaluation accepted it"

    Example:  gateway promote forum-reply v2 | git apply
    """
    from gateway.cli.promote_acts import Who
    from gateway.config.findings import did_you_mean
    from gateway.config.settings import read_settings

    at = SystemClock().now()
    asked = _asked(canary, now, rollback, margin, in_spite)
    _check_together(asked, apply, out, lasts, margin, status, model, on, base, version)
    wanted = _Wanted(
        _number(version),
        model,
        on,
        base,
        asked,
        write=apply,
        look=status or (asked is None and version is None and model is None),
        in_spite=in_spite,
        expires_at=_expiry(lasts, at),
        who=Who(_words(by or whoami(), "--by"), _words(reason, "--reason"), unseen),
    )
    loaded = load_routes(routes)
    known = loaded.routes.routes
    if route not in known:
        raise typer.BadParameter(f"{routes} has no route {route!r}{did_you_mean(route, known)}", param_hint="ROUTE")

    async def run(opened: "Database") -> None:
        from gateway.cli.promote_desk import Desk
        from gateway.cli.promote_status import show

        desk = await Desk.read(loaded, route, opened, by=wanted.who.by, now=at)
        if wanted.look:
            await show(desk, as_json=as_json)
        else:
            _print(await _done(desk, wanted), out, as_json=as_json)

    asyncio.run(_with_database(read_settings(database_url=database).database_url, run))


async def _with_database(url: str, run: Any) -> None:
    from gateway.cli.known import no_state_in
    from gateway.store.database import Database, DatabaseUnavailable

    try:
        opened = await Database.open_existing(url)
        if opened is None:
            raise no_state_in(url)
        try:
            await run(opened)
        finally:
            await opened.close()
    except (DatabaseUnavailable, ValueError) as error:
        raise ConfigError(f"cannot promote: {error}") from None


async def _done(desk: "Desk", wanted: _Wanted) -> "Done":
    from gateway.cli.promote_acts import Done, to_patch, to_promote, to_roll_back
    from gateway.cli.promote_text import named
    from gateway.policy.promotion_rules import Act

    version = desk.version(wanted.version) if wanted.version is not None else None
    if wanted.model is not None:
        version = await _registered(desk, wanted)
        desk = await type(desk).read(desk.loaded, desk.route.name, desk.database, by=wanted.who.by, now=desk.now)
        if wanted.asked is None and not wanted.write:
            next_ = f"gateway evaluate {desk.route.name} --version {version.name}"
            return Done(f"{named(version)} is a version of {desk.route.name}; next: {next_}", version=version)
    if wanted.asked is not None and wanted.asked.act is Act.ROLLBACK:
        return await to_roll_back(desk, version, wanted.who, write=wanted.write)
    assert version is not None, "without a version there is nothing but a look"
    if wanted.asked is not None:
        return await to_promote(desk, version, wanted.asked, wanted.expires_at, wanted.who)
    return await to_patch(desk, version, wanted.who, write=wanted.write, in_spite=wanted.in_spite)


async def _registered(desk: "Desk", wanted: _Wanted) -> "Version":
    from gateway.cli.promote_acts import register
    from gateway.store.versions import Registered

    primary = desk.route.primary
    provider = wanted.provider or (primary.provider.name if primary is not None else None)
    if provider is None:
        raise ConfigError(f"{desk.route.name} has no primary whose provider could be meant: name one with --on")
    said = Registered(provider=provider, model=wanted.model or "", base=wanted.base, origin="named", by=wanted.who.by)
    return await register(desk, said, wanted.who)


def _asked(canary: str | None, now: bool, rollback: bool, margin: float | None, in_spite: bool) -> "Asked | None":
    from gateway.policy.promotion_rules import Act, Asked

    if (canary is not None) + now + rollback > 1:
        raise typer.BadParameter("one of --canary, --now and --rollback at a time")
    if canary is not None:
        return Asked(Act.CANARY, _share(canary), margin, in_spite)
    if now:
        return Asked(Act.NOW, in_spite=in_spite)
    return Asked(Act.ROLLBACK) if rollback else None


def _check_together(
    asked: "Asked | None",
    apply: bool,
    out: Path | None,
    lasts: str | None,
    margin: float | None,
    status: bool,
    model: str | None,
    on: str | None,
    base: str | None,
    version: str | None,
) -> None:
    """Refuse options that mean nothing beside each other."""
    from gateway.policy.promotion_rules import Act

    act = asked.act if asked is not None else None
    for is_wrong, message in (
        (model is not None and version is not None, "a VERSION or --model, not both"),
        (model is None and (on is not None or base is not None), "--on and --base say more of --model"),
        (model == "", "--model needs the model's id"),
        (margin is not None and act is not Act.CANARY, "--margin is a canary's"),
        (lasts is not None and act not in (Act.CANARY, Act.NOW), "--for is how long --canary or --now lasts"),
        (
            act in (Act.CANARY, Act.NOW) and version is None and model is None,
            "name a VERSION, such as v2, or --model ID",
        ),
        (apply and act in (Act.CANARY, Act.NOW), "--apply writes routes.yaml; --canary and --now leave it as it is"),
        (apply and act is None and version is None and model is None, "--apply needs a VERSION, such as v2"),
        (status and (act is not None or apply or model is not None), "--status is a look, and does nothing"),
        (act is Act.ROLLBACK and model is not None, "--rollback goes to a version that there is"),
        (out is not None and act is Act.CANARY, "a canary has no patch to write"),
    ):
        if is_wrong:
            raise typer.BadParameter(message)


def _share(text: str) -> float:
    match = _SHARE.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no share; write 5% or 0.05; for all write --now", param_hint="--canary")
    share = float(match[1]) / 100 if match[1] else float(match[2])
    if not share:
        raise typer.BadParameter(f"{text!r} is no share; a canary is ended by --rollback", param_hint="--canary")
    return share


def _number(version: str | None) -> int | None:
    if version is None:
        return None
    match = re.fullmatch(r"v?(\d{1,6})", version)
    if match is None:
        raise typer.BadParameter(f"{version!r} is no version; write v2", param_hint="VERSION")
    return int(match[1])


def _expiry(lasts: str | None, at: datetime) -> datetime:
    from gateway.policy.commanding import InvalidCommand, ends_at
    from gateway.policy.promotion_rules import LASTS, LONGEST_DAYS

    try:
        until = ends_at(lasts or LASTS, at)
    except InvalidCommand as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None
    assert until is not None
    if (until - at).days > LONGEST_DAYS:
        raise typer.BadParameter(
            f"{LONGEST_DAYS}d at most: what is to last is written in routes.yaml", param_hint="--for"
        )
    return until


def _words(text: str, option: str) -> str:
    from gateway.config.findings import printable
    from gateway.policy.commanding import LONGEST_WORDS

    if not text.strip() or len(text) > LONGEST_WORDS:
        raise typer.BadParameter("say it in a few words", param_hint=option)
    return printable(text.strip())


def _print(done: "Done", out: Path | None, *, as_json: bool) -> None:
    """The patch is all that goes to stdout where there is one, so that it can be piped; words go beside it."""
    from gateway.config.findings import printable

    diff = done.patch.diff(Path.cwd()) if done.patch is not None else ""
    if out is not None and diff:
        try:
            out.write_bytes(diff.encode())
        except OSError as error:
            raise ConfigError(f"cannot write {out}: {error.strerror}") from None
    if as_json:
        typer.echo(json.dumps(_as_object(done, diff), indent=2))
        return
    pipes = bool(diff) and out is None
    if pipes:
        typer.echo(diff.encode(), nl=False)
    for warning in done.warnings:
        typer.echo(printable(f"warning: {warning}"), err=True)
    typer.echo(printable(done.said), err=pipes)
    for note in done.notes:
        typer.echo(printable(f"  {note}"), err=pipes)
    if diff and (next_ := _next(done, out)):
        typer.echo(f"  {next_}", err=pipes)


def _next(done: "Done", out: Path | None) -> str | None:
    if done.written:
        return "commit it: this is what Git is to say"
    how = f"git apply {out}" if out is not None else "pipe the patch to git apply"
    if done.promotion is not None:
        return (
            f"{how}, or write it with --apply, before that ends: once routes.yaml names it, nothing has to be in force"
        )
    first = f"gateway promote {done.version.route} {done.version.name}" if done.version is not None else ""
    return f"{how}, or write it with --apply; before Git has it: {first} --canary 5%, or --now"


def _as_object(done: "Done", diff: str) -> dict[str, Any]:
    from gateway.cli.promote_text import promotion_object

    version = done.version
    return {
        "said": done.said,
        "version": version.name if version is not None else None,
        "provider": version.provider if version is not None else None,
        "model": version.model if version is not None else None,
        "promotion": promotion_object(done.promotion) if done.promotion is not None else None,
        "patch": diff or None,
        "file": str(done.patch.path) if done.patch is not None else None,
        "written": done.written,
        "notes": list(done.notes),
        "warnings": list(done.warnings),
    }
