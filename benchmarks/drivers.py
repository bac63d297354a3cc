"""Sends the load: wrk for plain answers where it is installed, our own client for the rest."""

import http.client
import json
import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.answers import CHUNKS, REPLY, request_body
from benchmarks.load import Job
from benchmarks.peers import ROOT, Door
from benchmarks.process import Failed

_WRK_REPORT = """
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_us": %.1f, "p99_us": %.1f, "mean_us": %.1f, "errors": %d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), latency.mean,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""
_MAX_SECONDS = 60.0


@dataclass(frozen=True)
class Case:
    """One measurement: which door, how many connections, for how long."""

    door: Door
    stream: bool
    connections: int
    warmup_s: float
    seconds: float

    @property
    def body(self) -> bytes:
        """The request's body."""
        return request_body(self.door.model, stream=self.stream)

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers, but those that follow from the body."""
        return {"content-type": "application/json", **self.door.headers}


def wrk_version() -> str | None:
    """Return the version of wrk, or None where it is not installed."""
    if shutil.which("wrk") is None:
        return None
    said = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    return said.partition(" [")[0].removeprefix("wrk ").strip()


def drive(case: Case, port: int, folder: Path) -> dict[str, Any]:
    """Send one case's load, and return its figures; latencies in microseconds. Raises Failed."""
    if case.stream or wrk_version() is None:
        return _own(case, port)
    _wrk_script(case, folder)
    warm = _wrk(case, port, folder, case.warmup_s)
    # wrk starts cold and drops what is under way at the end; twenty rounds make that less than a fortieth.
    rounds_s = 20 * warm["mean_us"] / 1e6 if warm["requests"] else _MAX_SECONDS
    figures = _wrk(case, port, folder, min(_MAX_SECONDS, max(case.seconds, rounds_s)))
    return {**figures, "sent": figures["requests"] + warm["requests"], "errors": figures["errors"] + warm["errors"]}


def ask(case: Case, port: int) -> tuple[int, str]:
    """Send one request on a connection of its own; return status and body. Raises OSError or HTTPException."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", case.door.path, case.body, case.headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")


def check(case: Case, port: int) -> int:
    """Read one answer to its end, hold it against what the stub said, and count its events. Raises Failed."""
    try:
        status, body = ask(case, port)
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"a request failed: {error!r}") from error
    if status != 200:
        raise Failed(f"it answered {status}: {body[:300]}")
    if not case.stream:
        if json.loads(body)["choices"][0]["message"]["content"] != REPLY:
            raise Failed(f"the answer is not the stub's: {body[:300]}")
        return 0
    events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]
    text = "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])
    if text != "".join(f"word {i} " for i in range(CHUNKS)) or "data: [DONE]" not in body:
        raise Failed(f"the stream is not the stub's: {body[-300:]}")
    return len(events)


def _own(case: Case, port: int) -> dict[str, Any]:
    job = Job(
        port=port, path=case.door.path, headers=dict(case.door.headers), body=case.body.decode(),
        connections=case.connections, warmup_s=case.warmup_s, seconds=case.seconds, stream=case.stream,
    )  # fmt: skip
    command = (sys.executable, "-m", "benchmarks.load", json.dumps(asdict(job)))
    return _run(command, within_s=case.warmup_s + case.seconds + 30)


def _wrk_script(case: Case, folder: Path) -> None:
    headers = "".join(
        f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}\n" for name, value in case.headers.items()
    )
    script = f'wrk.method = "POST"\nwrk.body = [==[{case.body.decode()}]==]\n{headers}{_WRK_REPORT}'
    (folder / "wrk.lua").write_text(script)


def _wrk(case: Case, port: int, folder: Path, seconds: float) -> dict[str, Any]:
    # wrk takes whole seconds.
    whole = max(1, round(seconds))
    url = f"http://127.0.0.1:{port}{case.door.path}"
    command = ("wrk", "-t1", f"-c{case.connections}", f"-d{whole}s", "--timeout", "30s", "-s", "wrk.lua", url)
    return _run(command, within_s=whole + 60, folder=folder)


def _run(command: tuple[str, ...], *, within_s: float, folder: Path = ROOT) -> dict[str, Any]:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=within_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"the load did not end within {within_s:.0f} s") from error
    if done.returncode != 0:
        raise Failed(f"the load failed: {(done.stderr or done.stdout)[-600:]}")
    figures: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures
