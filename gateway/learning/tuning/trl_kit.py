"""What is needed to train on one's own GPU: a script for TRL, its configuration, the rows, and how to come back."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from gateway.policy.tuning import Method

EPOCHS: Final = 3
"""Unless something else is asked for; with LoRA, and fifty to some thousand rows."""
_LEARNING_RATES: Final[Mapping[Method, str]] = {"sft": "1.0e-4", "dpo": "5.0e-6"}
DATA: Final = "data"
"""Where its rows lie, with what each of them is: there a deletion finds them."""
FORMATS: Final[Mapping[Method, str]] = {"sft": "trl-sft", "dpo": "trl-dpo"}
"""The data set's format by method."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KitWish:
    """What is to be trained."""

    route: str
    base: str
    """An id of the Hugging Face hub, or a directory."""
    method: Method
    dataset_hash: str
    epochs: int | None = None
    seed: int = 7


def kit_files(wish: KitWish, rows: Collection[str]) -> dict[str, bytes]:
    """Return the directory's files by name; its rows, of which ``rows`` has the names, lie below it in ``data``."""
    evaluation = f"{DATA}/evaluation.jsonl" if "evaluation.jsonl" in rows else None
    written = {"config.yaml": _config(wish, evaluation), "README.md": _readme(wish)}
    # The script is no module of this package: it imports what the gateway does not have.
    shipped = {"train.py": _shipped("train.py.txt"), "requirements.txt": _shipped("requirements.txt")}
    return {**shipped, **{name: text.encode() for name, text in written.items()}}


def _shipped(name: str) -> bytes:
    return resources.files("gateway.learning.tuning").joinpath("kit", name).read_bytes()


def _config(wish: KitWish, evaluation: str | None) -> str:
    values: list[tuple[str, Any, str]] = [
        ("route", wish.route, "whose rows these are"),
        ("dataset_hash", wish.dataset_hash, ""),
        ("method", wish.method, "sft: learn the answers; dpo: prefer the better one of two"),
        ("base", wish.base, "an id of the Hugging Face hub, or a directory"),
        ("output", "adapter", "where the adapter goes"),
        ("train", f"{DATA}/train.jsonl", ""),
        ("evaluation", evaluation, "never trained on; its loss is told after every epoch"),
        ("epochs", wish.epochs or EPOCHS, ""),
        ("max_length", 4096, "tokens of a row; what is longer is cut off at its end"),
        ("batch_size", 4, "rows at once: halve it, and double the next, when memory runs out"),
        ("gradient_accumulation", 4, ""),
        ("seed", wish.seed, ""),
    ]
    lines = [
        f"{name}: {json.dumps(value, ensure_ascii=False)}{f'  # {why}' if why else ''}" for name, value, why in values
    ]
    lines.append(f"learning_rate: {_LEARNING_RATES[wish.method]}  # for a LoRA: ten times what a full fine-tune takes")
    if wish.method == "dpo":
        lines.append("beta: 0.1  # how close it stays to the base")
    lora = ("r: 16", "alpha: 32", "dropout: 0.05", "target_modules: all-linear")
    return "\n".join([*lines, "lora:", *(f"  {line}" for line in lora)]) + "\n"


def _readme(wish: KitWish) -> str:
    first = (
        ""
        if wish.method == "sft"
        else (
            "\nPreference training starts from a model that answers well already: train with `--method sft` first,\n"
            "merge that adapter into its base, and name the result as `base` in config.yaml.\n"
        )
    )
    return f"""# {wish.route}: a LoRA of {wish.base}

Everything to train on your own GPU, and to serve what comes of it. `data/` holds what your callers asked and what
people answered: treat it as you treat those.

## Train

```sh
python -m venv .venv && . .venv/bin/activate
pip install -r requirements.txt
python train.py --check
python train.py
```
{first}
A model of 8 billion parameters takes about 24 GB of a GPU's memory with these settings. The adapter is in `adapter/`.

## Serve

```sh
VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve {wish.base} --enable-lora --max-lora-rank 16
```

vLLM then takes adapters while it runs. Let nobody but the gateway reach it: whoever does can load others.

## Come back

With that server as a provider of routes.yaml (`kind: vllm`), here called `own`:

```sh
gateway tune {wish.route} --on own --adapter adapter/
```

This loads the adapter, sees that it is there and answers, and registers it as the route's next version. A server that
starts anew has forgotten it: name it there, too (`--lora-modules NAME=adapter/`).
"""
