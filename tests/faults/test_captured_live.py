"""What routes that capture keep of live traffic, and what never reaches the disk."""

import json
import sqlite3
from pathlib import Path
from typing import Any

from fake_provider import FakeProvider, chunk, completion, says, streams, usage_chunk
from served_gateway import Serve, ServedGateway, counted, eventually

CAPTURE = {"capture": {"share": 1}}
MAIL = "jane.doe@example.com"


def captured(database: Path) -> list[Any]:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        connection.row_factory = sqlite3.Row
        rows = connection.execute("SELECT * FROM captured ORDER BY captured_id").fetchall()
    connection.close()
    return rows


async def kept(gateway: ServedGateway, count: int) -> list[Any]:
    async def there() -> list[Any] | None:
        gateway.clock.advance(0.25)
        rows = captured(gateway.database)
        return rows if len(rows) >= count else None

    return list(await eventually(there, f"{count} rows are captured"))


def asks(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


async def test_request_and_answer_are_kept_without_what_names_people(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = says(completion(f"We wrote to {MAIL}.", model="tuned"))
    gateway = await serve(CAPTURE)
    answer = await gateway.chat(**asks(f"I am {MAIL}, where is my order?"), user="jane")
    assert MAIL in answer.text
    (row,) = await kept(gateway, 1)
    assert json.loads(row["request"])["messages"][0]["content"] == "I am [email], where is my order?"
    assert json.loads(row["answer"])["content"] == "We wrote to [email]."
    assert (row["role"], row["model"], row["request_id"]) == ("primary", "tuned", answer.headers["x-request-id"])
    assert "jane" not in str(tuple(row))
    files = gateway.database.parent.glob(gateway.database.name + "*")
    assert not any(MAIL.encode() in file.read_bytes() for file in files)


async def test_a_streamed_answer_is_kept_whole(serve: Serve, provider: FakeProvider) -> None:
    parts = [chunk(part) for part in ("jane.", "doe@exam", "ple.com it ", "is.")]
    provider.models["tuned"] = streams(*parts, chunk(finish="stop"), usage_chunk())
    gateway = await serve(CAPTURE)
    assert (await gateway.stream()).text == f"{MAIL} it is."
    (row,) = await kept(gateway, 1)
    assert json.loads(row["answer"])["content"] == "[email] it is."


async def test_the_same_input_is_kept_once(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve(CAPTURE)
    for _ in range(3):
        await gateway.chat(**asks("Where is it?"))
    await gateway.chat(**asks("And now?"))
    await counted(gateway, "gateway_captured_total", 2, route="reply", outcome="duplicate")
    assert len(await kept(gateway, 2)) == 2


async def test_nothing_is_kept_unless_the_route_says_so_nor_of_pinned_or_failed_requests(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve(CAPTURE | {"fallbacks": []}, more_routes={"other": {"primary": "tuned"}})
    await gateway.chat("other")
    await gateway.chat("reply@primary")
    provider.models["tuned"] = says({"error": {"message": "no"}}, 400)
    await gateway.chat()
    provider.models["tuned"] = says()
    await gateway.chat(**asks("the last one"))
    (row,) = await kept(gateway, 1)
    assert "the last one" in row["request"]
