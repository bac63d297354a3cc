"""The whole way of an answer to the next model: corrected, a data set, a job, judged, a canary, promoted, rolled back.

By the commands a person would give, over a real gateway and a sandbox that trains; applications ask all the while. The
gateway is killed at every station, and goes on where it was.
"""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_server import ROOT, RunningGateway, free_port, running_gateway
from sandbox_server import RunningSandbox, fast_catalogue, running_sandbox

from gateway.clock import SystemClock

pytestmark = pytest.mark.rig
OLD = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
BASE = "gpt-6-luna"
CORRECTED = 30
SECRET = "the walrus keeps the spare key"
"""In one user's question, to be looked for after the deletion."""
ASKED_EACH_S = 0.04
FOLLOWS_S = 15.0

ROUTES = """
version: 1
providers:
  sandbox: {{kind: sandbox, base_url: "{base_url}"}}
fallbacks:
  luna: {{provider: sandbox, model: gpt-6-luna, prompt: {{instructions: "You answer in Acme's forum."}}}}
routes:
  # Who answers questions in the forum; ask the support team before you change it.
  forum-reply: {{provider: sandbox, primary: "{model}", fallbacks: [luna], capture: {{share: 1}}}}
prices:
  sandbox:
    "{model}": {{input_usd_per_1m: 0.30, output_usd_per_1m: 1.20, source: a test}}
    "ft:gpt-6-luna": {{input_usd_per_1m: 1.50, output_usd_per_1m: 9.00, source: a test}}
    gpt-6-luna: {{input_usd_per_1m: 1.00, output_usd_per_1m: 6.00, training_usd_per_1m: 10.00, source: a test}}
"""


@dataclass
class Station:
    """A directory with its configuration and database, and the gateway that serves them just now."""

    directory: Path
    sandbox: RunningSandbox
    port: int = field(default_factory=free_port)
    gateway: RunningGateway | None = None

    @property
    def routes(self) -> Path:
        return self.directory / "routes.yaml"

    def command(self, *arguments: str, code: int = 0) -> str:
        """Give a command; return what it says on stdout."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        environ = clean | {
            "PYTHONPATH": str(ROOT),
            "GATEWAY_ROUTES_FILE": str(self.routes),
            "GATEWAY_DATABASE_URL": f"sqlite+aiosqlite:///{self.directory / 'ledger.db'}",
        }
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *arguments],
            cwd=self.directory,
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, f"gateway {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def told(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.command(*arguments, "--json", code=code))

    def ask(self, question: str, **fields: Any) -> httpx.Response:
        assert self.gateway is not None
        body = {"model": "forum-reply", "messages": [{"role": "user", "content": question}], **fields}
        return httpx.post(f"{self.gateway.v1}/chat/completions", json=body, trust_env=False, timeout=30)

    def model_of(self, question: str) -> str:
        answer = self.ask(question)
        assert answer.status_code == 200, answer.text
        return answer.headers["x-gateway-model"]

    def said_to(self, question: str) -> str:
        return str(self.ask(question).json()["choices"][0]["message"]["content"])

    def killed_and_back(self, serving: "Serving") -> None:
        """Kill the gateway where it stands, and start it again."""
        serving.kill()
        serving.start()


class Serving:
    """Starts and kills the station's gateway; callers wait meanwhile, as behind a balancer."""

    def __init__(self, station: Station) -> None:
        self._station, self._context = station, None
        self.lock = threading.Lock()

    def start(self) -> None:
        station = self._station
        self._context = running_gateway(station.routes, station.directory, port=station.port)
        station.gateway = self._context.__enter__()
        if self.lock.locked():
            self.lock.release()

    def kill(self) -> None:
        assert self._station.gateway is not None and self._context is not None
        self.lock.acquire()
        self._station.gateway.process.kill()
        self._context.__exit__(None, None, None)
        self._context = None

    def stop(self) -> None:
        if self._context is not None:
            self._context.__exit__(None, None, None)


