import asyncio
import base64
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import standardwebhooks

from gateway import __version__
from gateway.config.routes import Webhook
from gateway.policy.announcements import Notice
from gateway.providers.http_client import HttpClient
from gateway.providers.webhooks import NotDelivered, WebhookSender
from tests.fake_clock import FakeClock
from tests.providers.raw_upstream import RawUpstream, Reader, Talk, Writer, answering, listening, whole

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
NOTICE = Notice(
    str(UUID(int=1)), "ops", '{"type":"understudy.cutover","text":"über"}', datetime(2026, 11, 23, tzinfo=UTC)
)
PATH = "/services/T0/B0/123456?sig=123456"
OK = whole(b"ok")


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    client.close()
    await asyncio.sleep(0)


def a_sender(
    raw: RawUpstream, client: HttpClient, clock: FakeClock | None = None, timeout_s: float = 10.0, **fields: Any
) -> WebhookSender:
    url = f"http://127.0.0.1:{raw.port}{PATH}"
    given = {"name": "ops", "url_env": "OPS_URL", "secret_env": "OPS_SECRET"} | fields
    environ = {"OPS_URL": url, "OPS_SECRET": SECRET}
    return WebhookSender(Webhook(**given), client, environ, clock or FakeClock(), timeout_s)


def headers_of(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return dict(line.split(": ", 1) for line in lines)


async def test_a_message_on_the_wire(client: HttpClient) -> None:
    async with listening(answering(OK)) as raw:
        await a_sender(raw, client, secret_env=None).send(NOTICE)
        head, _, body = raw.requests[0].partition(b"\r\n\r\n")
        assert head.decode().split("\r\n") == [
            f"POST {PATH} HTTP/1.1",
            f"host: 127.0.0.1:{raw.port}",
            f"user-agent: understudy/{__version__}",
            "accept-encoding: identity",
            "content-type: application/json",
            f"content-length: {len(NOTICE.body.encode())}",
            "webhook-id: msg_00000000-0000-0000-0000-000000000001",
            "webhook-timestamp: 1795435200",
        ]
        assert body.decode() == NOTICE.body


async def test_the_signature_is_one_that_receivers_verify(client: HttpClient) -> None:
    # Receivers compare with their own time.
    clock = FakeClock(datetime.now(UTC))
    async with listening(answering(OK)) as raw:
        await a_sender(raw, client, clock).send(NOTICE)
        headers, body = headers_of(raw.requests[0]), raw.requests[0].partition(b"\r\n\r\n")[2]
        assert standardwebhooks.Webhook(SECRET).verify(body, headers) == {
            "type": "understudy.cutover",
            "text": "über",
        }
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            standardwebhooks.Webhook(SECRET).verify(body + b" ", headers)


async def test_a_second_try_has_the_same_id_and_a_signature_of_its_own(client: HttpClient) -> None:
    clock = FakeClock()
    async with listening(answering(OK)) as raw:
        sender = a_sender(raw, client, clock)
        await sender.send(NOTICE)
        clock.advance(5)
        await sender.send(NOTICE)
        first, second = map(headers_of, raw.requests)
        assert first["webhook-id"] == second["webhook-id"]
        assert first["webhook-signature"] != second["webhook-signature"]
        assert raw.connections == 1


@pytest.mark.parametrize(
    ("answer", "message", "final"),
    [
        pytest.param(whole(b"", status="500 Oh"), "127.0.0.1 answered 500", False, id="an error"),
        pytest.param(whole(b"no", status="404 No"), "127.0.0.1 answered 404", False, id="nothing there"),
        pytest.param(whole(b"", status="410 Gone"), "127.0.0.1 answered 410", True, id="gone, for good"),
        pytest.param(
            whole(b"", "location: http://127.0.0.1:9/", status="302 Found"),
            "127.0.0.1 answered 302",
            False,
            id="a redirect, which is not followed",
        ),
        pytest.param(b"what?\r\n\r\n", "127.0.0.1: malformed HTTP from upstream", False, id="no HTTP"),
        pytest.param(b"", "127.0.0.1: the upstream closed the connection early", False, id="no answer"),
    ],
)
async def test_not_delivered(answer: bytes, message: str, final: bool, client: HttpClient) -> None:
    async with listening(answering(answer, then_close=True)) as raw:
        with pytest.raises(NotDelivered) as refused:
            await a_sender(raw, client).send(NOTICE)
        assert str(refused.value).startswith(message)
        assert refused.value.final is final
        assert "123456" not in str(refused.value)
        assert len(raw.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(whole(b"", status="204 No Content"), id="no body"),
        pytest.param(whole(b"x" * 100_000, status="202 Accepted"), id="a long body, which nobody reads"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", id="a body that never comes"),
    ],
)
async def test_any_2xx_is_delivered(answer: bytes, client: HttpClient) -> None:
    async with listening(answering(answer)) as raw:
        await a_sender(raw, client, timeout_s=2).send(NOTICE)
        assert len(raw.requests) == 1


async def test_a_receiver_that_hangs_is_not_waited_for(client: HttpClient) -> None:
    def hanging(upstream: RawUpstream) -> Talk:
        async def hang(reader: Reader, writer: Writer) -> None:
            await upstream.request(reader)
            await reader.read()

        return hang

    async with listening(hanging) as raw:
        with pytest.raises(NotDelivered, match=r"^127\.0\.0\.1 did not answer within 0\.05 s$"):
            await a_sender(raw, client, timeout_s=0.05).send(NOTICE)


async def test_a_receiver_that_is_not_there(client: HttpClient) -> None:
    async with listening(answering(OK)) as raw:
        sender = a_sender(raw, client)
    with pytest.raises(NotDelivered, match=r"^127\.0\.0\.1: cannot connect to 127\.0\.0\.1"):
        await sender.send(NOTICE)


@pytest.mark.parametrize(
    ("fields", "environ", "expected"),
    [
        pytest.param({"url_env": "U"}, {}, "its URL is not set", id="a variable that is not set"),
        pytest.param({"url_env": "U"}, {"U": "123456"}, "its URL must be an http or https URL", id="no URL"),
        pytest.param(
            {"url": "https://h.example/", "secret_env": "S"},
            {"S": "whsec_123456"},
            "its secret must be whsec_ and the base64 of 24 to 64 bytes",
            id="no secret",
        ),
    ],
)
async def test_what_is_set_wrongly_is_said_without_it(
    fields: dict[str, str], environ: dict[str, str], expected: str, client: HttpClient
) -> None:
    sender = WebhookSender(Webhook(name="ops", **fields), client, environ, FakeClock())
    with pytest.raises(NotDelivered) as refused:
        await sender.send(NOTICE)
    assert str(refused.value) == expected


async def test_a_url_in_a_file_is_read_again_when_it_changes(client: HttpClient, tmp_path: Path) -> None:
    clock, file, new = FakeClock(), tmp_path / "url", tmp_path / "new"
    async with listening(answering(OK)) as before, listening(answering(OK)) as after:
        file.write_text(f"http://127.0.0.1:{before.port}/a\n")
        sender = WebhookSender(Webhook(name="ops", url_file=str(file)), client, {}, clock)
        await sender.send(NOTICE)
        new.write_text(f"http://127.0.0.1:{after.port}/b\n")
        os.replace(new, file)
        clock.advance(2)
        await sender.send(NOTICE)
        assert [request.split()[1] for request in before.requests + after.requests] == [b"/a", b"/b"]
