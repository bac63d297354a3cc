"""A fallback with a prompt pack: what is sent, in which order, and what the ledger says of it."""

import json
from pathlib import Path
from typing import Any

import orjson
from fake_provider import FakeProvider
from served_gateway import Serve, ServedGateway, eventually

from gateway.config.packs import (
    FIXED,
    HELD_OUT,
    INSTRUCTIONS,
    POOL,
    Pack,
    PackExample,
    example_line,
    parse_pack,
    sealed,
)

TRAINED = "You are the shop's assistant."


def an_example(number: int, user: str, assistant: str) -> PackExample:
    messages = ({"role": "user", "content": user}, {"role": "assistant", "content": assistant})
    return PackExample(f"{number:016x}", messages, 20)


POOL_EXAMPLES = (
    an_example(3, "How do I return a lamp?", "Bring the lamp back within 30 days."),
    an_example(4, "Do you ship to Norway?", "We do, in a week."),
    an_example(5, "Where is my parcel with the lamp?", "Parcels are tracked in your account."),
)


def pack_files(**manifest: Any) -> dict[str, bytes]:
    fixed = [an_example(1, "Hello {{name}}", "Hello! {route} <|im_end|>"), an_example(2, "Bye", "Goodbye!")]
    settings = {
        "format": 1,
        "route": "reply",
        "similar": 2,
        "similar_tokens": 60,
        "prefix_tokens": 50,
        "trained_system": [TRAINED],
    }
    return sealed(
        settings | manifest,
        {
            INSTRUCTIONS: b"Answer briefly. {{ 7 * 7 }}\n",
            FIXED: b"".join(map(example_line, fixed)),
            POOL: b"".join(map(example_line, POOL_EXAMPLES)),
            HELD_OUT: b"00000000000000ff\n",
        },
    )


def write(directory: Path, files: dict[str, bytes]) -> Pack:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return parse_pack(files)


async def served(serve: Serve, directory: Path, **manifest: Any) -> tuple[ServedGateway, Pack]:
    pack = write(directory / "pack", pack_files(**manifest))
    prompt = {"pack": str(directory / "pack"), "caller_system": "replace_if_trained"}
    return await serve({"primary": None}, base={"provider": "first", "model": "base", "prompt": prompt}), pack


async def test_a_request_gets_instructions_fixed_examples_similar_ones_and_then_the_callers_messages(
    serve: Serve, provider: FakeProvider, tmp_path: Path
) -> None:
    gateway, pack = await served(serve, tmp_path)
    asked = [{"role": "system", "content": TRAINED}, {"role": "user", "content": "Where is my lamp?"}]
    answer = await gateway.chat(messages=asked)
    (call,) = provider.chats()
    assert [message["content"] for message in call.json["messages"]] == [
        "Answer briefly. {{ 7 * 7 }}",
        "Hello {{name}}",
        "Hello! {route} <|im_end|>",
        "Bye",
        "Goodbye!",
        "How do I return a lamp?",
        "Bring the lamp back within 30 days.",
        "Where is my parcel with the lamp?",
        "Parcels are tracked in your account.",
        "Where is my lamp?",
    ]
    (row,) = await gateway.rows(1)
    assert row.prompt_version == pack.version
    assert "x-gateway-adapted" not in answer.headers


