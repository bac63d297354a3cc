"""LoRA adapters on a server of one's own: loaded while it runs, seen to be there, and asked once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.clock import Clock
from gateway.errors import ConfigError
from gateway.ledger.entry import new_attempt_id
from gateway.lifecycle.provider_pages import Refused, get_json, post
from gateway.providers.openai_wire import Upstream

KINDS: Final = frozenset(("vllm", "openai-compatible", "sandbox"))
"""Servers that load adapters as vLLM does. sglang has a command of the same name that takes other fields."""
LOAD: Final = "/load_lora_adapter"
CONFIG: Final = "adapter_config.json"
KNOWN: Final = "understudy.json"
"""What the script of ``--on trl`` writes beside an adapter."""
LOAD_TIMEOUT_S: Final = 300.0
_OFF: Final = (
    "start it with --enable-lora, and with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True in its environment; "
    "let nobody but the gateway reach it then"
)


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter's directory, as far as it can be read here; the server reads it by the same path."""

    path: str
    base: str | None = None
    """As its configuration names it: a path or a hub's id, which a server may serve under another name."""
    rank: int | None = None
    dataset_hash: str | None = None
    route: str | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """An adapter that a server has."""

    name: str
    parent: str | None
    """The base that it belongs to, as the server calls it."""


def read_adapter(directory: Path) -> Adapter:
    """Return what a directory says of itself; one that is not on this machine says nothing.

    Raises:
        ConfigError: it is here, and holds no adapter.
    """
    if not directory.is_dir():
        return Adapter(str(directory))
    config = _object(directory / CONFIG)
    if config is None:
        raise ConfigError(f"{directory} holds no adapter: {CONFIG} is not there, or is no JSON")
    known = _object(directory / KNOWN) or {}
    rank = config.get("r")
    return Adapter(
        str(directory.absolute()),
        base=_text(config.get("base_model_name_or_path")),
        rank=rank if isinstance(rank, int) else None,
        dataset_hash=_text(known.get("dataset_hash")),
        route=_text(known.get("route")),
    )


async def load(upstream: Upstream, name: str, adapter: Adapter, clock: Clock) -> Served:
    """Have a server load an adapter under a name, see that it lists it, and ask it for one token.

    Raises:
        ConfigError: it does not load it, has something else under the name, does not list it, or does not answer.
    """
    who = upstream.provider.name
    body = orjson.dumps({"lora_name": name, "lora_path": adapter.path})
    try:
        await post(upstream, LOAD, body, new_attempt_id(clock.now()), timeout_s=LOAD_TIMEOUT_S)
    except Refused as refused:
        if not await _has_it(upstream, name, adapter, refused):
            raise ConfigError(_why_not(who, refused, adapter)) from None
    served = await _listed(upstream, name)
    if served is None:
        raise ConfigError(f"{who} took the adapter, and does not list {name} in /v1/models")
    await _ask(upstream, name, clock)
    return Served(name, _text(served.get("parent")))


async def _has_it(upstream: Upstream, name: str, adapter: Adapter, refused: Refused) -> bool:
    """Tell whether a refusal means that this very adapter is loaded already, under this name."""
    if "already" not in str(refused):
        return False
    served = await _listed(upstream, name)
    if served is None:
        return False
    root = served.get("root")
    if isinstance(root, str) and root not in (adapter.path, name):
        raise ConfigError(f"{upstream.provider.name} has {root} under the name {name}: choose another with --name")
    return True


async def _listed(upstream: Upstream, name: str) -> Mapping[str, Any] | None:
    try:
        document = await get_json(upstream, "/models")
    except Refused as refused:
        raise ConfigError(f"{upstream.provider.name} does not list its models: {refused}") from None
    rows = document.get("data") if isinstance(document, dict) else None
    listed = (row for row in rows or () if isinstance(row, dict) and row.get("id") == name)
    return next(listed, None)


async def _ask(upstream: Upstream, name: str, clock: Clock) -> None:
    asked = {"model": name, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    try:
        await post(upstream, "/chat/completions", orjson.dumps(asked), new_attempt_id(clock.now()))
    except Refused as refused:
        raise ConfigError(f"{upstream.provider.name} loaded {name}, and does not answer as it: {refused}") from None


def _why_not(who: str, refused: Refused, adapter: Adapter) -> str:
    if refused.status in (404, 405) and "adapter" not in str(refused).lower().removeprefix(LOAD):
        return f"{who} loads no adapters while it runs ({refused}): {_OFF}"
    rank = f" (its rank is {adapter.rank}: the server's --max-lora-rank has to be as large)" if adapter.rank else ""
    return f"{who} does not load the adapter: {refused}{rank}; the path is the server's own: {adapter.path}"


def _object(path: Path) -> dict[str, Any] | None:
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return found if isinstance(found, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
