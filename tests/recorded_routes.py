"""A configuration whose primaries a real sandbox serves, and inputs to record them with."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

FORUM = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
SYSTEM = "You write the community team's replies."
_PRICE = "{input_usd_per_1m: 0.30, cached_input_usd_per_1m: 0.15, output_usd_per_1m: 1.20, source: the sandbox}"


def write_routes(
    directory: Path,
    base_url: str,
    *,
    primary: str = FORUM,
    parameters: dict[str, Any] | None = None,
    priced: bool = True,
    kind: str = "sandbox",
    **route: Any,
) -> Path:
    """Write routes.yaml with the route ``forum-reply``; ``parameters`` are the primary's, ``route`` its other keys."""
    prices = f"prices: {{sandbox: {{'{primary}': {_PRICE}}}}}\n" if priced else ""
    target = {"model": primary, "parameters": parameters} if parameters else primary
    entry = {"provider": "sandbox", "primary": target, "fallbacks": ["luna"], **route}
    file = directory / "routes.yaml"
    file.write_text(
        f"""\
version: 1
providers:
  sandbox: {{kind: {kind}, base_url: "{base_url}"}}
fallbacks:
  luna: {{provider: sandbox, model: gpt-6-luna}}
routes:
  forum-reply: {orjson.dumps(entry).decode()}
{prices}"""
    )
    return file


def question(number: int) -> str:
    """Return one of any number of questions, no two of the same length in words."""
    return f"How do I change the delivery address of order {number}? " + "It is urgent. " * (number % 7)


def training_row(number: int) -> dict[str, Any]:
    """Return a training row that asks this question."""
    answer = f"Hi there,\n\nthanks for writing about order {number}. {'Open Settings and save. ' * 5}"
    said = [("system", SYSTEM), ("user", question(number)), ("assistant", answer)]
    return {"messages": [{"role": role, "content": content} for role, content in said]}


def write_rows(file: Path, rows: Iterable[Any]) -> Path:
    """Write a JSONL file."""
    file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return file


def write_inputs(file: Path, count: int) -> Path:
    """Write so many training rows."""
    return write_rows(file, map(training_row, range(count)))


def total(bill: Sequence[Any]) -> int:
    """Return what a bill's rows cost, in nano-dollars."""
    return sum(row.cost_nanousd for row in bill)
