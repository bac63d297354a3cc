"""`gateway record` against a real sandbox, with what every run of it needs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import Ran, Run
from recorded_routes import write_inputs, write_routes
from sandbox_server import RunningSandbox, fast_catalogue, running_sandbox

from gateway.clock import SystemClock

INPUTS = 12
FAST = ("--rate", "1000")


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(catalogue=fast_catalogue(SystemClock().now())) as running:
        yield running


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'state.db'}"


class Recording:
    """Runs the command with everything that every run needs."""

    def __init__(self, run: Run, directory: Path, sandbox: RunningSandbox, database: str) -> None:
        self._run, self._sandbox, self._database = run, sandbox, database
        self.routes = write_routes(directory, sandbox.base_url)
        self.inputs = write_inputs(directory / "inputs.jsonl", INPUTS)

    def __call__(self, *arguments: str | Path) -> Ran:
        return self._run("record", *arguments, "--routes", self.routes, "--database", self._database)

    def of_file(self, *arguments: str | Path) -> Ran:
        return self("forum-reply", "--inputs", self.inputs, *FAST, *arguments)

    @property
    def bill(self) -> list[Any]:
        return self._sandbox.sandbox.provider.bill.rows()


@pytest.fixture
def record(run: Run, tmp_path: Path, sandbox: RunningSandbox, database: str) -> Recording:
    return Recording(run, tmp_path, sandbox, database)
