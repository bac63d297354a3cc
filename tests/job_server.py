"""An API for fine-tuning jobs whose answers go wrong as it is told: it counts what really happened, as a bill would."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from small_server import Answered, Asked, small_server

from gateway.providers.job_apis import JOB_APIS, JobApi

KEY = "sk-very-secret-0123456789abcdef"
_FILENAME = re.compile(rb'filename="([^"]+)"')


@dataclass
class Fault:
    """How one answer goes wrong: ``status`` 0 closes the connection; ``done``: what was asked is done all the same."""

    status: int = 500
    done: bool = False
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class JobServer:
    """``faults`` are by method and the path's last words (``POST files``), used up one after the other."""

    api: JobApi
    statuses: list[str] = field(default_factory=lambda: ["validating_files", "queued", "running", "succeeded"])
    """What each look at a job finds, the last one for ever."""
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    port: int = 0
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Name and form by id."""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    closed: bool = False
    hides_files: int = 0
    """So many lists lack the newest file and the newest job."""
    file_statuses: list[str] = field(default_factory=list)
    """What looks at files find, before they are processed."""
    job_error: Any = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def uploads(self) -> list[str]:
        return [name for name, _ in self.files.values()]

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Do what is asked."""
        path, _, _ = path.removeprefix("/v1").partition("?")
        if method == "POST" and path == self.api.upload_path:
            return self._upload(body)
        if path == self.api.files_path:
            rows = [{"id": identity, "filename": name} for identity, (name, _) in self.files.items()]
            return 200, {"data": self._shown(rows), "has_more": False}
        if method == "DELETE":
            identity = path.rpartition("/")[2]
            gone = self.files.pop(identity, None) is None
            return (404, _error("no such file", None)) if gone else (200, {"id": identity, "deleted": True})
        if path.startswith(f"{self.api.files_path}/"):
            status = self.file_statuses.pop(0) if self.file_statuses else "processed"
            return 200, {"id": path.rpartition("/")[2], "status": status}
        if path == self.api.jobs_path:
            return self._create(json.loads(body)) if method == "POST" else self._list()
        identity, _, action = path.removeprefix(f"{self.api.jobs_path}/").partition("/")
        if identity not in self.jobs:
            return 404, _error("no such job", "not_found")
        if action == "cancel":
            cancelled = {word for word, state in self.api.words.items() if state.value == "cancelled"}
            self.jobs[identity]["statuses"] = sorted(cancelled)[:1]
        if action == "events":
            return 200, {"data": [{"message": f"look {self.looks.get(identity, 0)}", "created_at": 1, "level": "info"}]}
        return 200, self._look(identity)

    def _upload(self, body: bytes) -> tuple[int, Any]:
        found = _FILENAME.search(body)
        assert found is not None, "a form without a file"
        identity = f"file-{len(self.files) + 1}"
        self.files[identity] = (found[1].decode(), body)
        return 200, {"id": identity, "filename": found[1].decode()}

    def _create(self, body: dict[str, Any]) -> tuple[int, Any]:
        if self.closed:
            return 403, _error("not for this organisation", "training_not_available")
        files = body.get("training_files")
        training = files[0]["file_id"] if files else body["training_file"]
        if training not in self.files:
            return 400, _error(f"invalid training_file: {training}", None)
        identity = f"job-{len(self.jobs) + 1}"
        self.jobs[identity] = {"asked": body, "training": training, "statuses": list(self.statuses)}
        return 200, self._row(identity, self.statuses[0])

    def _list(self) -> tuple[int, Any]:
        rows = [self._row(identity, job["statuses"][0]) for identity, job in self.jobs.items()]
        return 200, {"data": self._shown(rows), "has_more": False}

    def _shown(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if self.hides_files and rows:
            self.hides_files -= 1
            return rows[:-1]
        return rows

    def _look(self, identity: str) -> dict[str, Any]:
        statuses = self.jobs[identity]["statuses"]
        look = self.looks.get(identity, 0)
        self.looks[identity] = look + 1
        return self._row(identity, statuses[min(look, len(statuses) - 1)])

    def _row(self, identity: str, status: str) -> dict[str, Any]:
        training = self.jobs[identity]["training"]
        state = self.api.words.get(status.lower())
        has_ended = state is not None and state.value == "succeeded"
        return {
            "id": identity,
            "status": status,
            **({"training_files": [training]} if self.api.file_lists else {"training_file": training}),
            self.api.model_fields[0]: f"ft:base:{identity}" if has_ended else None,
            self.api.tokens_field: 12_345 if has_ended else None,
            **({self.api.price_field: 7_000_000 if has_ended else None} if self.api.price_field else {}),
            "error": self.job_error if state is not None and state.value == "failed" else None,
        }

    def fault(self, method: str, path: str) -> Fault | None:
        """Take the next fault of an answer, if there is one."""
        bare = path.partition("?")[0].removeprefix("/v1")
        names = (f"{method} {self.api.jobs_path}/*", f"{method} {bare}", f"{method} *")
        if bare.startswith(f"{self.api.jobs_path}/") and not bare.endswith(("/cancel", "/events")):
            names = (names[0], *names[1:])
        else:
            names = names[1:]
        return next((self.faults[name].pop(0) for name in names if self.faults.get(name)), None)


def _error(message: str, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


@contextmanager
def running_job_server(kind: str = "openai", **settings: Any) -> Iterator[JobServer]:
    """Serve in a thread; nothing is left running after."""
    server = JobServer(JOB_APIS[kind], **settings)

    def answer(asked: Asked) -> Answered | None:
        server.asked.append(f"{asked.method} {asked.path}")
        fault = server.fault(asked.method, asked.path)
        status, body = (0, None)
        if fault is None or fault.done:
            status, body = server.answer(asked.method, asked.path, asked.body)
        if fault is not None:
            status, body = fault.status, fault.body if fault.body is not None else _error("it failed", None)
        return Answered(status, body, fault.headers if fault else {}) if status else None

    with small_server(answer) as server.port:
        yield server
