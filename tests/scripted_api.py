"""A provider's management API that answers as it is told: fixed answers by path, and a record of what was asked."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from small_server import Answered, Asked, small_server

Answer = tuple[int, Any]
"""A status, and a body: bytes as they stand, anything else as JSON."""


@dataclass
class ScriptedApi:
    """``answers`` are by path, with its query where only that page is meant; everything else is a 404."""

    answers: Mapping[str, Answer]
    port: int = 0
    asked: list[str] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


@contextmanager
def scripted_api(answers: Mapping[str, Answer]) -> Iterator[ScriptedApi]:
    """Serve in a thread; nothing is left running after."""
    api = ScriptedApi(answers)

    def answer(asked: Asked) -> Answered:
        path = asked.path.removeprefix("/v1")
        api.asked.append(path)
        api.keys.add(asked.headers.get("authorization", asked.headers.get("api-key", "")))
        missing = (404, {"error": {"message": "Not found"}})
        return Answered(*(api.answers.get(path) or api.answers.get(path.partition("?")[0]) or missing))

    with small_server(answer) as api.port:
        yield api


def listing(*rows: Any, has_more: bool = False) -> dict[str, Any]:
    return {"object": "list", "data": list(rows), "has_more": has_more}


def a_model(model: str, **fields: Any) -> dict[str, Any]:
    return {"id": model, "object": "model", "created": 1769558400} | fields


def a_job(number: int, model: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"ftjob-{number}",
        "object": "fine_tuning.job",
        "model": model.split(":")[1] if model.startswith("ft:") else "gpt-4o-mini-2024-07-18",
        "fine_tuned_model": model,
        "status": "succeeded",
        "created_at": 1769550000,
        "finished_at": 1769558400,
        "trained_tokens": 12345,
        "training_file": f"file-{number}",
        "hyperparameters": {"n_epochs": 3},
        "user_provided_suffix": None,
    } | fields


def failure(code: str, message: str = "no") -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