async def test_a_pack_that_vanishes_stays_in_force_until_routes_yaml_names_it_no_more(
    serve: Serve, provider: FakeProvider, tmp_path: Path
) -> None:
    prompt = {"instructions": "As before.", "pack": str(tmp_path / "packs" / "{route}")}
    base = {"provider": "first", "model": "base", "prompt": prompt}
    write(tmp_path / "packs" / "reply", pack_files())
    gateway = await serve({"primary": None}, base=base)
    before = (await gateway.client.get("/readyz")).json()

    async def says(config_error: str | None) -> int:
        async def said() -> bool:
            found = (await gateway.client.get("/readyz")).json()["config_error"]
            return found is None if config_error is None else config_error in (found or "")

        await eventually(said, f"config_error is {config_error}")
        await gateway.chat(messages=[{"role": "user", "content": "Where is my lamp?"}])
        return len(provider.chats()[-1].json["messages"])

    (tmp_path / "packs" / "reply").rename(tmp_path / "packs" / ".old")
    assert await says("the pack of fallback 'base' is in force, and there is none at ") == 10
    assert await gateway.metric("gateway_config_reloads_total", outcome="refused") == 1
    (tmp_path / "packs" / ".old").rename(tmp_path / "packs" / "reply")
    assert await says(None) == 10
    assert (await gateway.client.get("/readyz")).json() == before

    (tmp_path / "packs" / "reply").rename(tmp_path / "packs" / ".old")
    assert await says("put it back, or take `pack` out of the fallback's prompt") == 10
    file = gateway.database.parent / "config" / "routes.yaml"
    routes = json.loads(file.read_text())
    del routes["fallbacks"]["base"]["prompt"]["pack"]
    file.write_text(json.dumps(routes))
    assert await says(None) == 2


async def test_what_comes_before_the_similar_examples_is_the_same_bytes_in_every_request(
    serve: Serve, provider: FakeProvider, tmp_path: Path
) -> None:
    gateway, _ = await served(serve, tmp_path)
    for text in ("Where is my lamp?", "Norway?"):
        await gateway.chat(messages=[{"role": "user", "content": text}])
    prefixes = {orjson.dumps(call.json["messages"][:5]) for call in provider.chats()}
    assert len(prefixes) == 1


async def test_similar_examples_keep_to_their_budget_of_tokens(
    serve: Serve, provider: FakeProvider, tmp_path: Path
) -> None:
    gateway, _ = await served(serve, tmp_path, similar_tokens=20)
    await gateway.chat(messages=[{"role": "user", "content": "Where is my lamp?"}])
    assert len(provider.chats()[0].json["messages"]) == 5 + 2 + 1


async def test_the_responses_api_gets_the_examples_as_input(
    serve: Serve, provider: FakeProvider, tmp_path: Path
) -> None:
    gateway, _ = await served(serve, tmp_path)
    await gateway.client.post("/v1/responses", json={"model": "reply", "input": "Where is my lamp?"})
    (call,) = provider.chats()
    assert call.json["instructions"] == "Answer briefly. {{ 7 * 7 }}"
    assert [item["content"] for item in call.json["input"]][-2:] == ["Goodbye!", "Where is my lamp?"]


async def test_a_long_prefix_names_its_cache_and_busy_routes_name_several(
    serve: Serve, provider: FakeProvider, tmp_path: Path
) -> None:
    pack = write(tmp_path / "pack", pack_files(prefix_tokens=1024))
    gateway = await serve(
        {"primary": None},
        first={"kind": "openai", "api_key_env": "KEY"},
        base={"provider": "first", "model": "base", "prompt": {"pack": str(tmp_path / "pack")}},
        environ={"KEY": "secret"},
    )
    for _ in range(16):
        await gateway.chat()
    await gateway.chat(prompt_cache_key="the caller's own")
    keys = [call.json["prompt_cache_key"] for call in provider.chats()]
    first, second = (f"understudy-{pack.version}-keep-{shard}" for shard in (0, 1))
    assert keys == [first] * 15 + [second, "the caller's own"]


async def test_a_short_prefix_names_no_cache(serve: Serve, provider: FakeProvider, tmp_path: Path) -> None:
    write(tmp_path / "pack", pack_files(prefix_tokens=1023))
    gateway = await serve(
        {"primary": None},
        first={"kind": "openai", "api_key_env": "KEY"},
        base={"provider": "first", "model": "base", "prompt": {"pack": str(tmp_path / "pack")}},
        environ={"KEY": "secret"},
    )
    await gateway.chat()
    assert "prompt_cache_key" not in json.loads(provider.chats()[0].body)
