import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from command_line import Run
from gateway_server import RunningGateway, running_gateway
from sandbox_server import running_sandbox

PRIMARY = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
ROUTES = f"""\
version: 1
providers:
  sandbox: {{kind: sandbox, base_url: "URL"}}
fallbacks:
  luna: {{provider: sandbox, model: gpt-6-luna}}
defaults: {{provider: sandbox, fallbacks: [luna]}}
lifecycle:
  sandbox:
    "{PRIMARY}": {{shutdown: 2999-01-14, source: a test}}
routes:
  forum-reply: {PRIMARY}
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    state = tmp_path_factory.mktemp("state")
    with running_sandbox() as sandbox:
        routes: Path = state / "routes.yaml"
        routes.write_text(ROUTES.replace("URL", sandbox.base_url))
        with running_gateway(
            routes, state, GATEWAY_KEY="sk-caller", GATEWAY_ADMIN_KEY="sk-admin", GATEWAY_KEY_PINS="true"
        ) as running:
            yield running


def test_the_answer_is_on_stdout_and_who_gave_it_beside_it(gateway: RunningGateway, run: Run) -> None:
    ran = run("try", "forum-reply", "My order has not arrived.", "--url", gateway.v1, "--key", "sk-caller")
    assert ran.code == 0
    assert len(ran.out.strip()) > 10
    assert f"answered by the primary: {PRIMARY} at sandbox" in ran.err
    assert "because: primary · attempts: 1 · tokens: " in ran.err
    assert "the primary stops on 2999-01-14" in ran.err
    assert "request: req_" in ran.err, "what a mark of this answer names"


def test_the_gateways_bare_address_will_do(gateway: RunningGateway, run: Run) -> None:
    ran = run("try", "forum-reply", "Hello.", "--url", gateway.v1.removesuffix("v1"), "--key", "sk-caller")
    assert ran.code == 0


def test_the_answer_as_json_with_headers(gateway: RunningGateway, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "sk-caller")
    ran = run("try", "forum-reply@fallback", "Hello.", "--url", gateway.v1, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert set(ran.json) == {"answer", "headers"}
    assert ran.json["answer"]["choices"][0]["message"]["content"]
    headers = ran.json["headers"]
    assert (headers["x-gateway-served-by"], headers["x-gateway-model"]) == ("fallback", "gpt-6-luna")
    assert (headers["x-gateway-reason"], headers["x-gateway-attempts"]) == ("pinned", "1")


@pytest.mark.parametrize(
    ("route", "key", "says"),
    [
        pytest.param(
            "forum-replay", "sk-caller", "404: There is no route 'forum-replay'", id="a route that is not there"
        ),
        pytest.param("forum-reply", "sk-wrong", "401: ", id="a wrong key"),
        pytest.param("forum-reply@nobody", "sk-caller", "400: ", id="a pin that is not there"),
    ],
)
def test_a_refusal_ends_with_1_and_the_gateways_own_words(
    route: str, key: str, says: str, gateway: RunningGateway, run: Run
) -> None:
    ran = run("try", route, "Hello.", "--url", gateway.v1, "--key", key)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(says)


def test_without_a_gateway_it_says_how_to_start_one(run: Run) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ran = run("try", "forum-reply", "Hello.", "--url", f"http://127.0.0.1:{closed.getsockname()[1]}/v1")
    assert (ran.code, ran.out) == (1, "")
    assert "gateway serve" in ran.err


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8080/v1", "localhost", "ftp://localhost/v1", "http://[::1/v1", "file:///etc/passwd"]
)
def test_a_url_that_is_none(url: str, run: Run) -> None:
    ran = run("try", "forum-reply", "Hello.", "--url", url)
    assert ran.code in (1, 2)
    assert ran.out == ""
    assert ran.err


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>It works!</html>", id="a web page"),
        pytest.param(b'{"status": "ok"}', id="JSON of another kind"),
        pytest.param(b'{"choices": []}', id="no choices"),
        pytest.param(b"[1]", id="a list"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_something_else_that_answers_is_no_gateway(body: bytes, run: Run) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        ran = run("try", "forum-reply", "Hello.", "--url", f"http://127.0.0.1:{server.server_port}/v1")
        thread.join()
    assert (ran.code, ran.out) == (1, "")
    assert "something else" in ran.err
