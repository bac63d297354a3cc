import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config.vendors import VENDORS
from gateway.providers.connection import ConnectFailed
from gateway.providers.credentials import Credential
from gateway.providers.identity_tokens import (
    RETRY_PAUSE_S,
    SHORTEST_PAUSE_S,
    SOURCES,
    Fetch,
    IdentityToken,
    IdentityTokens,
    Token,
    azure_identity,
    google_identity,
)
from tests.example_routes import a_provider
from tests.fake_clock import FakeClock
from tests.providers.raw_upstream import answering, listening, whole

HOUR_S = 3600.0


class Source:
    """Gives numbered tokens that hold for an hour, or what a test says."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.fetched = 0
        self.broken: Exception | None = None

    def __call__(self) -> Fetch:
        return self.fetch

    def fetch(self) -> Token:
        if self.broken is not None:
            raise self.broken
        self.fetched += 1
        return Token(f"token-{self.fetched}", self.clock.now().timestamp() + HOUR_S)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def source(clock: FakeClock) -> Source:
    return Source(clock)


@pytest.fixture
async def token(source: Source, clock: FakeClock) -> AsyncIterator[IdentityToken]:
    token = IdentityToken("azure", source, clock)
    yield token
    token.close()
    await asyncio.sleep(0)


async def resting(clock: FakeClock) -> None:
    """Wait until it sleeps again."""
    async with asyncio.timeout(5):
        while not clock.sleepers:  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.001)


async def test_the_first_caller_waits_and_nobody_after_that(token: IdentityToken, source: Source) -> None:
    assert token.current() == ""
    assert await asyncio.gather(token.get(), token.get()) == ["token-1", "token-1"]
    assert (token.current(), source.fetched) == ("token-1", 1)


async def test_a_token_is_renewed_before_its_end_without_a_caller(
    token: IdentityToken, clock: FakeClock, source: Source
) -> None:
    await token.get()
    await resting(clock)
    clock.advance(HOUR_S - 300)
    assert source.fetched == 1
    clock.advance(60)
    await resting(clock)
    assert (token.current(), source.fetched) == ("token-2", 2)


async def test_a_library_that_gives_the_same_token_again_is_asked_again_soon(
    token: IdentityToken, clock: FakeClock
) -> None:
    end = clock.now().timestamp() + 100
    same = IdentityToken("azure", lambda: lambda: Token("same", end), clock)
    await same.get()
    await resting(clock)
    clock.advance(SHORTEST_PAUSE_S)
    await resting(clock)
    assert same.current() == "same"
    same.close()


async def test_while_renewal_fails_the_old_token_stands_to_its_end(
    token: IdentityToken, clock: FakeClock, source: Source
) -> None:
    await token.get()
    await resting(clock)
    source.broken = OSError("no route")
    clock.advance(HOUR_S - 200)
    await resting(clock)
    assert await token.get() == "token-1"
    clock.advance(201)
    await resting(clock)
    with pytest.raises(ConnectFailed, match="no token for the azure identity: OSError: no route") as failed:
        await token.get()
    assert not failed.value.body_sent
    source.broken = None
    clock.advance(RETRY_PAUSE_S)
    await resting(clock)
    assert await token.get() == "token-2"


async def test_a_failure_says_the_first_line_of_what_the_library_says(token: IdentityToken, source: Source) -> None:
    source.broken = ValueError("no identity here\nTo mitigate: …" + 400 * "x")
    with pytest.raises(ConnectFailed, match=r"ValueError: no identity here$"):
        await token.get()


async def test_one_token_serves_every_provider_and_configuration(clock: FakeClock, source: Source) -> None:
    tokens = IdentityTokens({"azure": source})
    credentials = [Credential(a_provider(name=name), {}, clock, tokens.of("azure", clock)) for name in "ab"]
    assert [await credential.get() for credential in credentials] == ["token-1", "token-1"]
    assert credentials[0].current() == "token-1"
    tokens.close()
    await asyncio.sleep(0)
    assert "token-1" not in repr(tokens.of("azure", clock)) + repr(credentials[0])


def test_every_identity_that_is_not_litellms_has_a_source() -> None:
    native = {vendor.identity for vendor in VENDORS.values() if vendor.litellm is None and vendor.identity}
    assert native == SOURCES.keys()


# The vendors' own libraries, against token endpoints of ours.


async def test_azures_managed_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"access_token": "ey.azure", "expires_on": "4102444800", "resource": "x", "token_type": "Bearer"}
    async with listening(answering(whole(json.dumps(answer).encode(), "content-type: application/json"))) as endpoint:
        for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{endpoint.port}/token")
        monkeypatch.setenv("IDENTITY_HEADER", "us")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        fetch = await asyncio.to_thread(azure_identity)
        token = await asyncio.to_thread(fetch)
    assert token == Token("ey.azure", 4102444800.0)
    assert b"resource=https://cognitiveservices.azure.com " in endpoint.requests[0]


async def test_googles_default_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer = {"access_token": "ya29.google", "expires_in": 3600, "token_type": "Bearer"}
    async with listening(answering(whole(json.dumps(answer).encode(), "content-type: application/json"))) as endpoint:
        file = tmp_path / "adc.json"
        file.write_text(json.dumps(service_account(f"http://127.0.0.1:{endpoint.port}/token")))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        fetch = await asyncio.to_thread(google_identity)
        token = await asyncio.to_thread(fetch)
    assert token.value == "ya29.google"
    claims = endpoint.requests[0].partition(b"assertion=")[2].split(b".")[1]
    assert b"cloud-platform" in base64.urlsafe_b64decode(claims + b"==")


def service_account(token_uri: str) -> dict[str, Any]:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {
        "type": "service_account",
        "project_id": "acme",
        "private_key_id": "1",
        "private_key": pem,
        "client_email": "gateway@acme.iam.gserviceaccount.com",
        "token_uri": token_uri,
    }
