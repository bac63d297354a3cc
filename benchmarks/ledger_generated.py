"""A ledger of any size, made by the database itself: rows of forty routes over ninety days, and their hourly totals.

Rows come in the order of their keys, as they do in life. Counters are those of the rows; sketches are drawn from a few
that have as many buckets as the hour or the day has attempts, and forty, or ninety, at most.
"""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

import orjson

from benchmarks.ledger_databases import Store
from gateway.policy.sketch import Sketch, add, to_json

UNTIL: Final = datetime(2026, 11, 29, 10, tzinfo=UTC)
DAYS: Final = 90
ROUTES: Final = 40
VARIANTS: Final = 8
BUCKETS: Final = (1, 2, 4, 8, 16, 24, 32, 40, 56, 72, 90)
"""Sizes of sketches."""
HOUR_BUCKETS: Final = 40
DAY_BUCKETS: Final = 90
_SUMMED: Final = (
    "input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "cost_nanousd",
)  # fmt: skip
_DAY_US: Final = 86_400_000_000
_HOUR_US: Final = 3_600_000_000

Say = Callable[[str], None]


def generate(store: Store, rows: int, say: Say, *, days: int = DAYS) -> None:
    """Fill an empty ledger with so many rows, evenly over the days, and add them up."""
    begin = microseconds(UNTIL - timedelta(days=days))
    step, per_day = days * _DAY_US // rows, rows // days
    for day in range(days):
        say(f"{store.name}: generating rows, day {day + 1} of {days}")
        first = day * per_day
        last = (rows if day == days - 1 else first + per_day) - 1
        store.run(_insert_rows(store.name, f"{first}", f"{last}", f"{begin}", f"{step}"))
    store.run("CREATE TABLE templates (least INTEGER, below BIGINT, k INTEGER, d TEXT, t TEXT, o TEXT, c TEXT)")
    store.run(f"INSERT INTO templates VALUES {', '.join(_templates())}")
    say(f"{store.name}: adding up the hours")
    store.run(_insert_hours(store.name))
    say(f"{store.name}: adding up the days")
    store.run(_insert_days(store.name))
    store.run("DROP TABLE templates")
    say(f"{store.name}: adding up the labels")
    for statement in _insert_labels(store.name):
        store.run(statement)
    say(f"{store.name}: analysing")
    store.run("VACUUM ANALYZE" if store.name == "postgresql" else "ANALYZE")


def microseconds(instant: datetime) -> int:
    """Return the microseconds since 1970."""
    return int(instant.timestamp()) * 1_000_000


def _insert_rows(dialect: str, first: str, last: str, begin: str, step: str) -> str:
    """Return the statement that inserts rows ``first`` to ``last``, ``step`` microseconds apart from ``begin`` on."""
    if dialect == "postgresql":
        uniform, yes, no, whole = "random()", "true", "false", "floor({})::bigint"
        numbers = f"numbers(n) AS (SELECT n FROM generate_series({first}::bigint, {last}::bigint) AS n)"
        key = (
            "(lpad(to_hex(at / 1000), 12, '0') || '7' || lpad(to_hex(at % 1000 * 4096 / 1000), 3, '0') || '8'"
            " || lpad(to_hex((b * 1e18)::bigint), 15, '0'))::uuid"
        )
        request, route = "'req-' || to_hex(n * 2654435761)", "'route-' || lpad(r::text, 2, '0')"
    else:
        uniform, yes, no, whole = "(random() / 18446744073709551616.0 + 0.5)", "1", "0", "CAST({} AS INTEGER)"
        numbers = f"numbers(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})"
        key = "printf('%012x7%03x8%015x', at / 1000, at % 1000 * 4096 / 1000, CAST(b * 1e18 AS INTEGER))"
        request, route = "printf('req-%x', n * 2654435761)", "printf('route-%02d', r)"
    drawn = ", ".join(f"{uniform} AS {name}" for name in "abcde")
    values = _values(whole, yes, no) | {"attempt_id": key, "request_id": request, "route": route}
    return (
        f"INSERT INTO attempts ({', '.join(values)})"
        f" WITH RECURSIVE {numbers},"
        f" drawn AS MATERIALIZED (SELECT n, {begin} + n * {step} AS begun, {drawn} FROM numbers),"
        # Of forty routes the busiest has a sixth of the traffic, the idlest one in eighty.
        f" given AS MATERIALIZED (SELECT *, begun + {whole.format(f'e * {step}')} AS at,"
        f" {whole.format(f'{ROUTES} * e * e')} AS r FROM drawn)"
        f" SELECT {', '.join(values.values())} FROM given"
    )


