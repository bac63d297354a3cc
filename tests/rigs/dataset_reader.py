"""Run by the interpreter that has Hugging Face's datasets: loads exported files as trainers do, and prints the rows.

Arguments: the format's name, a directory with train.jsonl and evaluation.jsonl.
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

from datasets import load_dataset


def main(name: str, directory: Path) -> None:
    # Types are those of the first split.
    files = {split: str(directory / f"{split}.jsonl") for split in ("train", "evaluation")}
    loaded = load_dataset("json", data_files=files, cache_dir=str(directory / "cache"))
    told = {
        "columns": {split: sorted(rows.column_names) for split, rows in loaded.items()},
        "rows": {split: list(rows) for split, rows in loaded.items()},
        "trl": as_trl(name, loaded["train"]) if find_spec("trl") else None,
    }
    json.dump(told, sys.stdout)


def as_trl(name: str, rows: object) -> dict[str, object]:
    """What TRL's own functions make of them."""
    import trl
    from trl.data_utils import is_conversational, unpair_preference_dataset

    told: dict[str, object] = {"version": trl.__version__, "conversational": [is_conversational(row) for row in rows]}
    if name == "trl-dpo":
        told["unpaired"] = unpair_preference_dataset(rows).column_names
    return told


main(sys.argv[1], Path(sys.argv[2]))
