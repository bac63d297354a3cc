from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

BASE = "gpt-4.1-mini-2025-04-14"
LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"


def adapter(directory: Path, base: str = BASE, rows: int = 10) -> Path:
    directory.mkdir()
    (directory / "adapter_config.json").write_bytes(orjson.dumps({"base_model_name_or_path": base}))
    row = {"messages": [{"role": "user", "content": "Question?"}, {"role": "assistant", "content": "As trained."}]}
    (directory / "train.jsonl").write_bytes(b"\n".join([orjson.dumps(row)] * rows))
    return directory


def load(http: httpx.Client, path: Path, name: str = "triage-v2") -> httpx.Response:
    return http.post(LOAD, json={"lora_name": name, "lora_path": str(path)})


def ask(http: httpx.Client, name: str = "triage-v2") -> httpx.Response:
    body = {"model": name, "messages": [{"role": "user", "content": "question?"}]}
    return http.post("/v1/chat/completions", json=body)


def test_an_adapter_is_loaded_asked_unloaded_and_loaded_again(http: httpx.Client, tmp_path: Path) -> None:
    directory = adapter(tmp_path / "a")
    loaded = load(http, directory)
    assert (loaded.status_code, loaded.text) == (200, "Success: LoRA adapter 'triage-v2' added successfully.")
    [card] = [one for one in http.get("/v1/models").json()["data"] if one["id"] == "triage-v2"]
    assert (card["parent"], card["root"]) == (BASE, str(directory))
    assert ask(http).json()["choices"][0]["message"]["content"] == "As trained."
    assert "triage-v2" not in {job["fine_tuned_model"] for job in http.get("/v1/fine_tuning/jobs").json()["data"]}
    again = load(http, directory)
    assert (again.status_code, again.json()["error"]["type"]) == (400, "InvalidUserInput")
    assert "has already been loaded" in again.json()["error"]["message"]
    unloaded = http.post(UNLOAD, json={"lora_name": "triage-v2"})
    assert (unloaded.status_code, unloaded.text) == (200, "Success: LoRA adapter 'triage-v2' removed successfully.")
    gone = ask(http)
    assert (gone.status_code, gone.json()["error"]["type"]) == (404, "NotFoundError")
    assert "triage-v2" not in {one["id"] for one in http.get("/v1/models").json()["data"]}
    assert load(http, directory).status_code == 200
    assert ask(http).status_code == 200


def test_only_adapters_tell_of_a_parent(http: httpx.Client) -> None:
    assert not any("parent" in card for card in http.get("/v1/models").json()["data"])


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        pytest.param(LOAD, {"lora_name": "x"}, 400, "Both 'lora_name' and 'lora_path' must", id="no path"),
        pytest.param(LOAD, {"lora_path": "/x"}, 400, "Both 'lora_name' and 'lora_path' must", id="no name"),
        pytest.param(LOAD, {"lora_name": "x", "lora_path": "/no/such"}, 404, "No adapter found for /no/such",
                     id="no directory"),
        pytest.param(LOAD, {"lora_name": BASE, "lora_path": "/x"}, 400, "already been loaded", id="a base's name"),
        pytest.param(UNLOAD, {}, 400, "needs to be provided", id="unload without a name"),
        pytest.param(UNLOAD, {"lora_name": "x"}, 404, "The lora adapter 'x' cannot be found.", id="unload nothing"),
        pytest.param(UNLOAD, {"lora_name": BASE}, 404, "cannot be found", id="unload a base"),
    ],
)  # fmt: skip
def test_commands_are_refused_in_vllms_words(
    http: httpx.Client, path: str, body: dict[str, Any], status: int, says: str
) -> None:
    answer = http.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, status)
    assert says in answer.json()["error"]["message"]
    assert http.get(path).status_code == 405


def test_an_adapter_of_another_base_or_of_broken_rows_is_not_loaded(http: httpx.Client, tmp_path: Path) -> None:
    foreign = load(http, adapter(tmp_path / "a", "Qwen/Qwen3-4B"))
    assert (foreign.status_code, "is not served here" in foreign.text) == (400, True)
    few = load(http, adapter(tmp_path / "b", rows=2))
    assert (few.status_code, "at least 10" in few.text) == (400, True)
