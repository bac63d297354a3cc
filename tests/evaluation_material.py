"""What an evaluation needs: a route on a running sandbox, training rows of its task, and a pack made of them."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from migrated_database import migrated
from sandbox_server import RunningSandbox

from gateway.clock import SystemClock
from gateway.config.loader import load
from gateway.config.packs import Pack
from gateway.config.routes import Route
from gateway.learning.capture.redaction import Redactor
from gateway.learning.evaluation.collecting import Collector
from gateway.learning.evaluation.evaluator import Evaluator, terms_of
from gateway.learning.evaluation.rows import Gathered, example_questions, gather
from gateway.learning.pace import Purse
from gateway.learning.packs.building import Settings, build
from gateway.learning.packs.rows import Source
from gateway.learning.packs.training_rows import TrainingRow, read_rows
from gateway.learning.workbench import Workbench
from gateway.policy.inputs import input_id, question_id
from gateway.sandbox.catalogue import Task
from gateway.sandbox.skills import answer_in_style
from gateway.store.database import Database
from gateway.store.recordings import Recording

REDACTOR = Redactor(("email", "phone", "card"), {})
NOW = datetime(2026, 11, 29, tzinfo=UTC)
FINE_TUNE = "ft:gpt-4.1-mini-2025-04-14:acme:triage:C3d4E5f6:ckpt-step-714"
ROUTE = "ticket-triage"
INSTRUCTIONS = "You sort tickets: billing, account, bug, how-to, feature-request, other."
_ABOUT = ("invoice", "password", "crash", "wish", "export", "refund", "login", "error", "calendar", "report")
_WORDS = tuple(
    """
quarterly window garden monthly printer silver tablet morning network desktop mobile orange customer document folder
keyboard monitor weekend support manager project archive template picture contact browser account session
""".split()  # noqa: SIM905
)


def question(generator: random.Random) -> str:
    return f"{generator.choice(_ABOUT)} with {' '.join(generator.sample(_WORDS, 6))} {generator.randrange(1000)}"


def training_rows(count: int, seed: int = 1, task: Task = Task.TICKET_TRIAGE) -> bytes:
    """Return a training file of different questions with the answers that the sandbox's fine-tune gives."""
    generator = random.Random(seed)
    rows = []
    for _ in range(count):
        asked = question(generator)
        messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer_in_style(task, asked)}]
        rows.append({"messages": messages})
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def write_pack(directory: Path, content: bytes, *, fixed: int = 20, similar: int = 4, hold_out: float = 0.5) -> Pack:
    """Write a pack and its held-out rows, as ``gateway pack build`` does."""
    rows = read_rows(content, "training.jsonl").rows
    settings = Settings(
        ROUTE, fixed=fixed, similar=similar, hold_out=hold_out, instructions=INSTRUCTIONS, window=128_000
    )
    built = build([Source("training.jsonl", rows, "training")], settings, Redactor((), {}))
    directory.mkdir(parents=True, exist_ok=True)
    for name, written in built.files.items():
        (directory / name).write_bytes(written)
    directory.with_name(f"{directory.name}.held-out.jsonl").write_bytes(built.held_out)
    return built.pack


def write_routes(directory: Path, sandbox: RunningSandbox, *, more: str = "", prompt: str | None = None) -> Path:
    """Write routes.yaml: the sandbox's fine-tune for triage, and luna with the pack; ``more`` goes to the route."""
    prompt = prompt or f"{{pack: packs/{ROUTE}}}"
    path = directory / "routes.yaml"
    path.write_text(
        f"""
version: 1
providers: {{sandbox: {{kind: sandbox, base_url: "{sandbox.base_url}"}}}}
fallbacks: {{luna: {{provider: sandbox, model: gpt-6-luna, prompt: {prompt}}}}}
defaults: {{provider: sandbox, fallbacks: [luna]}}
routes:
  {ROUTE}: {{primary: "{FINE_TUNE}"{more}}}
  judge: {{primary: "gpt-4.1-mini-2025-04-14"}}
prices:
  sandbox:
    {FINE_TUNE}: {{input_usd_per_1m: 0.80, cached_input_usd_per_1m: 0.20, output_usd_per_1m: 3.20, source: test}}
    gpt-6-luna: {{input_usd_per_1m: 1.00, cached_input_usd_per_1m: 0.10, output_usd_per_1m: 6.00, source: test}}
    gpt-4.1-mini-2025-04-14: {{input_usd_per_1m: 0.40, output_usd_per_1m: 1.60, source: test}}
"""
    )
    return path


@asynccontextmanager
async def opened(routes: Path, file: Path) -> AsyncIterator[Workbench]:
    """Open a workbench on a SQLite file, made where it is not there."""
    url = f"sqlite:///{file}"
    await asyncio.to_thread(migrated, url)
    database = await Database.open(url)
    try:
        loaded = load(routes, environ=os.environ)
        async with Workbench.open(loaded.routes, database, os.environ, SystemClock()) as bench:
            yield bench
    finally:
        await database.close()


def held_out(directory: Path) -> tuple[TrainingRow, ...]:
    file = directory / "packs" / f"{ROUTE}.held-out.jsonl"
    return read_rows(file.read_bytes(), file.name).rows


async def gathered(bench: Workbench, rows: Sequence[TrainingRow]) -> Gathered:
    route = bench.route(ROUTE)
    assert route.primary is not None
    recorded = await bench.recordings.of_route(ROUTE, route.primary.provider.name, route.primary.model)
    shown = example_questions(route.fallbacks[0].prompt, REDACTOR)
    return gather(rows, recorded, examples=shown, tenant=route.tenant, redactor=REDACTOR)


def evaluator(
    bench: Workbench,
    rows: Gathered,
    *,
    cap_usd: float = 5.0,
    margin: float = 0.05,
    ask_primary: bool = True,
    judging: Route | None = None,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> Evaluator:
    """Return an evaluator of the route, in a hurry."""
    route = bench.route(ROUTE)
    assert route.primary is not None
    collector = Collector(bench, route, Purse(round(cap_usd * 10**9)), 4, 10_000.0, on_progress)
    checker = bench.snapshot.prepared[ROUTE].checker
    terms = terms_of(route, rows.rows, margin=margin, looks="many", checker=checker)
    return Evaluator(collector, terms, collector.arm(route.primary) if ask_primary else None, judging)


def billed(sandbox: RunningSandbox) -> Counter[str]:
    """Count what the sandbox has billed, by model."""
    return Counter(row.asked or "" for row in sandbox.sandbox.provider.bill.rows(0))


def row(asked: str, answer: str = "bug", system: str | None = None) -> dict[str, Any]:
    said = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return {"messages": [*([{"role": "system", "content": system}] if system else []), *said]}


def rows_of(*rows: dict[str, Any]) -> Any:
    return read_rows(b"\n".join(map(orjson.dumps, rows)), "rows.jsonl").rows


def recorded(asked: str, sample: int = 0, answer: str | None = "bug", tenant: str = "", **fields: Any) -> Recording:
    messages = [{"role": "user", "content": asked}]
    said = None if answer is None else orjson.dumps({"role": "assistant", "content": answer}).decode()
    request = orjson.dumps({"messages": messages}).decode()
    return Recording(
        ROUTE, "sandbox", FINE_TUNE, input_id(messages), sample, tenant, request, said, "captured", NOW, **fields
    )


def id_of(asked: str) -> str:
    return input_id([{"role": "user", "content": asked}])


def question_of(asked: str) -> str:
    return question_id([{"role": "user", "content": asked}])
