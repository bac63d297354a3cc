"""Data sets are known by their content, and files by where they lie, so that a deletion finds them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from gateway.store.database import Database
from gateway.store.datasets import DatasetRow, DatasetStore, ExportedFile
from gateway.store.deletions import DeletionStore
from gateway.store.rows import Rows
from gateway.store.tables_learning import deletions

NOW = datetime(2026, 11, 29, 22, 0, 0, 250_000, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def datasets(database: Database) -> DatasetStore:
    return DatasetStore(database)


def a_dataset(number: int, route: str = "triage", tenant: str = "", at: datetime = NOW) -> DatasetRow:
    return DatasetRow(f"sha256:{number:064x}", route, tenant, {"rows": number}, at, "jane@desk")


def a_file(path: str, *input_ids: str, host: str = "desk") -> ExportedFile:
    return ExportedFile(host, path, "triage", "st-mary", "dataset", list(input_ids), NOW)


async def test_each_is_found_by_its_hash(datasets: DatasetStore) -> None:
    rows = [a_dataset(1), a_dataset(2, tenant="st-mary"), a_dataset(3, route="other")]
    for row in rows:
        await datasets.keep(row)
    assert [await datasets.find(row.dataset_hash) for row in rows] == rows
    assert await datasets.find("sha256:none") is None


async def test_of_equal_content_the_first_one_stays(datasets: DatasetStore) -> None:
    await datasets.keep(a_dataset(1))
    await datasets.keep(a_dataset(1, at=NOW + MINUTE))
    assert await datasets.find(a_dataset(1).dataset_hash) == a_dataset(1)


async def test_a_file_is_known_by_host_and_path_and_the_last_word_on_it_counts(datasets: DatasetStore) -> None:
    for file in (a_file("/a", "2", "1", "2"), a_file("/b", "3"), a_file("/a", "9", host="other"), a_file("/b", "4")):
        await datasets.register(file)
    assert await datasets.files("desk") == [a_file("/a", "1", "2"), a_file("/b", "4")]
    assert [(file.host, file.path) for file in await datasets.files()] == [
        ("desk", "/a"),
        ("desk", "/b"),
        ("other", "/a"),
    ]
    assert await datasets.forget_file("desk", "/a") is True
    assert await datasets.forget_file("desk", "/a") is False
    assert await datasets.files("desk") == [a_file("/b", "4")]


async def test_a_file_is_narrowed_as_it_was_read_and_one_that_was_built_anew_since_is_not(
    datasets: DatasetStore,
) -> None:
    await datasets.register(read := a_file("/a", "1", "2"))
    await datasets.narrow(read, {"2"})
    assert await datasets.files() == [a_file("/a", "2")]
    await datasets.register(anew := replace(read, input_ids=["2", "3"], written_at=NOW + MINUTE))
    await datasets.narrow(read, {"2"})
    assert await datasets.files() == [anew], "a later deletion of 3 has to look into it"


async def test_what_was_deleted_is_known_since_an_instant_and_for_ever(
    datasets: DatasetStore, database: Database
) -> None:
    wishes = DeletionStore(database)
    receipt = await wishes.delete(deletion_id=str(UUID(int=1)), by="jane", now=NOW, user="kim")
    assert await datasets.deleted_since() == frozenset()
    row = {"deletion_id": str(UUID(int=2)), "deleted_at": NOW + MINUTE, "selector": "user:x", "by": "jane"}
    row |= {"counts": {}, "input_ids": ["a", "b"], "digest": receipt.digest}
    await Rows(database).add(deletions, row)
    assert await datasets.deleted_since() == {"a", "b"}
    assert await datasets.deleted_since(NOW + MINUTE) == {"a", "b"}
    assert await datasets.deleted_since(NOW + 2 * MINUTE) == frozenset()
