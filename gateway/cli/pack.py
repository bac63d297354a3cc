"""``gateway pack``: prompt packs built from training files, looked at, compared, checked, and put into the database."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption
from gateway.clock import SystemClock
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.cli.pack_sources import NamedPack
    from gateway.config.findings import Finding
    from gateway.config.routes import Route, Routes

pack_app = typer.Typer(
    no_args_is_help=True,
    help="Build prompt packs from training files: instructions, fixed examples, and similar ones for each request.",
)
PackArgument = Annotated[str, typer.Argument(metavar="DIR|ROUTE", help="A pack's directory, or a route that has one.")]


@pack_app.command("build")
def build(
    route: Annotated[str, typer.Argument(help="A route.")],
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="FILE|recordings",
            help="A training file, or what the primary answered (gateway record); may be repeated.  "
            "(default: the route's training.file)",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The pack's directory.  (default: packs/ROUTE beside routes.yaml)")
    ] = None,
    fixed: Annotated[int, typer.Option(min=0, max=1000, help="Examples in every request.")] = 20,
    similar: Annotated[int, typer.Option(min=0, max=50, help="Up to so many more, found for each request.")] = 4,
    similar_tokens: Annotated[int | None, typer.Option(min=0, help="Room for these.  (default: measured)")] = None,
    budget_tokens: Annotated[
        int | None, typer.Option(min=1, help="Room for all of it.  (default: what the target's window leaves)")
    ] = None,
    instructions: Annotated[
        Path | None, typer.Option(help="Your words.  (default: the fallback's, or the rows' own system message)")
    ] = None,
    fallback: Annotated[str | None, typer.Option(help="The fallback it is for.  (default: the first)")] = None,
    hold_out: Annotated[
        float, typer.Option(min=0, max=0.9, help="The share that is kept out, to evaluate with.")
    ] = 0.2,
    tenant: Annotated[str | None, typer.Option(help="Whose text it is.  (default: the route's tenant)")] = None,
    redact: Annotated[
        str | None, typer.Option(metavar="WORDS", help="Of email,phone,card.  (default: the route's capture.redact)")
    ] = None,
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build a prompt pack: what turns a base model into the understudy of a fine-tune.

    It takes the training rows, redacts them, drops repetitions, keeps a fifth out for `gateway evaluate` (written
    beside the pack, not into it), chooses the fixed examples that cover most of what the rows ask, and leaves the rest
    for each request to find similar ones in. The same rows and options give the same bytes, and so the same hash.
    Nothing is written where a row cannot be used.

    Example:  gateway pack build forum-reply --from training.jsonl
    """
    from gateway.cli.pack_report import lines, report
    from gateway.cli.pack_sources import author_words, find_fallback, find_route, read_sources, redactor_of
    from gateway.learning.packs.building import Settings
    from gateway.learning.packs.building import build as build_pack
    from gateway.learning.packs.directory import held_out_path, write
    from gateway.providers.prices import PriceBook

    known = _routes_to_build(routes)
    own = find_route(known, route)
    target = find_fallback(own, fallback)
    words, origin = author_words(instructions, target)
    read, findings = read_sources(_sources(own, sources), own, database)
    book = PriceBook.for_routes(known, SystemClock().now().date())
    settings = Settings(
        route=route,
        tenant=_tenant(own, tenant),
        fixed=fixed,
        similar=similar,
        similar_tokens=similar_tokens,
        budget_tokens=budget_tokens,
        window=book.window(target.provider.name, target.model) if target is not None else None,
        hold_out=hold_out,
        instructions=words,
        instructions_from=origin,
    )
    built = build_pack(read, settings, redactor_of(own, redact))
    directory = out or routes.parent / "packs" / own.name_in_files
    write(directory, built.files, built.held_out, private=built.pack.tenant is not None)
    price = book.lookup(target.provider.name, target.model) if target is not None else None
    told = report(built, directory, held_out_path(directory), target, price)
    told["notes"] = [*map(str, findings[:20]), *told["notes"]]
    told["reference"] = _reference(directory, routes.parent, own.name_in_files)
    typer.echo(json.dumps(told, indent=2, ensure_ascii=False) if as_json else "\n".join(lines(told)))


@pack_app.command("show")
def show(
    pack: PackArgument,
    examples: Annotated[int, typer.Option(min=0, help="How many of each kind to show.")] = 20,
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a pack: its manifest, its instructions, and the first of its examples.

    Example:  gateway pack show packs/forum-reply
    """
    from gateway.cli.pack_show import fitted, lines, whole
    from gateway.cli.pack_sources import named_packs

    for named in named_packs(pack, _routes_if_any(routes), database):
        found = named.pack
        typer.echo(whole(found) if as_json else "\n".join(fitted(lines(named.label, found, examples))))
        if as_json:
            return


@pack_app.command("diff")
def diff(
    before: Annotated[str, typer.Argument(metavar="DIR|ROUTE", help="A pack's directory, or a route.")],
    after: Annotated[str, typer.Argument(metavar="DIR|ROUTE", help="Another.")],
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how two packs differ: instructions by line, examples by id, settings and tokens.

    Exit codes: 0 they are the same, 1 they differ, 2 one of them cannot be read, or the command was misused.

    Example:  gateway pack diff forum-reply packs/forum-reply-next
    """
    from gateway.cli.pack_diff import difference, lines
    from gateway.cli.pack_sources import named_packs

    known = _routes_if_any(routes)
    try:
        packs = [named_packs(name, known, database)[0].pack for name in (before, after)]
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    found = difference(*packs)
    typer.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else "\n".join(lines(found)))
    raise typer.Exit(0 if found["same"] else 1)


