"""The guard in a process of its own, since an audit hook stays for ever."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.providers.connect_guard import Destination
from gateway.providers.worker_destinations import destinations
from tests.example_routes import a_provider, some_routes

PROGRAM = """
import asyncio, json, socket, sys, threading
from pathlib import Path
from gateway.providers.connect_guard import ConnectGuard, NotConfigured

named, other, file = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0)), Path(sys.argv[1])
NAMED, OTHER = named.getsockname()[1], other.getsockname()[1]
rows = [["127.0.0.1", NAMED], ["localhost", NAMED], ["sts.*.example.com", 443]]
file.write_text(json.dumps(rows))
heard = []
ConnectGuard(file, heard.append).install()

def tried(what):
    try:
        what()
    except NotConfigured:
        return "refused"
    except OSError as error:
        return type(error).__name__
    return "connected"

async def opened(host, port):
    await asyncio.open_connection(host, port)

def looked_up(host):
    socket.getaddrinfo(host, 443)

def reread():
    file.with_suffix(".new").write_text(json.dumps(rows + [["127.0.0.1", OTHER]]))
    file.with_suffix(".new").replace(file)
    socket.create_connection(("127.0.0.1", OTHER))

def urlopened(port):
    import urllib.request
    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=0.1)

print(json.dumps({
    "named": tried(lambda: socket.create_connection(("127.0.0.1", NAMED))),
    "another port": tried(lambda: socket.create_connection(("127.0.0.1", OTHER))),
    "by its name": tried(lambda: socket.create_connection(("localhost", NAMED))),
    "another port by its name": tried(lambda: socket.create_connection(("localhost", OTHER))),
    "metadata": tried(lambda: socket.create_connection(("169.254.169.254", 80), 0.1)),
    "asyncio": tried(lambda: asyncio.run(opened("127.0.0.1", NAMED))),
    "asyncio elsewhere": tried(lambda: asyncio.run(opened("127.0.0.1", OTHER))),
    "urllib elsewhere": tried(lambda: urlopened(OTHER)),
    "a datagram": tried(lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", OTHER))),
    "a local socket": tried(lambda: socket.socket(socket.AF_UNIX).connect("/run/any.sock")),
    "a pattern": tried(lambda: looked_up("sts.eu-west-1.example.com")) != "refused",
    "two labels for one": tried(lambda: looked_up("sts.a.b.example.com")),
    "a stranger's name": tried(lambda: looked_up("stranger.example")),
    "as bytes": tried(lambda: looked_up(b"stranger.example")),
    "in a thread": (lambda found: (t := threading.Thread(target=lambda: found.append(
        tried(lambda: socket.create_connection(("127.0.0.1", OTHER)))))).start() or t.join() or found[0])([]),
    "after a reload": tried(reread),
    "heard": len(heard) > 5,
}))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    file = tmp_path_factory.mktemp("guard") / "hosts.json"
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run([sys.executable, "-c", PROGRAM, str(file)], capture_output=True, env=environ, timeout=60)
    assert ran.returncode == 0, ran.stderr.decode()
    found: dict[str, object] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize(
    ("attempt", "outcome"),
    [
        ("named", "connected"),
        ("another port", "refused"),
        ("by its name", "connected"),
        ("another port by its name", "refused"),
        ("metadata", "refused"),
        ("asyncio", "connected"),
        ("asyncio elsewhere", "refused"),
        ("urllib elsewhere", "URLError"),
        ("a datagram", "refused"),
        ("a local socket", "refused"),
        ("a pattern", True),
        ("two labels for one", "refused"),
        ("a stranger's name", "refused"),
        ("as bytes", "refused"),
        ("in a thread", "refused"),
        ("after a reload", "connected"),
        ("heard", True),
    ],
)
def test_what_the_process_may_connect_to(said: dict[str, object], attempt: str, outcome: object) -> None:
    assert said[attempt] == outcome


@pytest.mark.parametrize(
    ("provider", "environ", "there", "not_there"),
    [
        pytest.param(
            {"kind": "anthropic", "base_url": "https://api.anthropic.com"},
            {},
            [("api.anthropic.com", 443)],
            ["169.254.169.254", "sts.amazonaws.com"],
            id="a vendor with a key has one place",
        ),
        pytest.param(
            {"kind": "cohere", "base_url": "https://api.cohere.com"},
            {},
            [("api.cohere.com", 443), ("api.cohere.ai", 443)],
            [],
            id="a vendor that litellm finds at two",
        ),
        pytest.param(
            {"kind": "cohere", "base_url": "https://proxy.acme.example:8443", "is_elsewhere": True},
            {},
            [("proxy.acme.example", 8443)],
            ["api.cohere.ai"],
            id="a vendor behind an address of one's own",
        ),
        pytest.param(
            {"kind": "bedrock", "base_url": "https://bedrock-runtime.eu-west-1.amazonaws.com", "identity": "aws"},
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1338/creds", "AWS_PROFILE": "http"},
            [("sts.*.amazonaws.com", 443), ("169.254.169.254", None), ("127.0.0.1", 1338)],
            [],
            id="AWS's identity asks the machine and the token service",
        ),
        pytest.param(
            {"kind": "vertex", "base_url": "https://aiplatform.googleapis.com", "api_key_env": "KEY"},
            {"KEY": json.dumps({"type": "service_account", "token_uri": "https://tokens.acme.example/token"})},
            [("tokens.acme.example", 443), ("oauth2.googleapis.com", 443)],
            ["169.254.169.254"],
            id="a service account names where its tokens are",
        ),
        pytest.param(
            {"kind": "openai", "base_url": "https://api.openai.com/v1"},
            {},
            [],
            ["api.openai.com"],
            id="whom the gateway calls itself is none of the worker's",
        ),
    ],
)
def test_what_a_provider_needs(
    provider: dict[str, str], environ: dict[str, str], there: list[tuple[str, int | None]], not_there: list[str]
) -> None:
    routes = some_routes(providers={"here": a_provider(**provider)})

    found = destinations(routes, environ, SystemClock())

    assert {Destination(*place) for place in there} <= found
    assert not {place.host for place in found} & set(not_there)
