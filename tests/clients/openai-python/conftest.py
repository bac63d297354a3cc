from collections.abc import AsyncIterator, Iterator

import httpx2
import openai
import pytest


class Counted:
    """Counts what the SDK sends: its own retries are invisible otherwise."""

    def __init__(self) -> None:
        self.requests = 0

    def count(self, request: httpx2.Request) -> None:
        self.requests += 1


@pytest.fixture
def sent() -> Counted:
    return Counted()


@pytest.fixture
def client(base_url: str, api_key: str, sent: Counted) -> Iterator[openai.OpenAI]:
    with (
        httpx2.Client(event_hooks={"request": [sent.count]}, timeout=30) as http,
        openai.OpenAI(base_url=base_url, api_key=api_key, http_client=http) as client,
    ):
        yield client


@pytest.fixture
async def async_client(base_url: str, api_key: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=base_url, api_key=api_key) as client:
        yield client
