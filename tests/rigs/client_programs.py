"""The programs of clients (``tests/clients``), run in their environments: what they are told, and what they report."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
from client_environments import CLIENTS, node_of, python_of

IN_PYTHON = ("openai-python", "langchain-openai", "pydantic-ai", "instructor", "llama-index")
IN_JAVASCRIPT = ("openai-node", "ai-sdk")
KEY = "the-gateway's-own"
PATIENCE_S = 150


@dataclass(frozen=True)
class Case:
    """One test case of a client, as its test runner reports it."""

    name: str
    problem: str | None
    skipped: str | None


def told(*, gateway: str, sandbox: str) -> dict[str, str]:
    """Return the environment of a client: an address, a key, and where the provider behind it takes commands."""
    ours = ("GATEWAY_", "OPENAI_", "PYTHON", "NODE_", "PYTEST_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    here = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONDONTWRITEBYTECODE": "1"}
    return clean | {"BASE_URL": gateway, "API_KEY": KEY, "SANDBOX_URL": sandbox} | here


def prepare(client: str) -> None:
    """Make a client's environment now, for tests in which time matters later."""
    if client in IN_JAVASCRIPT:
        node_of(client)
    else:
        python_of(client)


def run(client: str, programs: str, environ: dict[str, str], directory: Path) -> list[Case]:
    """Run those of a client's programs whose names begin with ``programs``; return the cases of their report."""
    report = directory / "report.xml"
    command = (_in_node if client in IN_JAVASCRIPT else _in_pytest)(client, programs, report)
    done = subprocess.run(
        command, cwd=CLIENTS, env=environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    said = f"{done.stdout}\n{done.stderr}"
    assert report.exists() and report.stat().st_size, f"the client's program ended with {done.returncode}:\n{said}"
    cases = [_case(element) for element in ElementTree.parse(report).iter("testcase")]
    assert (done.returncode == 0) == all(case.problem is None for case in cases), said
    assert any(case.skipped is None for case in cases), f"the client did nothing:\n{said}"
    return cases


def report_each(cases: list[Case], subtests: pytest.Subtests) -> None:
    """Let each of a client's cases pass, fail or be skipped here as it did there."""
    for case in cases:
        with subtests.test(case.name):
            if case.problem is not None:
                pytest.fail(case.problem, pytrace=False)
            if case.skipped is not None:
                pytest.skip(case.skipped)


def _in_pytest(client: str, programs: str, report: Path) -> list[str | Path]:
    found = sorted(CLIENTS.joinpath(client).glob(f"{programs}*.py"))
    return [python_of(client), "-m", "pytest", "-c", CLIENTS / "pytest.ini", f"--junitxml={report}", *found]


def _in_node(client: str, programs: str, report: Path) -> list[str | Path]:
    node, environment = node_of(client)
    # Imports are looked up from where a program stands, so that is where its modules must be.
    place = report.parent / "programs"
    place.mkdir()
    (place / "node_modules").symlink_to(environment / "node_modules")
    for program in (*CLIENTS.joinpath(client).glob("*.mjs"), *CLIENTS.joinpath("node").glob("*.mjs")):
        shutil.copy(program, place)
    reporter = ["--test-reporter=junit", f"--test-reporter-destination={report}"]
    return [node, "--test", "--test-concurrency=1", *reporter, *sorted(place.glob(f"{programs}*.mjs"))]


def _case(element: ElementTree.Element) -> Case:
    problems = [*element.findall("failure"), *element.findall("error")]
    skipped = element.find("skipped")
    return Case(
        name=element.get("name", ""),
        problem=problems[0].text or problems[0].get("message") if problems else None,
        skipped=None if skipped is None else skipped.get("message") or "without a reason",
    )
