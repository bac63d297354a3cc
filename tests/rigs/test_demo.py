"""The demo itself, in its fast form: what it tells happened in that order, nobody's request failed, the bill agrees."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_server import ROOT, free_port

pytestmark = pytest.mark.rig
LONGEST_S = 120.0
FORUM, TRIAGE = "forum-reply", "ticket-triage"
MOST_UNDER_WAY = 12
"""Two seconds of the dead model's requests: a busy machine sends late ones all at once."""


@contextmanager
def running_demo(directory: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Start it on free ports, with its temporary files where the test can see them."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    # A setting of another gateway on this machine must not matter.
    environ = clean | {"TMPDIR": str(directory), "GATEWAY_KEY": "another gateway's"}
    ports = ["--port", str(free_port()), "--sandbox-port", str(free_port())]
    command = [sys.executable, "-m", "gateway", "demo", "--fast", *ports, *options]
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    found = re.search(r"http://[\d.:]+", process.stderr.readline())
    assert found is not None
    return found[0]


def test_what_it_tells_is_what_happens(tmp_path: Path) -> None:
    picture = tmp_path / "pictures" / "demo.svg"
    began = time.monotonic()
    with running_demo(tmp_path, "--json", "--keep", "--picture", str(picture)) as process:
        url, lines = url_of(process), list[dict[str, Any]]()
        assert process.stdout is not None
        while not lines or lines[-1]["event"] != "summary":
            lines.append(json.loads(process.stdout.readline()))
        took_s = time.monotonic() - began
        kept = httpx.get(f"{url}/ui", trust_env=False, timeout=20)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=LONGEST_S)
    told = [line for line in lines if line["event"] == "told"]
    scenes = [line for line in lines if line["event"] == "scene"]
    summary = lines[-1]
    print(f"{took_s:.1f} s: {summary}")
    assert process.returncode == 0, err
    assert (kept.status_code, FORUM in kept.text) == (200, True), "its pages can be looked at in the end"

    # By the demo's calendar: a busy machine tells of things later, and of several at once.
    order = [
        first(told, "vendor", "announced"),
        first(told, "gateway", "dates_changed"),
        first(told, "gateway", "cutover", FORUM, "has begun to move"),
        first(told, "vendor", "vanished"),
        first(told, "gateway", "verified"),
        first(told, "gateway", "cutover", TRIAGE),
        first(told, "gateway", "cutover", f"{FORUM} moved"),
        first(told, "vendor", "stopped"),
    ]
    assert order == sorted(order), [line["text"] for line in told]
    # Whoever met the dead model had asked before the route moved; the answer, a fallback's, may have come after.
    assert first(told, "callers", "suspect", TRIAGE) <= first(told, "gateway", "cutover", TRIAGE)

    shares = [scene["routes"][FORUM]["fallback_share"] for scene in scenes]
    on_the_way = [share for share in shares if share is not None and 0 < share < 1]
    assert on_the_way, "the ramp is seen, not only its ends"
    last = scenes[-1]["routes"]
    assert {name: row["served_by"] for name, row in last.items()} == {
        FORUM: "fallback",
        TRIAGE: "fallback",
        "invoice-extract": "primary",
        "tone-rewrite": "fallback",
    }

    assert summary["is_well"]
    assert (summary["failed"], summary["differing"]) == (0, 0)
    assert summary["ledger_rows"] == summary["billed_rows"] >= summary["requests"] > 300
    assert summary["streams"] == pytest.approx(summary["requests"] / 2, abs=1)
    # Whoever was under way when the first verdict came; of the one that was announced, nobody.
    assert sum(summary["dead_calls"].values()) == summary["second_tries"] <= MOST_UNDER_WAY
    assert all(":triage:" in model for model in summary["dead_calls"])
    assert {(cost["route"], cost["served_by"]) for cost in summary["costs"]} >= {
        (FORUM, "primary"),
        (FORUM, "fallback"),
        (TRIAGE, "fallback"),
    }
    assert picture.read_text().startswith("<svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures"], "it cleans up"


def first(told: list[dict[str, Any]], who: str, kind: str, *parts: str) -> datetime:
    """Return when the first such event was."""
    for line in told:
        if (line["who"], line["kind"]) == (who, kind) and all(part in line["text"] for part in parts):
            return datetime.fromisoformat(line["at"])
    raise AssertionError(f"nobody told of {kind} by {who}: {[line['text'] for line in told]}")


def test_ctrl_c_ends_it_in_order(tmp_path: Path) -> None:
    with running_demo(tmp_path) as process:
        url = url_of(process)
        deadline = time.monotonic() + LONGEST_S
        assert process.stdout is not None
        while "vendor   announces" not in process.stdout.readline():
            assert time.monotonic() < deadline, "it never begins"
        page = httpx.get(f"{url}/ui", trust_env=False, timeout=20)
        assert page.status_code == 200
        assert FORUM in page.text
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 130, err
    assert "0 failed" in out
    assert "agree row by row" in out
    assert "Traceback" not in out + err
    assert list(tmp_path.iterdir()) == [], "it cleans up"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/healthz", trust_env=False)
