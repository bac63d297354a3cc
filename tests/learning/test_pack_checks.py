import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from generated_packs import REDACTOR, built, rows_of, source

from gateway.config.packs import FILES, FIXED, MANIFEST, POOL, Pack, parse_pack, sealed
from gateway.errors import ConfigError
from gateway.learning.packs.building import Built
from gateway.learning.packs.checks import check_pack
from gateway.learning.packs.directory import held_out_path, read_files, write
from gateway.learning.packs.training_rows import read_rows
from gateway.policy.inputs import input_id


@pytest.fixture(scope="module")
def of_fifty() -> Built:
    return built(rows_of(50))


Tamper = Callable[[Pack, dict[str, bytes]], dict[str, bytes]]


def _resealed(change: Callable[[dict[str, Any]], object], name: str) -> Tamper:
    """Change the first line of a file, and put the right hash on it again."""

    def tamper(pack: Pack, files: dict[str, bytes]) -> dict[str, bytes]:
        manifest = {key: value for key, value in pack.manifest.items() if key not in ("hash", "version")}
        if name == MANIFEST:
            change(manifest)
            return sealed(manifest, files)
        first, *rest = files[name].splitlines(keepends=True)
        row = orjson.loads(first)
        change(row)
        return sealed(manifest, {**files, name: b"".join([orjson.dumps(row) + b"\n", *rest])})

    return tamper


@pytest.mark.parametrize(
    ("tamper", "where", "said"),
    [
        (
            _resealed(lambda row: row["messages"][0].update(content="I am jane@example.com"), POOL),
            "pool.jsonl:1",
            "holds 1 × email",
        ),
        (_resealed(lambda row: row.update(tokens=1), FIXED), "fixed.jsonl:1", "tokens, not 1"),
        (_resealed(lambda row: row.update(prefix_tokens=7), MANIFEST), "pack.json:1", "prefix_tokens is 7"),
        (
            _resealed(lambda row: row.update(trained_system=["ask jane@example.com"]), MANIFEST),
            "pack.json:1",
            "trained_system holds 1 × email",
        ),
    ],
    ids=["an address", "an example's tokens", "the prefix", "an address in a system message"],
)
def test_checking_finds_what_the_hash_cannot(tamper: Tamper, where: str, said: str, of_fifty: Built) -> None:
    pack = parse_pack(tamper(of_fifty.pack, dict(of_fifty.files)))
    findings = [finding for finding in check_pack(pack, REDACTOR, None, (), "") if said in finding.message]
    assert [f"{finding.file}:{finding.line}" for finding in findings] == [where]
    assert not check_pack(of_fifty.pack, REDACTOR, None, (), "")


def test_checking_finds_a_held_out_row_in_the_pack_redacted_or_not(of_fifty: Built) -> None:
    everything = source(rows_of(50)).rows
    found = check_pack(of_fifty.pack, REDACTOR, None, everything, "t.jsonl")
    assert len(found) == len(of_fifty.pack.examples) and "of t.jsonl, which was to be held out" in found[0].message
    own = read_rows(of_fifty.held_out, "held-out.jsonl").rows
    assert own and not check_pack(of_fifty.pack, REDACTOR, None, own, "held-out.jsonl")
    assert {input_id(row.messages, row.tools) for row in own} == of_fifty.pack.held_out


def _modes(directory: Path) -> Mapping[str, int]:
    paths = [directory, *directory.iterdir(), held_out_path(directory)]
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in paths}


@pytest.mark.parametrize("private", [False, True], ids=["anybody's", "a tenant's"])
def test_a_written_pack_reads_back_and_nothing_else_is_left(private: bool, tmp_path: Path, of_fifty: Built) -> None:
    for _ in range(2):  # the second takes the first's place
        write(tmp_path / "triage", of_fifty.files, of_fifty.held_out, private=private)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["triage", "triage.held-out.jsonl"]
        assert read_files(tmp_path / "triage") == of_fifty.files
    file, directory = (0o600, 0o700) if private else (0o644, 0o755)
    expected = dict.fromkeys(FILES, file) | {"triage": directory, "triage.held-out.jsonl": 0o600}
    assert _modes(tmp_path / "triage") == expected


def test_held_out_rows_of_an_earlier_pack_go_where_none_are_held_out(tmp_path: Path, of_fifty: Built) -> None:
    write(tmp_path / "triage", of_fifty.files, of_fifty.held_out, private=False)
    none = built(rows_of(50), hold_out=0)
    write(tmp_path / "triage", none.files, none.held_out, private=False)
    assert [path.name for path in tmp_path.iterdir()] == ["triage"]


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({"notes.txt": "mine"}, "holds notes.txt, which is of no pack"),
        ({"pack.json": "{}"}, "holds no pack that could be replaced"),
        ({"pack.json": '{"route": "another"}'}, "holds the pack of route 'another'"),
    ],
    ids=["a file of somebody's", "no manifest", "another route's pack"],
)
def test_only_the_same_routes_pack_is_replaced(
    there: dict[str, str], said: str, tmp_path: Path, of_fifty: Built
) -> None:
    directory = tmp_path / "triage"
    directory.mkdir()
    for name, text in there.items():
        (directory / name).write_text(text)
    with pytest.raises(ConfigError, match=said):
        write(directory, of_fifty.files, of_fifty.held_out, private=False)
    assert {path.name: path.read_text() for path in directory.iterdir()} == there
    assert [path.name for path in tmp_path.iterdir()] == ["triage"]
