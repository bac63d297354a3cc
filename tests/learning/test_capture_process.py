"""The process in which rows are redacted has nothing but the rows, and ends: with its gateway, and without it."""

import asyncio
import os
import signal
import struct
import subprocess
import sys
from typing import Any

import orjson
import pytest

from gateway.config.routes_learning import Capture
from gateway.learning.capture.redaction_process import RedactionExpired, RedactionProcess

REQUEST = {"messages": [{"role": "user", "content": "I am jane@example.com, " + "a" * 60 + "c"}]}
ANSWER = {"role": "assistant", "content": "hello"}
FAST, ENDLESS = Capture(share=1.0), Capture(share=1.0, patterns={"staff": "(a+)+b"})


async def redacted(process: RedactionProcess, capture: Capture) -> dict[str, Any] | None:
    return await process.redact(capture, orjson.dumps(REQUEST), orjson.dumps(ANSWER))


async def test_a_row_that_expires_ends_the_process_and_the_next_row_has_another() -> None:
    process = RedactionProcess(deadline_s=1.0)
    for _ in range(2):
        row = await redacted(process, FAST)
        assert row is not None
        assert row["request"]["messages"][0]["content"].startswith("I am [email], aaa")
        assert (row["answer"], row["redacted"]) == (ANSWER, {"email": 1})
        with pytest.raises(RedactionExpired):
            await redacted(process, ENDLESS)
    await process.close()


async def test_after_closing_no_process_is_left() -> None:
    process = RedactionProcess()
    await redacted(process, FAST)
    pid = process.pid
    assert pid is not None
    os.kill(pid, 0)
    await process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_row_that_is_called_off_leaves_nothing_to_the_next() -> None:
    process = RedactionProcess()
    await redacted(process, FAST)
    waiting = asyncio.create_task(redacted(process, ENDLESS))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    row = await redacted(process, FAST)
    assert row is not None
    assert row["redacted"] == {"email": 1}
    await process.close()


async def test_closing_in_the_middle_of_a_row_ends_the_row() -> None:
    process = RedactionProcess()
    await redacted(process, FAST)
    waiting = asyncio.create_task(redacted(process, ENDLESS))
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await process.close()
        with pytest.raises(RedactionExpired):
            await waiting


async def test_a_large_row_that_is_called_off_while_it_comes_back_ends_the_process_all_the_same() -> None:
    process = RedactionProcess()
    await redacted(process, FAST)
    large = orjson.dumps(REQUEST | {"user": "a" * 1_000_000})
    waiting = asyncio.create_task(process.redact(FAST, large, orjson.dumps(ANSWER)))
    running = process._process
    assert running is not None
    assert running.stdout is not None
    async with asyncio.timeout(30):
        # As much has come as a stream holds, and whoever waits for it has not yet taken it.
        while not running.stdout._paused:  # type: ignore[attr-defined]  # noqa: ASYNC110
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    row = await redacted(process, FAST)
    assert row is not None
    assert row["redacted"] == {"email": 1}
    await process.close()


def test_a_process_whose_gateway_was_killed_ends_by_itself_in_the_middle_of_a_pattern() -> None:
    how = {"redact": [], "patterns": ENDLESS.patterns, "phone_regions": [], "cpu_s": 0.5}
    frames = b"".join(struct.pack("!I", len(frame)) + frame for frame in map(orjson.dumps, (how, REQUEST, ANSWER)))
    server = [sys.executable, "-m", "gateway.learning.capture.redaction_server"]
    done = subprocess.run(server, input=frames, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGVTALRM, bytes(4), b"")


def test_it_imports_neither_the_application_nor_a_provider() -> None:
    program = "import sys, gateway.learning.capture.redaction_server; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    heavy = ("litellm", "starlette", "uvicorn", "sqlalchemy", "pydantic", "gateway.app", "gateway.execution")
    assert [name for name in imported.split() if name in heavy] == []
