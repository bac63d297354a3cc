"""Rows go out of files that were written, and nothing is left of them: no text, no id, no copy beside."""

import stat
from datetime import timedelta
from pathlib import Path

import pytest
from dataset_material import (
    NOW,
    a_captured,
    a_file,
    a_mark,
    assistant,
    built,
    chat,
    of_corrections,
    on_side,
    put,
    rows_in,
    user,
)

from gateway.cli.capture_export import write_export
from gateway.errors import ConfigError
from gateway.learning.datasets.directory import DataSet, read, write
from gateway.learning.datasets.export import exported
from gateway.learning.datasets.formats import FORMATS
from gateway.learning.datasets.manifest import MANIFEST, hash_of
from gateway.learning.datasets.removal import Removed, remove_inputs
from gateway.policy.inputs import input_id

JANES = on_side("train", "Jane's own words")
JANES_ID = input_id([user(JANES)])


def everything_under(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file())


def a_dataset(directory: Path) -> DataSet:
    marks = [a_mark(at, f"Ticket {at}") for at in range(30)]
    return of_corrections(directory, [*marks, a_mark(99, JANES)])


def test_the_rows_of_an_input_go_from_every_file_and_the_manifest_is_true_again(tmp_path: Path) -> None:
    before = a_dataset(tmp_path / "set")
    assert JANES.encode() in everything_under(tmp_path)
    removed = remove_inputs(tmp_path / "set" / MANIFEST, [JANES_ID, "0" * 16])
    assert removed.rows == 2
    assert sorted(Path(file).name for file in removed.files) == ["train.jsonl", "train.preferences.jsonl"]
    left = everything_under(tmp_path)
    assert b"Jane" not in left and JANES_ID.encode() not in left
    after = read(tmp_path / "set")
    assert after.manifest.dataset_hash == hash_of(after.files) != before.manifest.dataset_hash
    assert after.manifest.earlier_hashes == (before.manifest.dataset_hash,)
    assert after.manifest.sources == {"corrections": 30}
    assert after.files["evaluation.jsonl"] == before.files["evaluation.jsonl"]
    assert 0 < after.manifest.tokens["train.jsonl"] < before.manifest.tokens["train.jsonl"]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "set").iterdir()} == {0o600}


@pytest.mark.parametrize("name", [*FORMATS])
def test_it_goes_from_an_export_in_every_format_too_which_lies_within_the_data_set(name: str, tmp_path: Path) -> None:
    dataset = a_dataset(tmp_path / "set")
    out = exported(dataset, FORMATS[name])
    place = tmp_path / "set" / name
    path = write(place, out.manifest, out.files)
    assert b"Jane" in everything_under(place)
    # The data set first: its directory is put in place anew, and its exports stay in it.
    remove_inputs(tmp_path / "set" / MANIFEST, [JANES_ID])
    rows = remove_inputs(path, [JANES_ID]).rows
    assert rows == (2 if name == "trl-kto" else 1)
    assert b"Jane" not in everything_under(tmp_path)
    left = read(place)
    assert all(len(left.lines(file)) == len(rows_of.rows) for file, rows_of in left.manifest.files.items())


def test_captured_rows_that_were_exported_go_as_well(tmp_path: Path) -> None:
    rows = [a_captured(at, f"Ticket {at}", "fine") for at in range(3)]
    rows.append(a_captured(9, JANES, "of course, Jane", captured_at=NOW + timedelta(days=1)))
    manifest = write_export(tmp_path / "rows.jsonl", "triage", None, rows, NOW)
    removed = remove_inputs(manifest, [JANES_ID])
    assert removed == Removed((str(tmp_path / "rows.jsonl"),), 1)
    assert b"Jane" not in everything_under(tmp_path)
    assert len(rows_in((tmp_path / "rows.jsonl").read_bytes())) == 3
    assert remove_inputs(manifest, [JANES_ID]) == Removed()


def test_what_holds_no_such_row_stays_as_it_is(tmp_path: Path) -> None:
    a_dataset(tmp_path / "set")
    before = {path: path.stat().st_ino for path in (tmp_path / "set").iterdir()}
    assert remove_inputs(tmp_path / "set" / MANIFEST, ["0" * 16]) == Removed()
    assert {path: path.stat().st_ino for path in (tmp_path / "set").iterdir()} == before


def test_when_the_last_row_goes_the_file_goes_with_it(tmp_path: Path) -> None:
    put(tmp_path / "set", built(a_file([chat(user(JANES), assistant("a"))])))
    assert remove_inputs(tmp_path / "set" / MANIFEST, [JANES_ID]).rows == 1
    assert [path.name for path in (tmp_path / "set").iterdir()] == [MANIFEST]
    assert read(tmp_path / "set").files == {}


def test_a_file_that_somebody_changed_is_not_guessed_at(tmp_path: Path) -> None:
    a_dataset(tmp_path / "set")
    with (tmp_path / "set" / "train.jsonl").open("ab") as stream:
        stream.write(b"{}\n")
    with pytest.raises(ConfigError, match="was changed since its manifest was written"):
        remove_inputs(tmp_path / "set" / MANIFEST, [JANES_ID])


def test_what_is_not_there_any_more_is_said_to_be_missing(tmp_path: Path) -> None:
    for name in (MANIFEST, "rows.jsonl.manifest.json"):
        with pytest.raises(FileNotFoundError):
            remove_inputs(tmp_path / "gone" / name, [JANES_ID])


@pytest.mark.parametrize("moment", ["before the earlier one was moved", "between the two moves", "after both"])
def test_what_a_killed_build_left_beside_is_found_and_cleaned(moment: str, tmp_path: Path) -> None:
    dataset = a_dataset(tmp_path / "set")
    out = exported(dataset, FORMATS["trl-sft"])
    write(tmp_path / "set" / "trl-sft", out.manifest, out.files)
    fresh, old = tmp_path / ".set.0123abcd", tmp_path / ".set.0123abcd.old"
    write(fresh, dataset.manifest, dataset.files)
    if moment != "before the earlier one was moved":
        (tmp_path / "set").rename(old)
    if moment == "after both":
        fresh.rename(tmp_path / "set")
    for path in (tmp_path / "set" / "trl-sft" / MANIFEST, tmp_path / "set" / MANIFEST):
        assert remove_inputs(path, [JANES_ID]).rows
    assert b"Jane" not in everything_under(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
