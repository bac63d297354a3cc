"""Alerts as people get them: the shipped rules in a real Prometheus, the shipped example in a real Alertmanager."""

import contextlib
import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from gateway_server import ROOT, free_port, running_process, wait_until_ready
from programs import required
from prometheus_server import RunningPrometheus, running_alertmanager, running_prometheus
from sandbox_server import fast_catalogue, running_sandbox

from gateway.clock import SystemClock

RULES = ROOT / "helm" / "files" / "rules"
EXAMPLE = ROOT / "helm" / "files" / "alertmanager-example.yaml"
FORUM = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
SPEED = 5
"""A model that is back is believed after two minutes; here after 24 s."""
HURRIED = ("routes.yaml", "calendar.yaml")
"""Whose alerts wait for seconds instead of minutes and hours. Expressions and all other files are as they ship."""
PATIENCE_S = 60


def hurried_rules(directory: Path) -> list[Path]:
    """Copy the shipped rules; of two files each ``for:`` becomes two seconds, and nothing else is touched."""
    copies = []
    for file in sorted(RULES.glob("*.yaml")):
        text = file.read_text(encoding="utf-8")
        if file.name in HURRIED:
            text, changed = re.subn(r"(?m)^(        for: )\w+$", r"\g<1>2s", text)
            assert changed == text.count(" for: ") > 3
            assert without_for(text) == without_for(file.read_text(encoding="utf-8"))
        copy = directory / file.name
        copy.write_text(text, encoding="utf-8")
        copies.append(copy)
    return copies


def without_for(text: str) -> list[dict[str, Any]]:
    """The rules of a file, but for how long they wait."""
    groups = yaml.safe_load(text)["groups"]
    return [{key: value for key, value in rule.items() if key != "for"} for group in groups for rule in group["rules"]]


def hurried_example(receiver_port: int) -> dict[str, Any]:
    """The shipped example, with its waits cut to a second and its receivers at the test's port."""
    text = EXAMPLE.read_text(encoding="utf-8")
    text, waits = re.subn(r"(group_wait|group_interval): \w+", r"\1: 1s", text)
    text, urls = re.subn(r"http://alerts\.example/", f"http://127.0.0.1:{receiver_port}/", text)
    assert (waits, urls) == (3, 4)
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


@dataclass
class Receiver:
    """What arrived: ``(receiver, message)`` in order."""

    port: int
    arrived: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def messages(self, receiver: str, status: str, alert: str) -> list[dict[str, Any]]:
        """The messages to a receiver in which an alert of this name has this status."""
        return [
            message
            for to, message in list(self.arrived)
            if to == receiver and any(named(each, alert) and each["status"] == status for each in message["alerts"])
        ]


def named(alert: dict[str, Any], pattern: str) -> bool:
    return re.fullmatch(pattern, alert["labels"]["alertname"]) is not None


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """Take Alertmanager's messages on a free port."""
    found = Receiver(0)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["content-length"])))
            found.arrived.append((self.path.removeprefix("/"), message))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextlib.contextmanager
def quick_gateway(sandbox_port: int, directory: Path) -> Iterator[str]:
    """Start the repository's own routes.yaml in a gateway whose clock runs faster; yields its address."""
    for name in ("prompts", "schemas"):
        (directory / name).symlink_to(ROOT / name)
    text = (ROOT / "routes.yaml").read_text(encoding="utf-8").replace("127.0.0.1:8081", f"127.0.0.1:{sandbox_port}")
    (directory / "routes.yaml").write_text(text, encoding="utf-8")
    port, log = free_port(), directory / "gateway.log"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")} | {
        "PYTHONPATH": str(ROOT),
        "GATEWAY_ROUTES_FILE": str(directory / "routes.yaml"),
        "GATEWAY_DATABASE_URL": f"sqlite+aiosqlite:///{directory / 'ledger.db'}",
        "GATEWAY_PORT": str(port),
    }
    program = Path(__file__).with_name("quick_gateway.py")
    with running_process([sys.executable, str(program), str(SPEED)], log, environ) as process:
        wait_until_ready(f"http://127.0.0.1:{port}", process, log)
        yield f"127.0.0.1:{port}"


