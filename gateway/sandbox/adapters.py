"""vLLM's commands for LoRA adapters: a directory is loaded under a name, and unloaded again.

What an adapter was trained on is read from ``train.jsonl`` in its directory, where there is one.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from gateway.sandbox.catalogue import Model
from gateway.sandbox.endpoint import load_body
from gateway.sandbox.lessons import learn
from gateway.sandbox.provider import Provider
from gateway.sandbox.refusals import ProviderError
from gateway.sandbox.training import EPOCHS
from gateway.sandbox.training_rows import InvalidFile, read_training_rows

LOAD, UNLOAD = "/load_lora_adapter", "/unload_lora_adapter"
_MOST_BYTES = 32 * 1024 * 1024
_NAME = re.compile(r"[\w./:@-]{1,200}")


def load(provider: Provider, raw: bytes) -> str:
    """Sell an adapter under a name.

    Raises:
        ProviderError: it has no name, no directory, no base that is for sale, or is loaded already.
    """
    body = load_body(raw)
    name, path = body.get("lora_name"), body.get("lora_path")
    if not (isinstance(name, str) and isinstance(path, str) and _NAME.fullmatch(name) and path):
        raise _error(400, "InvalidUserInput", "Both 'lora_name' and 'lora_path' must be provided.")
    there = provider.models.get(name)
    if there is not None and (there.adapter_path is None or there.retired_on(provider.today()) is None):
        said = (
            f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, set "
            "'load_inplace' to True."
        )
        raise _error(400, "InvalidUserInput", said)
    provider.add(_adapter(provider, name, Path(path)))
    return f"Success: LoRA adapter '{name}' added successfully."


def unload(provider: Provider, raw: bytes) -> str:
    """Sell an adapter no more: from now on it is what vLLM does not have.

    Raises:
        ProviderError: there is none of this name.
    """
    name = load_body(raw).get("lora_name")
    if not isinstance(name, str) or not name:
        raise _error(400, "InvalidUserInput", "either 'lora_name' and 'lora_int_id' needs to be provided.")
    model = provider.models.get(name)
    if model is None or model.adapter_path is None or model.retired_on(provider.today()) is not None:
        raise _error(404, "NotFoundError", f"The lora adapter '{name}' cannot be found.")
    provider.retire(name, "vllm")
    return f"Success: LoRA adapter '{name}' removed successfully."


def _adapter(provider: Provider, name: str, directory: Path) -> Model:
    written = _read(directory / "adapter_config.json")
    if written is None:
        raise _error(404, "NotFoundError", f"No adapter found for {directory}")
    try:
        config = orjson.loads(written)
    except orjson.JSONDecodeError:
        config = None
    base_id = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    base = provider.models.get(base_id) if isinstance(base_id, str) else None
    if base is None or base.training_price is None:
        raise _error(400, "BadRequestError", f"The adapter's base_model_name_or_path {base_id!r} is not served here.")
    model = replace(
        base,
        id=name,
        base=base.base or base.id,
        created=int(provider.clock.now().timestamp()),
        retired_as=None,
        adapter_path=str(directory),
    )
    rows = _read(directory / "train.jsonl")
    if rows is None:
        return model
    try:
        taught = read_training_rows(rows, "supervised", "training_file").taught
    except InvalidFile as error:
        raise _error(400, "BadRequestError", error.message) from error
    lessons, style = learn(base, taught, EPOCHS)
    return replace(model, lessons=lessons, taught=style)


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except (OSError, ValueError):
        return None


def _error(status: int, kind: str, message: str) -> ProviderError:
    body: dict[str, Any] = {"error": {"message": message, "type": kind, "param": None, "code": status}}
    return ProviderError(status, body)