def _values(whole: str, yes: str, no: str) -> dict[str, str]:
    """Return an expression for each column: of uniform ``a`` to ``e``, the instant ``at`` and the route ``r``."""
    # Three in a hundred on the fallback, since the primary did not answer; two in a hundred failed.
    on_fallback, failed, named = "b < 0.03", "c < 0.02", "CAST(r AS TEXT)"
    model = f"CASE WHEN {on_fallback} THEN 'gpt-5.4-mini' ELSE 'ft:gpt-4o-mini-2024-07-18:acme:route-' || {named} END"
    duration = "(200 + 2000 * a * a)"
    tokens_in, tokens_out = "(500 + 1500 * d)", "(20 + 400 * a)"
    tags = """CASE WHEN d < 0.5 THEN '{"feature":"search"}' ELSE '{"feature":"reply"}' END"""
    return {
        "target": f"CASE WHEN {on_fallback} THEN 'mini' ELSE 'primary' END",
        "role": f"CASE WHEN {on_fallback} THEN 'fallback' ELSE 'primary' END",
        "provider": "'openai'",
        "model_asked": model,
        "model_answered": f"CASE WHEN {failed} THEN NULL ELSE {model} END",
        "reason": f"CASE WHEN b < 0.01 THEN 'overloaded' WHEN {on_fallback} THEN 'timeout' ELSE 'primary' END",
        "prompt_version": f"CASE WHEN {on_fallback} THEN 'v3' ELSE NULL END",
        "input_tokens": whole.format(tokens_in),
        "cached_input_tokens": whole.format("300 * d"),
        "cache_write_tokens": "0",
        "output_tokens": whole.format(tokens_out),
        "reasoning_tokens": "0",
        "usage_source": "'provider'",
        "price_version": "'litellm-1.106.2'",
        "cost_nanousd": whole.format(f"150 * {tokens_in} + 600 * {tokens_out}"),
        "outcome": f"CASE WHEN {failed} THEN 'failed' ELSE 'ok' END",
        "failure": f"CASE WHEN {failed} THEN 'server_error' ELSE NULL END",
        "endpoint": "'chat.completions'",
        "stream": f"CASE WHEN d < 0.5 THEN {yes} ELSE {no} END",
        "pinned": no,
        "kind": "'live'",
        "instance": "'replica-1'",
        "config_hash": "'0123456789ab'",
        "key": f"'app-' || {named} || CASE WHEN d < 0.5 THEN '-web' ELSE '-batch' END",
        "team": f"'team-' || {named}",
        "tags": "CASE WHEN c > 0.8 THEN {} ELSE NULL END".format(f"({tags}){'::json' if 'bigint' in whole else ''}"),
        "service_tier": "'default'",
        "status": f"CASE WHEN {failed} THEN 500 ELSE 200 END",
        "ttft_ms": f"{duration} / 4",
        "duration_ms": duration,
        "started_at": "at",
        "finished_at": f"at + {whole.format(f'{duration} * 1000')}",
        "substituted": no,
        "traits": "CASE WHEN a < 0.4 THEN 'temperature,tools' WHEN a < 0.5 THEN 'image,temperature' ELSE '' END",
        "overhead_ms": "1 + 4 * c",
    }


