"""The README is true: every snippet is run, in order, against a gateway and a sandbox of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from gateway_server import ROOT, running_gateway
from sandbox_server import fast_catalogue, running_sandbox

from gateway.clock import SystemClock

pytestmark = pytest.mark.rig
CALENDAR = (ROOT / "docs" / "calendar.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPET = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MAKES_THE_GATEWAY = ("make demo", "make run", "make test")
DIES = "because: suspect · attempts: 2 ·"
KNOWN_TO_BE_DEAD = "because: gone · attempts: 1 ·"
"""Also true of the request after a model was retired: on a slow machine the calendar's look at the list comes first."""


@dataclass(frozen=True)
class Place:
    """Where snippets run: a directory, and the ports that stand for 8080 and 8081."""

    directory: Path
    gateway: str
    sandbox: str
    database: Path
    environ: dict[str, str]

    def localised(self, text: str) -> str:
        text = text.replace("http://127.0.0.1:8080", self.gateway).replace("http://127.0.0.1:8081", self.sandbox)
        # In the README `try` asks the default port, and `report` reads the default database.
        text = re.sub(r"^gateway try", f"gateway try --url {self.gateway}/v1", text, flags=re.MULTILINE)
        # What applications said is in the gateway's own; `record` and `pack` work beside it.
        marks = r"^gateway (?:dataset|tune|promote|evaluate \S+ --version)\b[^|]*"
        text = re.sub(marks, lambda found: f"{found[0].rstrip()} --database sqlite:///{self.database} ", text)
        # And it looks back from today, which is the gateway's own where the suite runs in another year.
        today = f"PYTHONPATH={os.environ.get('PYTHONPATH', ROOT)}"
        return re.sub(
            r"^gateway report", f"{today} gateway report --database sqlite:///{self.database}", text, flags=re.MULTILINE
        )

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.localised(command)],
            cwd=self.directory,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout


def snippets(language: str, document: str = README) -> list[str]:
    return [body for found, body in SNIPPET.findall(document) if found == language]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("readme")
    commands = directory / "bin"
    commands.mkdir()
    (commands / "gateway").write_text(f'#!/bin/sh\nexec {sys.executable} -m gateway "$@"\n')
    (commands / "gateway").chmod(0o755)
    for name in ("prompts", "schemas"):
        (directory / name).symlink_to(ROOT / name)
    with running_sandbox(catalogue=fast_catalogue(SystemClock().now())) as sandbox:
        routes = directory / "routes.yaml"
        routes.write_text((ROOT / "routes.yaml").read_text().replace("http://127.0.0.1:8081", sandbox.url))
        with running_gateway(routes, directory) as gateway:
            path = f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}"
            environ = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
            (example,) = snippets("yaml")
            (directory / "my-routes.yaml").write_text(example)
            yield Place(directory, gateway.url, sandbox.url, gateway.database, environ)


@pytest.mark.parametrize("snippet", snippets("console"), ids=lambda body: body.splitlines()[0])
def test_a_shown_session_happens_as_it_is_shown(place: Place, snippet: str) -> None:
    exported = ""
    for command, expected in sessions(snippet):
        if command.startswith("export "):
            # Each command has a shell of its own.
            exported += command + "\n"
        shown = place.run(exported + command)
        # stdout and stderr come in the order of a terminal only by chance: every part must be there.
        for line in (part for part in expected.splitlines() if part.strip(" …")):
            for part in line.split("…"):
                printed = " ".join(shown.split()).replace(KNOWN_TO_BE_DEAD, DIES if DIES in part else KNOWN_TO_BE_DEAD)
                assert " ".join(part.split()) in printed, f"{part!r} is not in\n{shown}"


@pytest.mark.parametrize("snippet", snippets("sh", README + CALENDAR), ids=lambda body: body.splitlines()[0][:60])
def test_a_command_works(place: Place, snippet: str) -> None:
    if snippet.startswith(MAKES_THE_GATEWAY):
        target = snippet.split()[1]
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return
    place.run(snippet)


@pytest.mark.parametrize("snippet", snippets("python"), ids=lambda body: body.splitlines()[0])
def test_a_program_works(place: Place, snippet: str) -> None:
    program = place.directory / "program.py"
    program.write_text(place.localised(snippet))
    assert place.run(f"{sys.executable} {program}").strip()


def sessions(snippet: str) -> Iterator[tuple[str, str]]:
    """Split a shown session into commands and what each is shown to print."""
    for part in re.split(r"^\$ ", snippet, flags=re.MULTILINE)[1:]:
        # A command goes on where its line ends with a backslash.
        command, expected = re.split(r"(?<!\\)\n", part, maxsplit=1)
        yield command, expected


def test_the_figures_are_those_of_the_latest_run() -> None:
    script = ROOT / "benchmarks" / "readme.py"
    assert subprocess.run([sys.executable, str(script), "--check"], check=False, timeout=30).returncode == 0
