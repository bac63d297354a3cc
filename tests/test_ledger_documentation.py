"""What docs/ledger.md shows loads and runs, and its figures and names are those of the code."""

import re
from pathlib import Path

import pytest
import yaml
from command_line import Run, run
from migrated_database import migrated

from gateway.cli import server
from gateway.config.loader import load
from gateway.config.routes_ledger import Ledger
from gateway.config.settings import LINGER_S, Settings
from gateway.errors import GatewayStopping, LedgerUnavailable
from gateway.execution.draining import LEDGER_CLOSE_S
from gateway.execution.process_collector import of_ledger
from gateway.ledger import frames, journal, records
from gateway.ledger.figures import LedgerFigures
from gateway.ledger.journal import Intent
from gateway.ledger.refused import FILE
from gateway.metrics import Metrics
from tests.store.rows import an_entry

TEXT = (Path(__file__).parent.parent / "docs" / "ledger.md").read_text(encoding="utf-8")
ROUTES = """\
version: 1
providers: {p: {kind: vllm, base_url: "http://127.0.0.1:9/v1"}}
fallbacks: {base: {provider: p, model: m1}}
defaults: {provider: p, fallbacks: [base]}
routes:
  a: {primary: null}
"""
__all__ = ["run"]


def test_what_is_shown_of_routes_yaml_loads_and_is_the_default(tmp_path: Path) -> None:
    (snippet,) = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES + yaml.safe_dump(yaml.safe_load(snippet)))
    assert load(path, environ={}).routes.ledger == Ledger()


def test_the_commands_it_shows_run(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    migrated(f"sqlite:///{tmp_path}/gateway.db")
    monkeypatch.setenv("GATEWAY_DATABASE_URL", f"sqlite:///{tmp_path}/gateway.db")
    commands = re.findall(r"^\$ gateway (.*)$", TEXT, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        assert run(*command.split()).code == 0, command


def test_the_settings_it_names_are_there() -> None:
    named = set(re.findall(r"GATEWAY_[A-Z_]+", TEXT))
    assert named == {"GATEWAY_JOURNAL_DIR", "GATEWAY_LINGER_S", "GATEWAY_DRAIN_S"}
    assert {name.removeprefix("GATEWAY_").lower() for name in named} <= set(Settings.model_fields)


def test_the_metrics_files_and_codes_it_names_are_there() -> None:
    known = {f"{family.name}_total" for family in of_ledger(LedgerFigures(0, 0.0, 0, 0))}
    known |= {f"{family.name}_total" for family in Metrics().registry.collect()}
    named = set(re.findall(r"gateway_[a-z_]+_total", TEXT))
    assert len(named) == 6
    assert named <= known
    assert all(
        f"`{code}`" in TEXT or f'"{code}"' in TEXT for code in (LedgerUnavailable.code, GatewayStopping.code, FILE)
    )


def test_its_figures_are_the_codes() -> None:
    assert (Settings.model_fields["drain_s"].default, LINGER_S, LEDGER_CLOSE_S) == (25, 5, 5)
    assert server.LEAVES_S < 5
    assert server.HURRIED_S < 2
    assert (journal.WARN_AT, journal.NOT_READY_AT) == (0.8, 0.95)


def test_a_call_takes_as_much_of_the_journal_as_it_says() -> None:
    ids = {"request_id": "req_0123456789abcdef01234567", "instance": "understudy-7d9c8b6f5-abcde-1a2b3c4d"}
    row = an_entry(**ids, ttft_ms=312.5123, duration_ms=2310.1234, overhead_ms=0.4123)
    labelled = row._replace(key="shop", team="forum", tags={"customer": "acme", "feature": "reply"})
    sizes = [
        len(frames.encode(records.intent_payload(Intent(entry, None))) + frames.encode(records.settle_payload(entry)))
        for entry in (row, labelled)
    ]
    assert "about 1.2 KB of journal (two records; 1.13 KB without" in TEXT
    assert sizes[0] == pytest.approx(1130, abs=40)
    assert sizes[1] == pytest.approx(1200, abs=40)
