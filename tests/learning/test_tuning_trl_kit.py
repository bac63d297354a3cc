"""What is written to train on one's own GPU: it compiles, checks itself without a GPU, and its names are TRL's."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gateway.learning.tuning.trl_kit import DATA, KitWish, kit_files
from gateway.policy.tuning import Method

SFT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
DPO = {
    "prompt": [{"role": "user", "content": "Hi"}],
    "chosen": [{"role": "assistant", "content": "Hello"}],
    "rejected": [{"role": "assistant", "content": "No"}],
}
ROWS = {"sft": SFT, "dpo": DPO}


def written(place: Path, method: Method, *, base: str = "Qwen/Qwen3-4B", evaluation: bool = True) -> Path:
    names = ["train.jsonl", *(["evaluation.jsonl"] if evaluation else [])]
    wish = KitWish(route="reply", base=base, method=method, dataset_hash="sha256:1", epochs=2)
    for name, content in kit_files(wish, names).items():
        (place / name).write_bytes(content)
    (place / DATA).mkdir()
    for name in names:
        (place / DATA / name).write_text(f"{json.dumps(ROWS[method])}\n" * 3)
    return place


def checked(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(place / "train.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_the_script_reads_its_configuration_and_its_rows_without_a_gpu(tmp_path: Path, method: Method) -> None:
    done = checked(written(tmp_path, method), "--check")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{method}: Qwen/Qwen3-4B, 3 rows to train on, 3 to evaluate with\n"
    assert not done.stderr


def test_the_script_says_what_it_is(tmp_path: Path) -> None:
    done = checked(written(tmp_path, "sft"), "--help")
    assert done.returncode == 0
    assert "Train a LoRA adapter" in done.stdout


def test_a_row_that_is_none_is_named_with_its_line(tmp_path: Path) -> None:
    place = written(tmp_path, "sft", evaluation=False)
    (place / DATA / "train.jsonl").write_text(f"{json.dumps(SFT)}\n{json.dumps(DPO)}\n")
    done = checked(place, "--check")
    assert (done.returncode, done.stderr) == (1, "data/train.jsonl:2: not a row for sft\n")


def test_a_model_s_name_is_written_so_that_it_is_read_back(tmp_path: Path) -> None:
    base = 'odd: name #1 "of" a model\\x'
    config = yaml.safe_load((written(tmp_path, "dpo", base=base) / "config.yaml").read_text())
    assert config["base"] == base
    assert (config["epochs"], config["beta"], config["evaluation"]) == (2, 0.1, "data/evaluation.jsonl")
    assert isinstance(config["learning_rate"], float)


def test_without_evaluation_rows_none_are_named(tmp_path: Path) -> None:
    config = yaml.safe_load((written(tmp_path, "sft", evaluation=False) / "config.yaml").read_text())
    assert config["evaluation"] is None
    assert "beta" not in config


def test_the_way_back_is_in_the_readme(tmp_path: Path) -> None:
    readme = (written(tmp_path, "sft") / "README.md").read_text()
    for said in (
        "python train.py --check",
        "vllm serve Qwen/Qwen3-4B --enable-lora",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True",
        "gateway tune reply --on own --adapter adapter/",
    ):
        assert said in readme


def test_heavy_libraries_are_imported_only_to_train(tmp_path: Path) -> None:
    tree = ast.parse((written(tmp_path, "sft") / "train.py").read_text())
    at_once = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    at_once |= {str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert at_once == {"argparse", "json", "sys", "pathlib", "yaml"}