@pack_app.command("verify")
def verify(
    packs: Annotated[
        list[str] | None, typer.Argument(metavar="[DIR|ROUTE]...", help="(default: every pack that routes.yaml names)")
    ] = None,
    held_out: Annotated[
        Path | None, typer.Option(help="Rows of which none may be an example.  (default: the file beside the pack)")
    ] = None,
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check packs: hash, held-out rows, e-mail addresses and numbers, counts of tokens, the target's window.

    Exit codes: 0 all is well, 1 there are findings, 2 the command was misused.

    Example:  gateway pack verify
    """
    from gateway.cli.pack_sources import named_packs, referenced_packs
    from gateway.lifecycle.forecast_words import counted

    known = _routes_if_any(routes, needed=not packs)
    named: list[NamedPack] = []
    broken: list[str] = []
    for name in packs or ():
        try:
            named += named_packs(name, known, database)
        except ConfigError as error:
            broken += str(error).splitlines()
    if not packs and known is not None:
        named, broken = referenced_packs(known, database)
    checked = [(one, _findings(one, known, held_out)) for one in named]
    failed = bool(broken) or any(finding.severity == "error" for _, found in checked for finding in found)
    if as_json:
        rows = [{"severity": "error", "message": line} for line in broken]
        rows += [{"severity": f.severity, "message": str(f)} for _, found in checked for f in found]
        good = [{"pack": one.label, "hash": one.pack.hash} for one, _ in checked]
        typer.echo(json.dumps({"ok": not failed, "packs": good, "findings": rows}, indent=2, ensure_ascii=False))
    else:
        for line in broken:
            typer.echo(f"error: {line}")
        for one, found in checked:
            for finding in found:
                typer.echo(f"{finding.severity}: {finding}")
            wrong = sum(finding.severity == "error" for finding in found)
            typer.echo(f"{one.label}: pack {one.pack.version}: {counted(wrong, 'finding') if wrong else 'all is well'}")
        if not named and not broken:
            typer.echo(f"{routes} names no pack")
    raise typer.Exit(1 if failed else 0)


def _reference(directory: Path, home: Path, route: str) -> str:
    """Return how routes.yaml names a directory; for every route at once, where the directory is called like it."""
    path = Path(os.path.relpath(directory, home))
    return str(path.parent / "{route}" if path.name == route else path)


def _sources(route: "Route", given: list[str] | None) -> list[str]:
    if given:
        return given
    if route.training is None or route.training.file is None:
        message = f"routes.{route.name} names no training.file: say --from FILE, or --from recordings"
        raise typer.BadParameter(message, param_hint="--from")
    return [os.path.relpath(route.training.file)]


def _tenant(route: "Route", given: str | None) -> str | None:
    if given is not None and not given.strip():
        raise typer.BadParameter("a tenant has a name", param_hint="--tenant")
    if given is not None and route.tenant is not None and given != route.tenant:
        message = f"routes.{route.name} handles tenant {route.tenant!r}, and would refuse another's pack"
        raise typer.BadParameter(message, param_hint="--tenant")
    return given or route.tenant


def _routes_to_build(path: Path) -> "Routes":
    """Read a configuration; where nothing but packs is wrong with it, say how to get rid of them."""
    from gateway.cli.configuration import load_routes
    from gateway.config.findings import InvalidRoutes
    from gateway.config.packs import FILES

    try:
        return load_routes(path).routes
    except InvalidRoutes as invalid:
        directories = sorted({os.path.dirname(f.file) for f in invalid.findings if os.path.basename(f.file) in FILES})
        if not directories or any(os.path.basename(f.file) not in FILES for f in invalid.findings):
            raise
        hint = f"move {', '.join(directories)} away (in {path.parent}), then build anew"
        raise ConfigError(f"{invalid}\n{hint}") from None


def _routes_if_any(path: Path, *, needed: bool = False) -> "Routes | None":
    """Read a configuration; None, which is told, where a directory can be looked at without it."""
    from gateway.cli.configuration import load_routes

    try:
        return load_routes(path).routes
    except ConfigError as error:
        if needed:
            raise
        if path.exists():
            typer.echo(f"without {path}, which cannot be used: {str(error).splitlines()[0]}", err=True)
        return None


def _findings(named: "NamedPack", routes: "Routes | None", held_out: Path | None) -> "list[Finding]":
    from gateway.cli.pack_sources import redactor_of, window_of
    from gateway.learning.packs.checks import check_pack
    from gateway.learning.packs.directory import held_out_path
    from gateway.learning.packs.training_rows import read_rows

    file = held_out or (held_out_path(named.directory.resolve()) if named.directory is not None else None)
    if held_out is not None and not held_out.is_file():
        raise typer.BadParameter(f"there is no file {str(held_out)!r}", param_hint="--held-out")
    rows = read_rows(file.read_bytes(), str(file)).rows if file is not None and file.is_file() else ()
    window = window_of(routes, named.target) if routes is not None else None
    return check_pack(named.pack, redactor_of(named.route), window, rows, str(file))