class Callers:
    """A steady caller of every route, who notes who answered and what failed."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/v1/chat/completions"
        self._stop = threading.Event()
        self.answers: list[tuple[str, str]] = []
        self.failures: list[str] = []

    def call(self) -> None:
        with httpx.Client(trust_env=False, timeout=PATIENCE_S) as http:
            while not self._stop.wait(0.05):
                route = ("forum-reply", "ticket-triage", "invoice-extract")[len(self.answers) % 3]
                body = {"model": route, "messages": [{"role": "user", "content": "The parcel has not arrived."}]}
                answer = http.post(self._url, json=body)
                self.answers.append((route, answer.headers.get("x-gateway-served-by", "")))
                if answer.status_code != 200:
                    self.failures.append(f"{route}: {answer.status_code} {answer.text}")

    def since(self, count: int, route: str) -> set[str]:
        """Who has answered a route after so many answers of all."""
        return {served_by for asked, served_by in self.answers[count:] if asked == route}

    def stop(self) -> None:
        self._stop.set()


@contextlib.contextmanager
def calling(address: str) -> Iterator[Callers]:
    """Call all the time."""
    callers = Callers(address)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(callers.call)
        try:
            yield callers
        finally:
            callers.stop()
            done.result(PATIENCE_S)


def command(sandbox_url: str, model: str, action: str) -> None:
    httpx.post(f"{sandbox_url}/sandbox/models/{model}/{action}", json={}, trust_env=False).raise_for_status()


def firing(prometheus: RunningPrometheus) -> set[str]:
    return {alert["labels"]["alertname"] for alert in prometheus.alerts() if alert["state"] == "firing"}


@pytest.mark.rig
def test_a_model_dies_its_alerts_arrive_and_they_are_resolved_when_it_is_back(tmp_path: Path) -> None:
    required("prometheus")
    (tmp_path / "rules").mkdir()
    catalogue = fast_catalogue(SystemClock().now())
    with (
        running_sandbox(catalogue=catalogue) as sandbox,
        quick_gateway(sandbox.port, tmp_path) as address,
        receiving() as receiver,
        running_alertmanager(hurried_example(receiver.port)) as alertmanager,
        running_prometheus(
            [address], rule_files=hurried_rules(tmp_path / "rules"), alertmanagers=[alertmanager.address]
        ) as prometheus,
        calling(address) as callers,
    ):
        prometheus.wait_until("the bases' alerts arrive", lambda: len(notices_of_bases(receiver)) == 2, PATIENCE_S)
        the_bases_notices_are_one_message_each(receiver)
        prometheus.wait_for('gateway_route_answers_total{route="forum-reply",intended="true"} > 0', PATIENCE_S)
        assert not firing(prometheus) - {"ModelStopsIn90Days"}, "nothing has happened yet"

        command(sandbox.url, FORUM, "retire")
        lost = prometheus.wait_until(
            "the model's loss arrives", lambda: receiver.messages("tickets", "firing", "ModelAvailabilityLost"), 60
        )
        moved = prometheus.wait_until(
            "the route's fallback arrives", lambda: receiver.messages("tickets", "firing", "FallbackActiveLong"), 60
        )
        the_messages_say_what_to_do(lost[0]["alerts"][0], moved[0]["alerts"][0])
        count = len(callers.answers)
        prometheus.wait_until(
            "the fallback answers", lambda: "fallback" in callers.since(count, "forum-reply"), PATIENCE_S
        )

        command(sandbox.url, FORUM, "restore")
        for name in ("ModelAvailabilityLost", "FallbackActiveLong"):
            prometheus.wait_until(
                f"{name} is resolved", lambda name=name: receiver.messages("tickets", "resolved", name), PATIENCE_S
            )
        count = len(callers.answers)
        prometheus.wait_until(
            "the primary answers", lambda: "primary" in callers.since(count, "forum-reply"), PATIENCE_S
        )
        assert prometheus.broken_rules() == {}
        assert not firing(prometheus) - {"ModelStopsIn90Days"}

    assert callers.failures == []
    assert callers.since(0, "ticket-triage") == {"primary"}
    assert [to for to, _ in receiver.arrived if to == "on-call"] == [], "nobody is woken for what callers do not notice"


def notices_of_bases(receiver: Receiver) -> list[dict[str, Any]]:
    return receiver.messages("calendar", "firing", "ModelStopsIn90Days")


def the_bases_notices_are_one_message_each(receiver: Receiver) -> None:
    """Three routes on two bases that stop on one day: two messages, one alert each."""
    by_base = {message["groupLabels"]["base"]: message["alerts"] for message in notices_of_bases(receiver)}
    assert set(by_base) == {"gpt-4o-mini-2024-07-18", "gpt-4.1-mini-2025-04-14"}
    [alert] = by_base["gpt-4.1-mini-2025-04-14"]
    assert "invoice-extract (billing), ticket-triage (support)" in alert["annotations"]["description"]
    assert alert["annotations"]["summary"].endswith(": 2 routes")
    assert alert["annotations"]["what_to_type"] == "gateway impact --base gpt-4.1-mini-2025-04-14"


def the_messages_say_what_to_do(lost: dict[str, Any], moved: dict[str, Any]) -> None:
    assert lost["labels"]["model"] == FORUM
    assert "forum-reply (as primary)" in lost["annotations"]["description"]
    assert moved["labels"]["route"] == "forum-reply"
    assert moved["labels"]["owner"] == "support"
    assert moved["labels"]["reason"] in {"suspect", "gone"}
    assert moved["annotations"]["what_to_type"] == "gateway explain --route forum-reply"
    assert moved["annotations"]["runbook"] == "docs/runbook.md#fallbackactivelong"
    for alert in (lost, moved):
        texts = " ".join(alert["annotations"].values())
        assert "error" not in texts
        assert "<no value>" not in texts
