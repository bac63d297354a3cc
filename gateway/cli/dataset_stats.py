"""``gateway dataset stats``: what a data set amounts to, whether that is enough, and what training on it would cost."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption, load_routes
from gateway.clock import SystemClock
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config.routes import Provider, Route, Routes
    from gateway.learning.datasets.directory import DataSet
    from gateway.learning.datasets.offers import Offer
    from gateway.learning.datasets.stats import Curve, Stats
    from gateway.store.database import Database

_BAR = 40


def stats(
    place: Annotated[str, typer.Argument(metavar="ROUTE|DIR", help="A route, or a data set's directory.")],
    epochs: Annotated[
        int | None, typer.Option(min=1, max=100, help="How often a job goes over the rows.  (default: each trainer's)")
    ] = None,
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a data set amounts to: rows by split and source, tokens, labels, who wrote the answers, and prices.

    Ten training rows are the floor, fifty a start; beyond that the learning curve of the latest `gateway evaluate
    --curve` says whether more would help. Prices are per million tokens that are trained on, each epoch counted, and
    say where and when they were read; `prices.PROVIDER.BASE.training_usd_per_1m` in routes.yaml comes first.

    Example:  gateway dataset stats forum-reply
    """
    from gateway.learning.datasets.directory import read
    from gateway.learning.datasets.manifest import CANONICAL
    from gateway.learning.datasets.stats import stats_of

    known = load_routes(routes).routes
    dataset = read(_directory(place, routes, known))
    if dataset.manifest.format != CANONICAL:
        raise ConfigError(f"{dataset.directory} is an export ({dataset.manifest.format}): name the data set it is of")
    route = known.routes.get(dataset.manifest.route)
    found = stats_of(dataset)
    curve = _curve(dataset.manifest.route, database)
    told = _report(dataset, found, curve, _offers(found, route, known, epochs))
    typer.echo(json.dumps(told, indent=2, ensure_ascii=False) if as_json else "\n".join(_lines(told)))


def _directory(place: str, routes_file: Path, known: "Routes") -> Path:
    from gateway.cli.dataset_work import directory_of
    from gateway.config.findings import did_you_mean

    if place in known.routes:
        return directory_of(known.routes[place], routes_file)
    if Path(place).is_dir():
        return Path(place)
    near = did_you_mean(place, known.routes)
    raise typer.BadParameter(f"{place!r} is no route of {routes_file} and no directory{near}", param_hint="ROUTE|DIR")


def _curve(route: str, database: str | None) -> "Curve | None":
    """Return the newest learning curve that was measured on a route; without a database there is none."""
    from gateway.cli.dataset_work import using
    from gateway.learning.datasets.stats import curve_of
    from gateway.store.evaluations import EvaluationStore

    async def newest(opened: "Database | None") -> "Curve | None":
        for one in reversed(await EvaluationStore(opened).of_route(route)) if opened is not None else ():
            if (curve := curve_of(json.loads(one.report), one.evaluated_at.isoformat())) is not None:
                return curve
        return None

    return using(database, newest)


def _offers(found: "Stats", route: "Route | None", known: "Routes", epochs: int | None) -> "list[Offer]":
    from gateway.learning.datasets.offers import offers

    if found.tokens is None:
        return []
    return offers(
        found.training_rows,
        found.tokens.total,
        SystemClock().now().date(),
        epochs=epochs,
        own=_own(route),
        providers=known.providers,
        prices=known.prices,
    )


def _own(route: "Route | None") -> "tuple[Provider, str] | None":
    from gateway.config.model_ids import base_of

    primary = route.primary if route is not None else None
    base = (primary.base or base_of(primary.model)) if primary is not None else None
    return (primary.provider, base) if primary is not None and base is not None else None


