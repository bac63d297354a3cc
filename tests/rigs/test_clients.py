"""Real clients, each in an environment of its own, against a real gateway and the sandbox behind it.

What a client does stands in ``tests/clients``: programs that know only an address and a key, as applications do.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from client_programs import IN_JAVASCRIPT, IN_PYTHON, KEY, prepare, report_each, run, told
from gateway_server import free_port, running_gateway
from sandbox_server import fast_catalogue, running_sandbox

pytestmark = pytest.mark.rig

FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
FAULTS = ("fault-stall", "fault-cut", "fault-429", "fault-5xx")


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
            "completions": {**alone, "primary": "gpt-3.5-turbo-instruct"},
            **{fault: {**alone, "primary": fault} for fault in FAULTS},
            # A route may be named after its model: clients that look at the name find what they asked for.
            "gpt-6-luna": {**alone, "primary": "gpt-6-luna"},
            "gpt-4o-mini": {**alone, "primary": "gpt-4o-mini-2024-07-18"},
            "gone": {**alone, "primary": "ft:gpt-4o-mini-2024-07-18:acme:deleted:Z9y8X7w6"},
            "impatient": {**alone, "primary": "fault-stall", "timeouts": {"idle_s": 0.5, "total_s": 1}},
            "unreachable": {"provider": "nowhere", "fallbacks": [], "primary": "somebody"},
        },
    }
    path = directory / "routes.yaml"
    path.write_text(json.dumps(routes))
    return path


@pytest.fixture(params=[*IN_PYTHON, *IN_JAVASCRIPT])
def client(request: pytest.FixtureRequest) -> str:
    """A client that is installed."""
    prepare(request.param)
    return str(request.param)


@pytest.fixture
def surroundings(client: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What a client is told by its environment; a gateway of its own, since faults are remembered."""
    with running_sandbox(catalogue=fast_catalogue(datetime.now(UTC))) as sandbox:
        routes = write_routes(tmp_path, sandbox.base_url)
        with running_gateway(routes, tmp_path, GATEWAY_KEY=KEY, GATEWAY_KEY_PINS="true") as gateway:
            yield told(gateway=gateway.v1, sandbox=sandbox.url)


def test_a_client_finds_what_it_expects(
    client: str, surroundings: dict[str, str], tmp_path: Path, subtests: pytest.Subtests
) -> None:
    report_each(run(client, "cases_", surroundings, tmp_path), subtests)
