"""N corrections in, N rows out that keep every rule of each format, as validation knows them and export does not."""

from pathlib import Path

import pytest
from dataset_material import CALL, NOW, REDACTOR, TOOL, a_mark, approved, assistant, built, put, user

from gateway.learning.datasets.directory import DataSet, write
from gateway.learning.datasets.directory_check import validate_directory
from gateway.learning.datasets.export import exported
from gateway.learning.datasets.formats import FORMATS
from gateway.learning.datasets.overlap import Evaluated
from gateway.learning.datasets.sources import from_approved, from_corrections
from gateway.learning.datasets.validation import FileReport, Wanted

CORRECTIONS, WITH_TOOLS = 80, 12


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    called = [
        user("Where is 7?"),
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": CALL["id"], "content": "In Leeds."},
    ]
    marks = [a_mark(number, f"Where is parcel {number}?") for number in range(CORRECTIONS)]
    marks += [a_mark(900 + n, [user(f"Hello {n}"), assistant("Hi."), *called], tools=[TOOL]) for n in range(WITH_TOOLS)]
    right = [approved(1_000 + number, f"Is it {number}?", f"Yes, {number}.") for number in range(20)]
    return put(
        tmp_path_factory.mktemp("set") / "triage", built(from_corrections(marks, None), from_approved(right, None))
    )


def checked(directory: Path) -> list[FileReport]:
    return validate_directory(directory, Wanted(redactor=REDACTOR), None, lambda _: lambda _: None)


def test_a_data_set_keeps_its_own_rules(dataset: DataSet) -> None:
    reports = checked(dataset.directory)
    assert [str(found) for report in reports for found in report.findings if found.severity == "error"] == []
    assert sum(report.rows for report in reports if "preferences" in report.file) == CORRECTIONS + WITH_TOOLS


def test_a_directory_adds_nothing_to_what_the_next_one_is_held_against(dataset: DataSet) -> None:
    wanted = Wanted(evaluated=Evaluated())
    validate_directory(dataset.directory, wanted, None, lambda _: lambda _: None)
    assert wanted.evaluated is not None and wanted.evaluated.rows == 0


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_an_export_keeps_the_rules_of_its_format(name: str, dataset: DataSet, tmp_path: Path) -> None:
    form = FORMATS[name]  # type: ignore[index]
    export = exported(dataset, form, by="jane", at=NOW)
    write(tmp_path / name, export.manifest, export.files)
    reports = checked(tmp_path / name)
    assert [str(found) for report in reports for found in report.findings if found.severity == "error"] == []
    assert {report.format for report in reports} == {name}
    lost = 0 if form.tools else WITH_TOOLS
    others = {"sft": 20, "preference": 0, "kto": 20 + CORRECTIONS + WITH_TOOLS - lost}[form.kind]
    assert sum(report.rows for report in reports) == CORRECTIONS + WITH_TOOLS - lost + others
