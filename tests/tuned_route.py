"""A route that can be trained further: its configuration, its data set, and a database."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.learning.capture.redaction import Redactor
from gateway.learning.datasets.building import Whose, build
from gateway.learning.datasets.directory import write
from gateway.learning.datasets.manifest import Manifest
from gateway.learning.datasets.sources import from_file, together

BASE = "gpt-4.1-mini-2025-04-14"
PRIMARY = f"ft:{BASE}:acme:inv:D4e5F6g7"
SYSTEM = "You answer in Acme's forum."


def row(number: int, **changes: Any) -> dict[str, Any]:
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": f"Question {number} of topic {number * 37 % 11}: how is thing {number} done?"},
        {"role": "assistant", "content": f"By step {number}, then by step {number * number + 1}."},
    ]
    return {"messages": messages} | changes


def routes_yaml(base_url: str, **changes: str) -> str:
    """Return a configuration; ``kind`` and ``lifecycle`` may be another."""
    kind = changes.get("kind", "sandbox")
    return f"""\
version: 1
providers:
  lab: {{kind: {kind}, base_url: "{base_url}", api_key_env: TUNING_KEY{changes.get("more", "")}}}
  amazon: {{kind: bedrock, region: eu-central-1}}
  own: {{kind: vllm, base_url: "{base_url}"}}
  words: {{kind: groq, api_key_env: TUNING_KEY}}
fallbacks:
  luna: {{provider: lab, model: gpt-6-luna}}
routes:
  reply:
    primary: {{provider: lab, model: "{PRIMARY}", base: {BASE}}}
    fallbacks: [luna]
  untrained: {{primary: null, fallbacks: [luna]}}
prices:
  lab:
    {BASE}: {{input_usd_per_1m: 0.4, output_usd_per_1m: 1.6, training_usd_per_1m: 5, source: the price list}}
{changes.get("lifecycle", "")}
"""


def write_dataset(directory: Path, rows: int = 40, *, route: str = "reply", **changes: Any) -> Manifest:
    """Write a route's data set as ``gateway dataset build`` does."""
    lines = b"".join(json.dumps(row(number, **changes)).encode() + b"\n" for number in range(rows))
    whose = Whose(route, None, "anna", datetime(2026, 11, 29, tzinfo=UTC))
    built = build(together([from_file(lines, "rows.jsonl")]), whose, Redactor(("email",), {}))
    write(directory, built.manifest, built.files)
    return built.manifest


@dataclass(frozen=True)
class TunedRoute:
    """Where everything is."""

    directory: Path

    @property
    def routes(self) -> Path:
        return self.directory / "routes.yaml"

    @property
    def dataset(self) -> Path:
        return self.directory / "datasets" / "reply"

    @property
    def database(self) -> str:
        return f"sqlite:///{self.directory / 'state.db'}"


def tuned_route(directory: Path, base_url: str, rows: int = 40, **changes: str) -> TunedRoute:
    """Write a configuration and a data set."""
    made = TunedRoute(directory)
    made.routes.write_text(routes_yaml(base_url, **changes))
    write_dataset(made.dataset, rows)
    return made
