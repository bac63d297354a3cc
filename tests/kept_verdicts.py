"""Routes that wait for evidence, a prompt pack, and verdicts in a real database."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from migrated_database import migrated

from gateway.config.loader import load
from gateway.config.packs import FIXED, HELD_OUT, INSTRUCTIONS, POOL, PackExample, example_line, parse_pack, sealed
from gateway.ledger.entry import new_attempt_id
from gateway.policy.evidence import terms_of
from gateway.store.database import Database
from gateway.store.evaluations import Evaluation, EvaluationStore
from gateway.store.packs import PackStore

# The routes' own dates: a suite may run on any day.
DAY = "2091-01-14"
ROUTES = f"""\
version: 1
providers:
  acme: {{kind: vllm, base_url: "http://vllm.internal:8000/v1"}}
lifecycle: {{acme: {{tuned: {{shutdown: {DAY}, source: a mail}}}}}}
fallbacks:
  luna: {{provider: acme, model: m1, prompt: {{instructions: Be brief.}}}}
  packed: {{provider: acme, model: m1, prompt: {{pack: "PACK"}}}}
defaults: {{provider: acme, fallbacks: [luna], cutover: {{days_before: 14, ramp_days: 7}}}}
routes:
  forum-reply: tuned
  careful: {{primary: tuned, cutover: {{days_before: 14, ramp_days: 7, require_evidence: true}}}}
  packed: {{primary: tuned, fallbacks: [packed]}}
  undated: other
  alone: {{primary: tuned, fallbacks: []}}
  not-trained-yet: {{primary: null}}
"""
LOOKED = datetime(2026, 11, 28, 9, tzinfo=UTC)
PACK = sealed(
    {"format": 1, "route": "packed", "similar": 1, "similar_tokens": 60, "prefix_tokens": 50, "trained_system": []},
    {
        INSTRUCTIONS: b"Answer briefly.\n",
        FIXED: example_line(
            PackExample(
                "0" * 16, ({"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello!"}), 20
            )
        ),
        POOL: b"",
        HELD_OUT: b"",
    },
)
HASH = parse_pack(PACK).hash
ACCEPTED = "fallback accepted on 412 rows, retained 0.93 [0.88, 0.97], −38 % cost, −12 % first token"


def write_routes(directory: Path) -> Path:
    path = directory / "routes.yaml"
    path.write_text(ROUTES.replace("PACK", HASH))
    return path


def prompt_version(routes: Path, route: str = "forum-reply") -> str:
    prompt = load(routes, environ={}).routes.routes[route].fallbacks[0].prompt
    assert prompt is not None
    return prompt.version


def terms_in(routes: Path, route: str) -> str:
    written = load(routes, environ={}).routes.routes[route]
    return terms_of(written, written.fallbacks[0])


def a_verdict(routes: Path, route: str = "forum-reply", **fields: Any) -> Evaluation:
    version = f"{parse_pack(PACK).version}-keep" if route == "packed" else prompt_version(routes, route)
    given: dict[str, Any] = {
        "evaluation_id": "",
        "route": route,
        "target": "luna",
        "provider": "acme",
        "model": "m1",
        "prompt_version": version,
        "terms": terms_in(routes, route),
        "verdict": "accept",
        "looks": "many",
        "measure": "token_f1",
        "margin": 0.05,
        "rows": 412,
        "difference": -0.01,
        "difference_low": -0.03,
        "difference_high": 0.01,
        "retained": 0.93,
        "retained_low": 0.88,
        "retained_high": 0.97,
        "cost_change": -0.38,
        "first_token_change": -0.12,
        "report": "{}",
        "evaluated_at": LOOKED,
    }
    return Evaluation(**given | fields)


def too_few(rows_needed: int | None) -> dict[str, Any]:
    report = orjson.dumps({"rows": {"needed": rows_needed}}).decode()
    return {"verdict": "not_enough_evidence", "rows": 50, "report": report}


def keep_in(directory: Path, *verdicts: Evaluation, pack: bool = True) -> str:
    """Keep verdicts, each a minute after the one before, and the pack where it is wanted; return the database's URL."""
    url = f"sqlite:///{directory}/kept.db"
    migrated(url)

    async def fill() -> None:
        database = await Database.open(url)
        if pack:
            await PackStore(database).push(PACK, "me", LOOKED)
        for minutes, verdict in enumerate(verdicts):
            at = verdict.evaluated_at + timedelta(minutes=minutes)
            await EvaluationStore(database).conclude(replace(verdict, evaluation_id=new_attempt_id(at)))
        await database.close()

    asyncio.run(fill())
    return url
