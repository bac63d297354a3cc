import json
import sqlite3
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from command_line import Run

from tests.example_routes import BASE, FINE_TUNE
from tests.fake_clock import FakeClock
from tests.sandbox_server import RunningSandbox, running_sandbox


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(clock=FakeClock()) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox: RunningSandbox) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("AZURE_KEY", raising=False)
    return write_routes(tmp_path, sandbox)


def write_routes(directory: Path, sandbox: RunningSandbox, **more: dict[str, Any]) -> Path:
    providers = {"here": {"kind": "sandbox", "base_url": sandbox.base_url}, **more}
    file = directory / "routes.yaml"
    file.write_text(
        json.dumps(
            {
                "version": 1,
                "providers": providers,
                "fallbacks": {"luna": {"provider": "here", "model": "gpt-6-luna", "prompt": {"instructions": "Hi."}}},
                "defaults": {"provider": "here", "fallbacks": ["luna"]},
                "routes": {"forum-reply": FINE_TUNE},
            }
        )
    )
    return file


def command(sandbox: RunningSandbox, model: str, day: str | None) -> None:
    assert httpx.post(f"{sandbox.url}/sandbox/models/{model}", json={"shutdown_date": day}).status_code == 200


def test_the_first_refresh_makes_the_database_and_the_next_tells_what_changed(
    run: Run, sandbox: RunningSandbox, tmp_path: Path
) -> None:
    ran = run("lifecycle", "refresh")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("here  read: ")
    assert ran.out.endswith("5 dates known, asked for the first time\n")

    command(sandbox, FINE_TUNE, None)
    command(sandbox, BASE, "2027-02-01")
    command(sandbox, "gpt-6-luna", "2027-06-01")
    ran = run("lifecycle", "refresh")
    assert (ran.code, ran.out.splitlines()[1:]) == (
        0,
        [
            f"      - {FINE_TUNE} has no day of shutdown any more (was 2027-01-14)  [routes: forum-reply]",
            f"      - {BASE} stops on 2027-02-01 (was 2027-01-14)  [routes: forum-reply]",
            "      - gpt-6-luna stops on 2027-06-01 (announced)  [routes: forum-reply]",
        ],
    )
    assert run("lifecycle", "refresh").out.endswith("nothing changed\n")
    with sqlite3.connect(tmp_path / "no-ledger-yet.db") as connection:
        kept = connection.execute("SELECT shutdown FROM published_dates WHERE model = 'gpt-6-luna'").fetchall()
    connection.close()
    assert kept == [("2027-06-01",)]


def test_what_cannot_be_read_ends_with_1_and_changes_nothing_that_is_kept(
    run: Run, sandbox: RunningSandbox, tmp_path: Path
) -> None:
    azure = {"kind": "azure", "base_url": sandbox.url, "api_key_env": "AZURE_KEY"}
    dbx = {"kind": "databricks", "base_url": sandbox.url, "api_key_env": "AZURE_KEY"}
    write_routes(tmp_path, sandbox)
    assert run("lifecycle", "refresh").code == 0
    write_routes(tmp_path, sandbox, eu=azure, dbx=dbx, here={"kind": "sandbox", "base_url": "http://127.0.0.1:1/v1"})
    ran = run("lifecycle", "refresh")
    assert ran.code == 1
    assert ran.out.splitlines() == [
        "here  failed",
        "      ! cannot connect to 127.0.0.1: Connect call failed ('127.0.0.1', 1)",
        "eu    failed",
        "      ! the provider answered with status 404",
        "dbx   not asked: this kind of provider lists no models",
    ]
    write_routes(tmp_path, sandbox)
    assert run("lifecycle", "refresh").out.endswith("nothing changed\n")


def test_one_provider_can_be_asked_alone(run: Run, sandbox: RunningSandbox, tmp_path: Path) -> None:
    write_routes(tmp_path, sandbox, closed={"kind": "vllm", "base_url": "http://127.0.0.1:1"})
    assert run("lifecycle", "refresh", "--provider", "here").code == 0
    assert run("lifecycle", "refresh", "--provider", "closed").code == 1
    ran = run("lifecycle", "refresh", "--provider", "hear")
    assert ran.code == 2
    assert "there are: here, closed" in ran.err


def test_json_for_scripts(run: Run, sandbox: RunningSandbox, tmp_path: Path) -> None:
    write_routes(tmp_path, sandbox, dbx={"kind": "databricks", "base_url": sandbox.url, "api_key_env": "AZURE_KEY"})
    url = f"sqlite:///{tmp_path}/elsewhere.db"
    assert run("lifecycle", "refresh", "--json", "--database", url).json["providers"][0]["first"] is True
    command(sandbox, "gpt-6-luna", "2027-06-01")
    here, dbx = run("lifecycle", "refresh", "--json", "--database", url).json["providers"]
    assert (here["outcome"], here["dated"], here["problems"]) == ("ok", 6, [])
    assert here["changes"] == [
        {
            "model": "gpt-6-luna",
            "kind": "announced",
            "what": "shutdown",
            "before": None,
            "after": "2027-06-01",
            "certainty": "planned",
            "routes": ["forum-reply"],
        }
    ]
    assert dbx == {"provider": "dbx", "kind": "databricks", "outcome": "not_asked"}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param("mysql://user:s3cret@host/db", "sqlite or postgresql", id="a database that we do not know"),
        pytest.param("postgresql://user:s3cret@127.0.0.1:1/db", "127.0.0.1:1", id="a server that is not there"),
        pytest.param("sqlite:////dev/null/ledger.db", "/dev/null", id="a place where no file can be"),
    ],
)
def test_without_a_place_to_keep_answers_nobody_is_asked(url: str, says: str, run: Run) -> None:
    ran = run("lifecycle", "refresh", "--database", url)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("cannot keep answers: ")
    assert says in ran.err
    assert "s3cret" not in ran.err


class Refusing(BaseHTTPRequestHandler):
    """A provider that takes no credential."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


def test_a_refused_credential_that_is_not_set_is_named(run: Run, sandbox: RunningSandbox, tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        base_url = f"http://127.0.0.1:{server.server_port}"
        write_routes(tmp_path, sandbox, eu={"kind": "azure", "base_url": base_url, "api_key_env": "AZURE_KEY"})
        ran = run("lifecycle", "refresh", "--provider", "eu")
        server.shutdown()
        serving.join()
    assert ran.code == 1
    assert ran.out.splitlines() == [
        "eu  refused",
        "    ! the provider refused our credential: status 401",
        "    ! AZURE_KEY is not set",
    ]
