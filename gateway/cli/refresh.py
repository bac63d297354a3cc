"""``gateway lifecycle refresh``."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.configuration import ROUTES, JsonOption, RoutesOption
from gateway.cli.known import open_or_make
from gateway.clock import Clock, SystemClock
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config.routes import Routes
    from gateway.lifecycle.polling import DateChange, Poll

SHOWN_ROUTES = 4

Answers = dict[str, "Poll | None"]
"""By the provider's name in routes.yaml; None: it lists no models, and was not asked."""


def refresh(
    provider: Annotated[str | None, typer.Option(metavar="NAME", help="Ask this one only.  (default: all)")] = None,
    routes: RoutesOption = ROUTES,
    database: Annotated[
        str | None, typer.Option(help="Where answers are kept.  (default: sqlite+aiosqlite:///state/gateway.db)")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask providers now when their models stop, and say what has changed since they were last asked.

    A running gateway asks by itself, every ten minutes: this is for the impatient, and for where none runs. Answers are
    kept in the database, where `gateway lifecycle list` and `gateway forecast` find them.

    Exit codes: 0 every provider was read, 1 one could not be: what was known of its models stands.

    Example:  gateway lifecycle refresh --provider openai
    """
    from gateway.config.loader import load
    from gateway.config.settings import read_settings
    from gateway.store.database import DatabaseUnavailable

    chosen = load(routes, environ=os.environ).routes
    if provider is not None and provider not in chosen.providers:
        known = ", ".join(chosen.providers)
        raise typer.BadParameter(f"there is no provider {provider!r}; there are: {known}", param_hint="--provider")
    names = list(chosen.providers) if provider is None else [provider]
    url = read_settings(database_url=database).database_url
    clock = SystemClock()
    try:
        answers = asyncio.run(_ask(chosen, names, url, os.environ, clock))
    except (DatabaseUnavailable, ValueError) as error:
        raise ConfigError(f"cannot keep answers: {error}") from None
    if as_json:
        rows = [_as_json(name, answer, chosen) for name, answer in answers.items()]
        typer.echo(json.dumps({"at": clock.now().isoformat(), "providers": rows}, indent=2))
    else:
        for name, answer in answers.items():
            _print(name, answer, chosen, max(map(len, answers)))
    raise typer.Exit(1 if any(answer and _unread(answer) for answer in answers.values()) else 0)


async def _ask(routes: "Routes", names: list[str], url: str, environ: Mapping[str, str], clock: Clock) -> Answers:
    """Ask each provider, one after the other, and keep every answer at once."""
    from gateway.lifecycle.polling import is_polled, poll
    from gateway.providers.http_client import HttpClient
    from gateway.providers.openai_wire import Upstream
    from gateway.store.published import PublishedStore

    answers: Answers = {}
    database = await open_or_make(url)
    client = HttpClient()
    try:
        store = PublishedStore(database)
        kept = await store.all()
        with _progress(len(names)) as step:
            for name in names:
                step(name)
                answers[name] = None
                upstream = Upstream(routes.providers[name], client, environ, clock)
                if not is_polled(upstream):
                    continue
                known = tuple(row for (owner, _), row in kept.items() if owner == name)
                answers[name] = found = await poll(upstream, known, clock)
                if found.models is not None:
                    await store.replace(name, found.models, clock.now())
    finally:
        client.close()
        await database.close()
        # Connections end in the loop's next turn.
        await asyncio.sleep(0)
    return answers


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """Show on a terminal whom it is waiting for."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        asked = iter(range(total))
        yield lambda name: bar.update(task, completed=next(asked), description=f"asking {name}")


def _unread(answer: "Poll") -> bool:
    return answer.models is None or (not answer.names and bool(answer.problems))


def _print(name: str, answer: "Poll | None", routes: "Routes", width: int) -> None:
    if answer is None:
        typer.echo(f"{name:<{width}}  not asked: this kind of provider lists no models")
        return
    word = answer.outcome.value if _unread(answer) else "read"
    colour = typer.colors.RED if _unread(answer) else typer.colors.GREEN
    facts = "" if _unread(answer) else f": {_facts(answer)}"
    typer.echo(f"{name:<{width}}  {word if 'NO_COLOR' in os.environ else typer.style(word, fg=colour)}{facts}")
    for change in answer.changes:
        concerned = _routes_of(name, change.model, routes)
        shown = ", ".join(concerned[:SHOWN_ROUTES]) + (" …" if len(concerned) > SHOWN_ROUTES else "")
        typer.echo(f"{'':<{width}}  - {_sentence(change)}" + (f"  [routes: {shown}]" if concerned else ""))
    for problem in _problems(name, answer, routes):
        typer.echo(f"{'':<{width}}  ! {problem}")


def _facts(answer: "Poll") -> str:
    dated = sum(1 for row in answer.models or () if row.dates.shutdown)
    if answer.is_first:
        news = "asked for the first time"
    else:
        news = f"{len(answer.changes)} changed" if answer.changes else "nothing changed"
    return f"{len(answer.names)} models, {dated} dates known, {news}"


def _sentence(change: "DateChange") -> str:
    from gateway.lifecycle.polling import ChangeKind

    of, says = ("shutdown", "stops on") if change.what == "shutdown" else ("end of training", "can be fine-tuned until")
    if change.after is None:
        return f"{change.model} has no day of {of} any more (was {change.before})"
    news = "announced" if change.kind is ChangeKind.ANNOUNCED else f"was {change.before}"
    if change.certainty == "tentative":
        news += ", tentative"
    return f"{change.model} {says} {change.after} ({news})"


def _problems(name: str, answer: "Poll", routes: "Routes") -> list[str]:
    from gateway.lifecycle.polling import PollOutcome

    variable = routes.providers[name].api_key_env
    if answer.outcome is PollOutcome.REFUSED and variable and not os.environ.get(variable, "").strip():
        return [*answer.problems, f"{variable} is not set"]
    return list(answer.problems)


def _routes_of(provider: str, model: str, routes: "Routes") -> list[str]:
    """Return the routes that have a target which is this model, or was trained from it."""
    return [
        route.name
        for route in routes.routes.values()
        if any(target.provider.name == provider and model in (target.model, target.base) for target in route.targets)
    ]


def _as_json(name: str, answer: "Poll | None", routes: "Routes") -> dict[str, Any]:
    row: dict[str, Any] = {"provider": name, "kind": routes.providers[name].kind}
    if answer is None:
        return row | {"outcome": "not_asked"}
    return row | {
        "outcome": answer.outcome.value,
        "models": len(answer.names),
        "dated": sum(1 for known in answer.models or () if known.dates.shutdown),
        "first": answer.is_first,
        "changes": [
            {
                "model": change.model,
                "kind": change.kind.value,
                "what": change.what,
                "before": change.before.isoformat() if change.before else None,
                "after": change.after.isoformat() if change.after else None,
                "certainty": change.certainty,
                "routes": _routes_of(name, change.model, routes),
            }
            for change in answer.changes
        ],
        "problems": _problems(name, answer, routes),
    }