def _templates() -> list[str]:
    drawn = random.Random(6)

    def sketch(buckets: int, middle: float) -> str:
        made: Sketch = {}
        while len(made) < buckets:
            add(made, drawn.lognormvariate(middle, 0.6))
        return orjson.dumps(to_json(made)).decode()

    # Of durations, times to the first token, overheads and costs.
    middles = (6.6, 5.2, 0.7, 12.7)
    return [
        f"({least}, {below}, {k}, {', '.join(repr(sketch(least, middle)) for middle in middles)})"
        for least, below in pairwise((*BUCKETS, 1 << 40))
        for k in range(VARIANTS)
    ]


def _insert_hours(dialect: str) -> str:
    summed = (
        f"SELECT started_at / {_HOUR_US} * {_HOUR_US} AS begun, route, target, role, provider, model_asked AS model,"
        " reason, kind, pinned, team, count(*) AS attempts,"
        f" sum(CASE WHEN outcome = 'failed' THEN 1 ELSE 0 END) AS failed, {_sums()},"
        " min(started_at) AS first_at, max(started_at) AS last_at"
        " FROM attempts GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10"
    )
    return _insert_usage("usage_hours", "hour", summed, HOUR_BUCKETS, dialect)


def _insert_days(dialect: str) -> str:
    summed = (
        f"SELECT hour / {_DAY_US} * {_DAY_US} AS begun, route, target, role, provider, model, reason, kind, pinned,"
        f" team, sum(attempts) AS attempts, sum(failed) AS failed, {_sums()},"
        " min(first_at) AS first_at, max(last_at) AS last_at"
        " FROM usage_hours GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10"
    )
    return _insert_usage("usage_days", "day", summed, DAY_BUCKETS, dialect)


def _insert_usage(table: str, begin: str, summed: str, buckets: int, dialect: str) -> str:
    names, as_json = ", ".join(_SUMMED), "::json" if dialect == "postgresql" else ""
    return (
        f"INSERT INTO {table} ({begin}, route, target, role, provider, model, reason, kind, pinned, team, attempts,"
        f" failed, interrupted, cancelled, unpriced, estimated, rejected, {names},"
        " duration_ms, ttft_ms, overhead_ms, cost_sketch, first_at, last_at)"
        " SELECT begun, route, target, role, provider, model, reason, kind, pinned, team, attempts,"
        f" failed, 0, 0, 0, 0, 0, {names}, d{as_json}, t{as_json}, o{as_json}, c{as_json}, first_at, last_at"
        f" FROM ({summed}) AS summed JOIN templates ON k = first_at % {VARIANTS}"
        f" AND templates.least <= CASE WHEN attempts < {buckets} THEN attempts ELSE {buckets} END"
        f" AND below > CASE WHEN attempts < {buckets} THEN attempts ELSE {buckets} END"
        " ORDER BY begun, route, target"
    )


def _sums() -> str:
    return ", ".join(f"sum({name}) AS {name}" for name in _SUMMED)


def _insert_labels(dialect: str) -> list[str]:
    feature = "tags ->> 'feature'"
    return [
        "INSERT INTO usage_labels (hour, dimension, label, route, role, attempts, failed, unpriced, input_tokens,"
        " cached_input_tokens, output_tokens, cost_nanousd)"
        f" SELECT started_at / {_HOUR_US} * {_HOUR_US}, '{dimension}', {label}, route, role, count(*),"
        " sum(CASE WHEN outcome = 'failed' THEN 1 ELSE 0 END), 0, sum(input_tokens), sum(cached_input_tokens),"
        f" sum(output_tokens), sum(cost_nanousd) FROM attempts WHERE {column} IS NOT NULL GROUP BY 1, 2, 3, 4, 5"
        for dimension, label, column in (("key", '"key"', '"key"'), ("tag", f"'feature=' || ({feature})", "tags"))
    ]