def _report(dataset: "DataSet", found: "Stats", curve: "Curve | None", offered: "Sequence[Offer]") -> dict[str, Any]:
    from gateway.learning.datasets.stats import readiness

    manifest, tokens = dataset.manifest, found.tokens
    return {
        "route": manifest.route,
        "directory": str(dataset.directory),
        "dataset_hash": manifest.dataset_hash,
        "built_at": manifest.built_at.isoformat(),
        "rows": dict(found.rows),
        "sources": found.sources,
        "origins": found.origins,
        "models": found.models,
        "tokens": tokens
        and {
            "total": tokens.total,
            "longest": tokens.longest,
            "percentiles": {f"p{share}": count for share, count in tokens.percentiles.items()},
            "bins": [{"from": low, "to": high, "rows": rows} for low, high, rows in tokens.bins],
            "counted_by": tokens.counted_by,
        },
        "labels": found.labels,
        "readiness": readiness(found.training_rows, curve, manifest.route),
        "curve": curve
        and {
            "trend": curve.trend,
            "at": curve.at,
            "points": [dict(zip(("examples", "quality", "low", "high"), point, strict=True)) for point in curve.points],
        },
        "trainers": [_offer(one) for one in offered],
    }


def _offer(one: "Offer") -> dict[str, Any]:
    cost = one.cost
    return {
        "trainer": one.trainer,
        "base": one.base,
        "epochs": one.epochs.count,
        "epochs_source": one.epochs.source,
        "tokens": cost.tokens,
        "usd": None if cost.nanousd is None else cost.nanousd / 10**9,
        "usd_per_1m": None if cost.usd_per_1m is None else float(cost.usd_per_1m),
        "minimum_usd": None if cost.minimum_usd is None else float(cost.minimum_usd),
        "source": cost.source,
        "read": cost.read.isoformat() if cost.read else None,
        "last_day": one.last_day.isoformat() if one.last_day else None,
        "has_ended": one.has_ended,
    }


def _lines(told: dict[str, Any]) -> list[str]:
    from gateway.cli.aligned import aligned
    from gateway.config.findings import printable
    from gateway.lifecycle.forecast_words import counted

    out = [f"{told['route']}: {told['directory']}, built {told['built_at'][:16].replace('T', ' ')}"]
    out += aligned(
        [
            (name, counted(count, "row"), ", ".join(f"{many:,} {kind}" for kind, many in told["sources"][name].items()))
            for name, count in told["rows"].items()
        ]
    )
    if told["origins"]:
        out.append(f"written by: {', '.join(f'{count:,} {origin}' for origin, count in told['origins'].items())}")
    out += [f"  {printable(model)}: {counted(count, 'row')}" for model, count in told["models"].items()]
    if told["tokens"]:
        out += ["", *_tokens(told["tokens"])]
    if told["labels"]:
        out += ["", "answers are labels:", *_bars([(label, count) for label, count in told["labels"].items()])]
    out += ["", told["readiness"]]
    if told["trainers"]:
        out += ["", *aligned([("trainer", "base", "epochs", "tokens", "about", ""), *map(_cells, told["trainers"])])]
        out += ["prices:", *(f"  {printable(source)}" for source in dict.fromkeys(map(_source, told["trainers"])))]
    return out


def _tokens(tokens: dict[str, Any]) -> list[str]:
    shares = ", ".join(f"{name} {count:,}" for name, count in tokens["percentiles"].items())
    head = f"{tokens['total']:,} tokens to train on, once; a row: {shares}, longest {tokens['longest']:,}"
    bars = _bars([(f"{step['from']:,} to {step['to']:,}", step["rows"]) for step in tokens["bins"]])
    return [head, *bars, f"({tokens['counted_by']})"]


def _bars(rows: "Sequence[tuple[str, int]]") -> list[str]:
    from gateway.cli.aligned import aligned
    from gateway.config.findings import printable

    most = max(count for _, count in rows)
    # A pipe, and whoever wants no decoration, get characters that every program reads.
    mark = "█" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else "#"
    return [
        f"  {line}"
        for line in aligned(
            [(printable(label), f"{count:,}", mark * round(_BAR * count / most)) for label, count in rows]
        )
    ]


def _cells(one: dict[str, Any]) -> tuple[str, ...]:
    cost = "no price known" if one["usd"] is None else f"${one['usd']:,.2f}" if one["usd"] >= 0.01 else "under $0.01"
    least = " (the least it takes)" if one["minimum_usd"] else ""
    end = "ended" if one["has_ended"] else "until"
    until = f"{end} {one['last_day']}" if one["last_day"] else ""
    return one["trainer"], one["base"], str(one["epochs"]), f"{one['tokens']:,}", f"{cost}{least}", until


def _source(one: dict[str, Any]) -> str:
    return f"{one['source']}, read {one['read']}" if one["read"] else str(one["source"])
