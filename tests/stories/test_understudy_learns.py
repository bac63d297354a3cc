"""The understudy learns the part, from the first captured request to the day on which it is needed.

capture → record → build → evaluate → rehearse → cutover, with the command line, a gateway and a sandbox as they are.
"""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_server import ROOT, RunningGateway, running_gateway
from prometheus_client.parser import text_string_to_metric_families
from sandbox_server import RunningSandbox, fast_catalogue, running_sandbox

from gateway.clock import SystemClock

FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
MAIL = "jane.doe@example.com"
CAPTURE = "capture: {share: 1, phone_regions: []}"
REHEARSE = "rehearsal: {share: 1, max_usd_per_day: 1}"
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Place:
    """A directory with routes.yaml, its gateway and its provider."""

    directory: Path
    gateway: RunningGateway
    sandbox: RunningSandbox

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command as a person would; return what it prints."""
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
        environ["GATEWAY_DATABASE_URL"] = f"sqlite+aiosqlite:///{self.gateway.database}"
        command = [sys.executable, "-m", "gateway", *arguments]
        done = subprocess.run(
            command, cwd=self.directory, env=environ, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def ask(self, text: str) -> httpx.Response:
        """Ask as an application does, with some temperature: the same question is not always answered alike."""
        body = {"model": "forum-reply", "temperature": 0.7, "messages": [{"role": "user", "content": text}]}
        answer = httpx.post(f"{self.gateway.v1}/chat/completions", json=body, trust_env=False, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer

    def change(self, old: str, new: str) -> None:
        """Change routes.yaml, and wait until the gateway has taken it over."""
        path = self.directory / "routes.yaml"
        before = self.ready()["config_hash"]
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        eventually(lambda: self.ready()["config_hash"] != before, "the gateway has the new routes.yaml")

    def ready(self) -> dict[str, Any]:
        document: dict[str, Any] = httpx.get(f"{self.gateway.url}/readyz", trust_env=False).json()
        return document

    def metric(self, name: str, **labels: str) -> float:
        page = httpx.get(f"{self.gateway.url}/metrics", trust_env=False).text
        samples = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    def billed(self) -> int:
        return len(httpx.get(f"{self.sandbox.url}/sandbox/bill", trust_env=False).json()["rows"])

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(f"file:{self.gateway.database}?mode=ro", uri=True) as connection:
            found = connection.execute(query).fetchall()
        connection.close()
        return found


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:g} s: {what}"
        time.sleep(0.1)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    for name in ("prompts", "schemas"):
        (tmp_path / name).symlink_to(ROOT / name)
    with running_sandbox(catalogue=fast_catalogue(SystemClock().now())) as sandbox:
        text = (ROOT / "routes.yaml").read_text().replace("http://127.0.0.1:8081", sandbox.url)
        route = f"  forum-reply: {FINE_TUNE}\n"
        assert route in text
        changed = f'  forum-reply: {{primary: "{FINE_TUNE}", {CAPTURE}}}\n'
        (tmp_path / "routes.yaml").write_text(text.replace(route, changed))
        with running_gateway(tmp_path / "routes.yaml", tmp_path) as gateway:
            yield Place(tmp_path, gateway, sandbox)


def training_file(sandbox: RunningSandbox, path: Path) -> list[str]:
    """Fetch what the fine-tune was trained on; return what its rows ask."""
    jobs = httpx.get(f"{sandbox.base_url}/fine_tuning/jobs", trust_env=False).json()["data"]
    file = next(job["training_file"] for job in jobs if job["fine_tuned_model"] == FINE_TUNE)
    content = httpx.get(f"{sandbox.base_url}/files/{file}/content", trust_env=False).text
    path.parent.mkdir()
    path.write_text(content)
    return [json.loads(line)["messages"][1]["content"] for line in content.splitlines()]


@pytest.mark.rig
def test_from_the_first_captured_request_to_the_day_on_which_it_is_needed(place: Place) -> None:
    questions = training_file(place.sandbox, place.directory / "data" / "forum-reply.jsonl")

    # Capture: live traffic is kept, without what names people.
    asked = [f"{question} Write to {MAIL}." for question in dict.fromkeys(questions)][:110]
    for text in asked:
        assert place.ask(text).headers["x-gateway-served-by"] == "primary"
    eventually(lambda: len(place.rows("SELECT * FROM captured")) == len(asked), "every request is captured")
    assert not any(MAIL in request for (request,) in place.rows("SELECT request FROM captured"))

    # Record: the fine-tune's answers to them, all of them twice.
    lacking = json.loads(place.run("record", "--before-shutdown", "--json", code=1))
    assert "forum-reply" in json.dumps(lacking)
    how = ("--second-samples", "1", "--rate", "200", "--yes")
    place.run("record", "forum-reply", "--inputs", "captured", *how)
    place.run("record", "forum-reply", "--inputs", "data/forum-reply.jsonl", *how)
    recorded = place.rows("SELECT count(*) FROM recordings WHERE answer IS NOT NULL")[0][0]
    assert recorded >= 2 * (len(asked) + 100)
    billed = place.billed()
    place.run("record", "forum-reply", "--inputs", "captured", *how)
    assert place.billed() == billed, "nothing is asked twice"

    # Build: a pack of the training file, referenced from routes.yaml.
    built = json.loads(place.run("pack", "build", "forum-reply", "--from", "data/forum-reply.jsonl", "--json"))
    place.change("examples_file: prompts/{route}.examples.jsonl", 'pack: "packs/{route}"')
    place.run("pack", "verify", "forum-reply")

    # Evaluate: floor, fallback and ceiling on rows that are in no pack.
    done = ("--rate", "200", "--json", "--html", "report.html")
    report = json.loads(place.run("evaluate", "forum-reply", *done, code=0))
    assert report["verdict"] == "accept", report
    assert "<script" not in (place.directory / "report.html").read_text()
    shown = place.run("forecast", "--at", "2027-01-14")
    assert "accepted" in shown

    # Rehearse: live traffic also runs on the fallback, unseen.
    place.change(CAPTURE, REHEARSE)
    for text in questions[:20]:
        assert place.ask(text).headers["x-gateway-served-by"] == "primary"
    eventually(lambda: place.metric("gateway_rehearsal_pairs", route="forum-reply") == 20, "all were rehearsed")
    assert place.metric("gateway_rehearsal_difference", route="forum-reply", measure="agreement") > 0.5
    spent = place.metric("gateway_rehearsal_cost_usd_total", route="forum-reply")
    assert 0 < spent < 1

    # Cutover: the fine-tune dies, and the understudy, with its pack, answers the very next request.
    httpx.post(f"{place.sandbox.url}/sandbox/models/{FINE_TUNE}/retire", trust_env=False).raise_for_status()
    example = json.loads((place.directory / "packs" / "forum-reply" / "fixed.jsonl").read_text().splitlines()[0])
    answer = place.ask(example["messages"][0]["content"])
    assert answer.headers["x-gateway-served-by"] == "fallback"
    assert "— The Acme community team" in answer.json()["choices"][0]["message"]["content"]
    version = built["version"]
    query = f"SELECT count(*) FROM attempts WHERE kind = 'live' AND prompt_version = '{version}-keep'"
    eventually(lambda: place.rows(query)[0][0] >= 1, "the ledger names the pack")
