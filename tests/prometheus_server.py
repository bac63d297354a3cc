"""A real Prometheus and a real Alertmanager on free ports, for rigs that ask them what the gateway's metrics say."""

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import orjson
from gateway_server import free_port, running_process
from programs import required

READY_S = 30
MEMORY = Path("/dev/shm")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Series:
    """One series of an answer: its labels, and ``(unix time, value)`` of every point; an instant query has one."""

    labels: dict[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def value(self) -> float:
        return self.points[-1][1]


class QueryRefused(AssertionError):
    """Prometheus did not take the query; says which, and why."""


@dataclass(frozen=True)
class RunningPrometheus:
    """Where it listens, what it writes; times are unix seconds."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]
    http: httpx.Client = field(repr=False)

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the data of an answer of /api/v1.

        Raises:
            QueryRefused: an error, in Prometheus' own words.
        """
        answer = self.http.get(f"{self.url}/api/v1/{path}", params=parameters)
        body = answer.json()
        if body["status"] != "success":
            raise QueryRefused(f"{parameters.get('query', path)}\n{body['errorType']}: {body['error']}")
        return body["data"]

    def query(self, expression: str, at: float | None = None) -> list[Series]:
        """Return the series of this moment, or of another."""
        data = self.get("query", query=expression, **({} if at is None else {"time": at}))
        if data["resultType"] == "scalar":
            return [Series({}, (_point(data["result"]),))]
        return [Series(row["metric"], (_point(row["value"]),)) for row in data["result"]]

    def query_range(self, expression: str, start: float, end: float, step_s: float = 1) -> list[Series]:
        """Return the series between two moments."""
        data = self.get("query_range", query=expression, start=start, end=end, step=step_s)
        return [Series(row["metric"], tuple(map(_point, row["values"]))) for row in data["result"]]

    def label_values(self, label: str, selector: str) -> list[str]:
        """Return the values that a label has in the series that match."""
        return list(self.get(f"label/{label}/values", **{"match[]": selector}))

    def alerts(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return the active alerts (``labels``, ``annotations``, ``state``: pending, firing), or those of one name."""
        return [a for a in self.get("alerts")["alerts"] if name in (None, a["labels"]["alertname"])]

    def broken_rules(self) -> dict[str, str]:
        """Return the rules whose last evaluation failed, and why."""
        groups = self.get("rules")["groups"]
        return {r["name"]: r["lastError"] for g in groups for r in g["rules"] if r["health"] == "err"}

    def wait_until(self, what: str, condition: Callable[[], Found], within_s: float = READY_S) -> Found:
        """Return the first answer of ``condition`` that is true; fail by the name of ``what`` after a while."""
        return _wait_until(what, condition, within_s)

    def wait_for(self, expression: str, within_s: float = READY_S) -> list[Series]:
        """Return the answer to a query as soon as there is one."""
        return _wait_until(expression, lambda: self.query(expression), within_s)


@dataclass(frozen=True)
class RunningAlertmanager:
    """Where it listens; ``address`` is what Prometheus wants."""

    address: str
    log: Path
    process: subprocess.Popen[bytes]
    http: httpx.Client = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def alerts(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return the alerts it holds, as its API v2 shows them, or those of one name."""
        rows = self.http.get(f"{self.url}/api/v2/alerts").raise_for_status().json()
        return [row for row in rows if name in (None, row["labels"]["alertname"])]

    def wait_until(self, what: str, condition: Callable[[], Found], within_s: float = READY_S) -> Found:
        """Return the first answer of ``condition`` that is true; fail by the name of ``what`` after a while."""
        return _wait_until(what, condition, within_s)


@contextlib.contextmanager
def running_prometheus(
    scrape_targets: Sequence[str],
    *,
    rule_files: Sequence[Path] = (),
    alertmanagers: Sequence[str] = (),
    bearer: str | None = None,
    interval_s: float = 1,
) -> Iterator[RunningPrometheus]:
    """Start a Prometheus that scrapes these ``host:port`` (each an ``instance``) and evaluates rules at every interval.

    What it keeps lives in memory, where the machine has such a place, and is gone at the end.
    """
    program, port, interval = required("prometheus"), free_port(), f"{round(interval_s * 1000)}ms"
    job: dict[str, Any] = {"job_name": "understudy", "static_configs": [{"targets": list(scrape_targets)}]}
    if bearer is not None:
        job["authorization"] = {"credentials": bearer}
    config = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [str(file.resolve()) for file in rule_files],
        "scrape_configs": [job],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]},
    }
    with _directory() as state, httpx.Client(trust_env=False, timeout=30) as http:
        (state / "prometheus.yml").write_bytes(orjson.dumps(config))  # JSON is YAML
        command = [program, f"--config.file={state / 'prometheus.yml'}", f"--storage.tsdb.path={state / 'data'}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--web.enable-lifecycle"]
        command += ["--rules.alert.resend-delay=1s", "--rules.alert.for-grace-period=0s", "--log.level=warn"]
        with running_process(command, state / "prometheus.log", ends_in_s=10) as process:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(f"{url}/-/ready", process, state / "prometheus.log", http)
            yield RunningPrometheus(url, state / "prometheus.log", process, http)


@contextlib.contextmanager
def running_alertmanager(config: dict[str, Any]) -> Iterator[RunningAlertmanager]:
    """Start an Alertmanager, alone, with this configuration (the file's content, as Python values)."""
    program, port = required("prometheus-alertmanager"), free_port()
    with _directory() as state, httpx.Client(trust_env=False, timeout=30) as http:
        (state / "alertmanager.yml").write_bytes(orjson.dumps(config))
        command = [program, f"--config.file={state / 'alertmanager.yml'}", f"--storage.path={state / 'data'}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", "--log.level=warn"]
        with running_process(command, state / "alertmanager.log", ends_in_s=10) as process:
            _wait_until_ready(f"http://127.0.0.1:{port}/-/ready", process, state / "alertmanager.log", http)
            yield RunningAlertmanager(f"127.0.0.1:{port}", state / "alertmanager.log", process, http)


def _point(pair: Sequence[Any]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    parent = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="understudy-watch-", dir=parent, ignore_cleanup_errors=True) as directory:
        yield Path(directory)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path, http: httpx.Client) -> None:
    def is_ready() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"it ended with {process.returncode}:\n{log.read_text()}")
        with contextlib.suppress(httpx.TransportError):
            return http.get(url).status_code == 200
        return False

    _wait_until(f"an answer of {url}", is_ready, READY_S)


def _wait_until(what: str, condition: Callable[[], Found], within_s: float) -> Found:
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what} (last seen: {found!r})")
        time.sleep(0.1)
    return found
