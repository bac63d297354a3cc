"""A next model that says what its route's contract forbids is found and stopped by a real gateway, and that is told."""

import time
from itertools import count, islice
from pathlib import Path

import httpx
import pytest
from command_line import Run, run
from gateway_server import ROOT, running_gateway
from sandbox_server import fast_catalogue, running_sandbox

from gateway.clock import SystemClock

__all__ = ["run"]
pytestmark = pytest.mark.rig
TUNED, UNTRAINED = "ft:gpt-4.1-mini-2025-04-14:acme:inv:D4e5F6g7", "gpt-4.1-mini-2025-04-14"
ROUTE = "invoice-extract"
DEADLINE_S = 60
"""The watch looks every ten seconds, five seconds back."""


def test_a_canary_that_answers_in_words_where_json_is_promised_is_stopped(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    routes, database = tmp_path / "routes.yaml", f"sqlite:///{tmp_path}/ledger.db"
    with running_sandbox(catalogue=fast_catalogue(SystemClock().now())) as sandbox:
        routes.write_text(
            f"version: 1\nproviders: {{sandbox: {{kind: sandbox, base_url: '{sandbox.base_url}'}}}}\n"
            f"defaults: {{provider: sandbox}}\nroutes:\n  {ROUTE}: {{primary: '{TUNED}', fallbacks: [], "
            f"contract: '{ROOT / 'schemas' / 'invoice-extract.json'}'}}\n"
        )
        given = ("--routes", routes, "--database", database)
        with running_gateway(routes, tmp_path) as gateway, httpx.Client(trust_env=False, timeout=DEADLINE_S) as http:
            assert run("promote", ROUTE, "--model", UNTRAINED, *given).code == 0
            begun = run("promote", ROUTE, "v2", "--canary", "50%", "--margin", "0.2", "--in-spite", *given)
            assert begun.code == 0, begun.err
            deadline, numbers = time.monotonic() + DEADLINE_S, count()
            while "nothing is in force" not in (said := run("promote", ROUTE, "--status", *given).out):
                for number in islice(numbers, 40):
                    question = f"Invoice {number} of Meyer GmbH, 12 March 2026, total 1,{number % 900 + 100}.00 EUR."
                    body = {"model": ROUTE, "messages": [{"role": "user", "content": question}]}
                    assert http.post(f"{gateway.v1}/chat/completions", json=body).status_code == 200
                assert time.monotonic() < deadline, said
                time.sleep(0.5)
            told = run("lifecycle", "events", "--database", database).out
    assert "v2  rejected" in said
    assert " broke the contract, and 0 of the incumbent's" in told, told