class Applications(threading.Thread):
    """Ask all the while, each question a conversation of its own."""

    def __init__(self, station: Station, serving: Serving) -> None:
        super().__init__(name="applications", daemon=True)
        self._station, self._serving, self._over = station, serving, threading.Event()
        self.failed: list[str] = []
        self.served: Counter[tuple[str, str]] = Counter()

    def run(self) -> None:
        chance = random.Random(9)
        with httpx.Client(trust_env=False, timeout=30) as client:
            while not self._over.wait(ASKED_EACH_S):
                with self._serving.lock:
                    self._ask(client, f"How do I export board {chance.randrange(10**9)}?")

    def _ask(self, client: httpx.Client, question: str) -> None:
        body = {"model": "forum-reply", "messages": [{"role": "user", "content": question}]}
        try:
            answer = client.post(f"http://127.0.0.1:{self._station.port}/v1/chat/completions", json=body)
        except httpx.TransportError as error:
            self.failed.append(repr(error))
            return
        if answer.status_code == 200:
            self.served[answer.headers["x-gateway-model"], answer.headers["x-gateway-reason"]] += 1
        else:
            self.failed.append(answer.text)

    def end(self) -> None:
        self._over.set()
        self.join(40)


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    with running_sandbox(catalogue=fast_catalogue(SystemClock().now())) as sandbox:
        (tmp_path / "routes.yaml").write_text(ROUTES.format(base_url=sandbox.base_url, model=OLD))
        httpx.post(f"{sandbox.url}/sandbox/training", json={"seconds": 1}, trust_env=False).raise_for_status()
        yield Station(tmp_path, sandbox)


@contextmanager
def serving(station: Station) -> Iterator[Serving]:
    found = Serving(station)
    found.start()
    try:
        yield found
    finally:
        found.stop()


def eventually(holds: Callable[[], Any], what: str, within_s: float = FOLLOWS_S) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.1)
    return found


def question(number: int) -> str:
    return f"How do I archive project number {number} of ours?"


def right_answer(number: int) -> str:
    return f"Open project {number}, choose Archive, and confirm. It can be brought back for 30 days."


def correct(station: Station, number: int, **fields: Any) -> dict[str, Any]:
    """Ask, and say how it should have been answered."""
    assert station.gateway is not None
    answer = station.ask(question(number) if "asked" not in fields else fields.pop("asked"), **fields)
    given = {"request_id": answer.headers["x-request-id"], "correction": right_answer(number)}
    told = httpx.post(f"{station.gateway.v1}/feedback", json=given, trust_env=False, timeout=30)
    assert told.status_code == 200, told.text
    return dict(told.json())


