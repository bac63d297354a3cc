"""What every client in Python is given. It runs in the client's environment, so it imports nothing of the gateway."""

import json
import os
import time
from collections.abc import Callable
from typing import Any
from urllib.request import Request, urlopen

import pytest

PATIENCE_S = 5.0
RETURN_S = 60.0


class Provider:
    """The provider behind the gateway, seen from the other side."""

    def __init__(self, url: str) -> None:
        self._url = url

    def retire(self, model: str) -> None:
        self._call(f"models/{model}/retire", {})

    def restore(self, model: str, noticed: Callable[[], bool]) -> None:
        """Bring a model back, and wait until the gateway has noticed."""
        self._call(f"models/{model}/restore", {})
        deadline = time.monotonic() + RETURN_S
        while not noticed():
            assert time.monotonic() < deadline, f"the model was not found again within {RETURN_S:g} s"
            time.sleep(0.02)

    def calls(self) -> int:
        """How many calls have arrived and ended until now."""
        return int(self._call("bill?since=1000000000")["next"])

    def call_after(self, number: int) -> dict[str, Any]:
        """Wait until another call has ended, and return its row of the bill."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            rows = self._call(f"bill?since={number}")["rows"]
            if rows:
                return dict(rows[0])
            time.sleep(0.01)
        raise AssertionError(f"the upstream call did not end within {PATIENCE_S:g} s")

    def _call(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(f"{self._url}/sandbox/{path}", data, {"content-type": "application/json"})) as answer:
            return json.load(answer)


@pytest.fixture(scope="session")
def base_url() -> str:
    return os.environ["BASE_URL"]


@pytest.fixture(scope="session")
def api_key() -> str:
    return os.environ["API_KEY"]


@pytest.fixture(scope="session")
def provider() -> Provider:
    return Provider(os.environ["SANDBOX_URL"])
