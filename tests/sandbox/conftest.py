from collections.abc import Iterator

import httpx
import pytest

from gateway.clock import SystemClock
from gateway.sandbox.app import create_sandbox
from tests.sandbox_server import RunningSandbox, fast_catalogue, running_sandbox


@pytest.fixture(scope="session")
def server() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def sandbox(server: RunningSandbox) -> RunningSandbox:
    """One server for all tests, with models and a bill of its own for each."""
    fresh = create_sandbox(clock=SystemClock(), catalogue=fast_catalogue(SystemClock().now()))
    server.sandbox.provider = fresh.provider
    return server


@pytest.fixture(scope="session")
def http_of_all_tests(server: RunningSandbox) -> Iterator[httpx.Client]:
    """One client, since making one takes longer than most tests."""
    with httpx.Client(base_url=server.url, timeout=10) as client:
        yield client


@pytest.fixture
def http(sandbox: RunningSandbox, http_of_all_tests: httpx.Client) -> httpx.Client:
    """A client of this test's own models."""
    return http_of_all_tests