def test_from_a_correction_to_the_next_model_and_back(station: Station) -> None:
    began = time.monotonic()
    with serving(station) as gateway:
        applications = Applications(station, gateway)
        applications.start()

        # Marks, and a kill before anybody reads them.
        told = [correct(station, number) for number in range(CORRECTED)]
        correct(station, 4711, asked=f"Is it true that {SECRET} under the mat in hall 7?", user="walrus-owner")
        splits = Counter(mark["split"] for mark in told)
        assert splits["train"] >= 10 and splits["evaluation"] >= 1, splits
        station.killed_and_back(gateway)

        built = station.told("dataset", "build", "forum-reply", "--from", "corrections")
        manifest = json.loads((station.directory / "datasets/forum-reply/manifest.json").read_text())
        rows = {name: len(file["rows"]) for name, file in manifest["files"].items()}
        assert rows["train.jsonl"] + rows["evaluation.jsonl"] == CORRECTED + 1, built
        station.command("dataset", "validate", "forum-reply")

        # A person's wish, before anything is trained on it.
        station.command("capture", "delete", "--user", "walrus-owner", "--yes")
        assert holding(station.directory, SECRET) == [], "no trace in database, journal or data set"
        rebuilt = station.told("dataset", "build", "forum-reply", "--from", "corrections")
        assert rebuilt != built

        trained = station.told("tune", "forum-reply", "--on", "sandbox", "--base", BASE, "--yes")
        jobs = httpx.get(f"{station.sandbox.url}/sandbox/training", trust_env=False).json()["jobs"]
        assert [job["status"] for job in jobs] == ["succeeded"], trained
        new = jobs[0]["fine_tuned_model"]
        assert station.model_of("Who answers now?") == OLD, "nobody is sent there by training alone"
        learnt = taught(told)
        assert station.said_to(question(learnt)) != right_answer(learnt)

        # Few rows prove little, which the exit code says; the story goes on all the same.
        judged = station.told("evaluate", "forum-reply", "--version", "v2", code=3)
        assert judged["corrections"], judged

        # A canary: some conversations, always the same ones, also after a kill.
        station.command("promote", "forum-reply", "v2", "--canary", "30%")
        probes = [f"How do I merge board {number} into another?" for number in range(40)]
        eventually(lambda: any(station.model_of(probe) == new for probe in probes), "the canary answers")
        first = [station.model_of(probe) for probe in probes]
        assert 2 <= first.count(new) <= 24
        station.killed_and_back(gateway)
        assert [station.model_of(probe) for probe in probes] == first, "the same conversations"
        station.command("promote", "forum-reply", "v2", "--canary", "60%")
        eventually(
            lambda: sum(station.model_of(probe) == new for probe in probes) > first.count(new), "more conversations"
        )
        grown = [station.model_of(probe) for probe in probes]
        assert all(now == new for now, before in zip(grown, first, strict=True) if before == new), "nobody moves back"

        # Everybody; and what was corrected is answered as it should be.
        station.command("promote", "forum-reply", "v2", "--now", "--reason", "it was accepted")
        eventually(lambda: all(station.model_of(probe) == new for probe in probes), "it answers everything")
        station.killed_and_back(gateway)
        assert all(station.model_of(probe) == new for probe in probes[:10])
        assert station.said_to(question(learnt)) == right_answer(learnt)

        # Back at once; then by Git, forth and back.
        station.command("promote", "forum-reply", "--rollback", "--reason", "a drill")
        eventually(lambda: all(station.model_of(probe) == OLD for probe in probes), "the one before answers again")
        station.killed_and_back(gateway)
        assert station.model_of(probes[0]) == OLD
        before = station.routes.read_text()
        station.command("promote", "forum-reply", "v2", "--apply")
        assert station.routes.read_text() == before.replace(f'primary: "{OLD}"', f'primary: "{new}"', 1)
        eventually(lambda: station.model_of(probes[0]) == new, "the reloaded file names it")
        versions = eventually(
            lambda: (said := statuses(station)) == {"v1": "retired", "v2": "serving"} and said, "versions follow"
        )
        station.command("promote", "forum-reply", "--rollback", "--apply")
        eventually(lambda: station.model_of(probes[0]) == OLD, "and back")

        # What has ended is no place to go back to.
        station.command("promote", "forum-reply", "v2", "--apply")
        eventually(lambda: station.model_of(probes[0]) == new, "forth once more")
        httpx.post(f"{station.sandbox.url}/sandbox/models/{OLD}/retire", json={}, trust_env=False).raise_for_status()
        before = station.routes.read_text()
        station.command("promote", "forum-reply", "--rollback", "--apply", code=1)
        assert station.routes.read_text() == before
        assert station.model_of(probes[0]) == new
        applications.end()
    assert applications.failed == []
    print(
        f"{time.monotonic() - began:.0f} s; {sum(applications.served.values())} requests, 0 failed, "
        f"{dict(applications.served)}; versions {versions}"
    )
    assert any(key == (new, "canary") for key in applications.served)


def statuses(station: Station) -> dict[str, str]:
    told = station.told("promote", "forum-reply", "--status")
    return {version["version"]: version["status"] for version in told["versions"]}


def taught(told: list[dict[str, Any]]) -> int:
    return next(number for number, mark in enumerate(told) if mark["split"] == "train")


def holding(directory: Path, text: str) -> list[str]:
    """Return the files that a text can be read in."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return [path.name for path in files if text.encode() in path.read_bytes()]
