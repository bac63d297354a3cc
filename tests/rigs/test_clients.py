"""Real clients, each in an environment of its own, against a real gateway and the sandbox behind it.

What a client does stands in ``tests/clients``: programs that know only an address and a key, as applications do.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from client_environments import CLIENTS, node_of, python_of
from gateway_server import free_port, running_gateway
from sandbox_server import fast_catalogue, running_sandbox

pytestmark = pytest.mark.rig

IN_PYTHON = ("openai-python", "langchain-openai", "pydantic-ai", "instructor", "llama-index")
IN_JAVASCRIPT = ("openai-node", "ai-sdk")
KEY = "the-gateway's-own"
FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
FAULTS = ("fault-stall", "fault-cut", "fault-429", "fault-5xx")
PATIENCE_S = 150


@dataclass(frozen=True)
class Case:
    """One test case of a client, as its test runner reports it."""

    name: str
    problem: str | None
    skipped: str | None


def write_routes(directory: Path, sandbox_url: str) -> Path:
    """Write the routes that every client finds: good ones, and one for each way to fail."""
    provider = {"kind": "sandbox", "base_url": sandbox_url}
    alone: dict[str, Any] = {"provider": "sandbox", "fallbacks": []}
    routes = {
        "version": 1,
        "providers": {"sandbox": provider, "nowhere": {**provider, "base_url": f"http://127.0.0.1:{free_port()}/v1"}},
        "fallbacks": {
            "luna": {
                "provider": "sandbox",
                "model": "gpt-6-luna",
                "prompt": {"instructions": "Answer as the community team of Acme would."},
            }
        },
        "routes": {
            "chat": {"provider": "sandbox", "primary": FINE_TUNE, "fallbacks": ["luna"]},
            "embeddings": {**alone, "primary": "text-embedding-3-small"},
            **{fault: {**alone, "primary": fault} for fault in FAULTS},
            # A route may be named after its model: clients that look at the name find what they asked for.
            "gpt-6-luna": {**alone, "primary": "gpt-6-luna"},
            "gone": {**alone, "primary": "ft:gpt-4o-mini-2024-07-18:acme:deleted:Z9y8X7w6"},
            "unreachable": {"provider": "nowhere", "fallbacks": [], "primary": "somebody"},
        },
    }
    path = directory / "routes.yaml"
    path.write_text(json.dumps(routes))
    return path


@pytest.fixture
def surroundings(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What a client is told by its environment; a gateway of its own, since faults are remembered."""
    with running_sandbox(catalogue=fast_catalogue(datetime.now(UTC))) as sandbox:
        routes = write_routes(tmp_path, sandbox.base_url)
        with running_gateway(routes, tmp_path, GATEWAY_KEY=KEY) as gateway:
            ours = ("GATEWAY_", "OPENAI_", "PYTHON", "NODE_", "PYTEST_")
            clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
            told = {"BASE_URL": gateway.v1, "API_KEY": KEY, "SANDBOX_URL": sandbox.url}
            yield clean | told | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONDONTWRITEBYTECODE": "1"}


def ran(command: list[str | Path], cwd: Path, environ: dict[str, str], report: Path) -> list[Case]:
    """Run a client's program, and return the cases of its report."""
    done = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    said = f"{done.stdout}\n{done.stderr}"
    assert report.exists() and report.stat().st_size, f"the client's program ended with {done.returncode}:\n{said}"
    cases = [_case(element) for element in ElementTree.parse(report).iter("testcase")]
    assert (done.returncode == 0) == all(case.problem is None for case in cases), said
    assert any(case.skipped is None for case in cases), f"the client did nothing:\n{said}"
    return cases


def _case(element: ElementTree.Element) -> Case:
    problems = [*element.findall("failure"), *element.findall("error")]
    skipped = element.find("skipped")
    return Case(
        name=element.get("name", ""),
        problem=problems[0].text or problems[0].get("message") if problems else None,
        skipped=None if skipped is None else skipped.get("message") or "without a reason",
    )


def report_each(cases: list[Case], subtests: pytest.Subtests) -> None:
    for case in cases:
        with subtests.test(case.name):
            if case.problem is not None:
                pytest.fail(case.problem, pytrace=False)
            if case.skipped is not None:
                pytest.skip(case.skipped)


@pytest.mark.parametrize("client", IN_PYTHON)
def test_a_client_in_python_finds_what_it_expects(
    client: str, surroundings: dict[str, str], tmp_path: Path, subtests: pytest.Subtests
) -> None:
    python, report = python_of(client), tmp_path / "report.xml"
    command = [python, "-m", "pytest", "-c", CLIENTS / "pytest.ini", f"--junitxml={report}", CLIENTS / client]
    report_each(ran(command, CLIENTS, surroundings, report), subtests)


@pytest.mark.parametrize("client", IN_JAVASCRIPT)
def test_a_client_in_javascript_finds_what_it_expects(
    client: str, surroundings: dict[str, str], tmp_path: Path, subtests: pytest.Subtests
) -> None:
    node, environment = node_of(client)
    report = tmp_path / "report.xml"
    # Imports are looked up from where a program stands, and that is where its modules are.
    programs = [shutil.copy(program, environment) for program in sorted(CLIENTS.joinpath(client).glob("*.mjs"))]
    programs += [shutil.copy(program, environment) for program in sorted(CLIENTS.joinpath("node").glob("*.mjs"))]
    cases = [program for program in programs if Path(program).name.startswith("cases")]
    command = [
        node,
        "--test",
        "--test-concurrency=1",
        "--test-reporter=junit",
        f"--test-reporter-destination={report}",
        *cases,
    ]
    report_each(ran(command, environment, surroundings, report), subtests)
