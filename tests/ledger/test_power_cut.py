"""What a power cut leaves, by a model of the disk: what was synced, and any part of what was only written."""

import asyncio
import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.ledger.entry import Entry
from gateway.ledger.journal import Journal
from gateway.ledger.segments import FileCalls
from tests.ledger.journal_material import a_journal, an_intent, read_all, settled, until

PAGE = 256
"""Bytes that reach the disk together; small, so that frames are torn often."""


class CuttableFiles(FileCalls):
    """A disk that knows of every file what is on it for certain: what stood there when it was last synced."""

    def __init__(self) -> None:
        self.durable: dict[int, bytes] = {}
        """By inode, which the tests' files keep."""
        self.syncs = 0

    def sync(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        self.durable[status.st_ino] = os.pread(descriptor, status.st_size, 0).rstrip(b"\0")
        self.syncs += 1

    def after_a_cut(self, journal: Path, to: Path, chance: random.Random) -> Path:
        """Copy a journal as a cut may leave it: of the bytes that were not synced any pages, each as it was or new."""
        shutil.copytree(journal, to)
        for path in sorted(to.glob("*.seg")):
            written = path.read_bytes()
            kept = bytearray(len(written))
            for at in range(0, len(written), PAGE):
                if chance.random() < 0.5:
                    kept[at : at + PAGE] = written[at : at + PAGE]
            certain = self.durable.get((journal / path.name).stat().st_ino, b"")
            kept[: len(certain)] = certain
            path.write_bytes(kept)
        return to


class LyingFiles(CuttableFiles):
    """The negative control: a disk whose syncs do nothing."""

    def sync(self, descriptor: int) -> None:
        self.syncs += 1


def lost(acknowledged: Sequence[Entry], files: CuttableFiles, journal: Journal, tmp_path: Path) -> int:
    """Return how many acknowledged rows the worst of twenty cuts at this moment loses."""
    worst = 0
    for seed in range(20):
        left = files.after_a_cut(journal.directory, tmp_path / "left" / f"cut-{seed}", random.Random(seed))
        kept = {entry.attempt_id for entry in read_all(left).entries}
        worst = max(worst, sum(entry.attempt_id not in kept for entry in acknowledged))
    shutil.rmtree(tmp_path / "left")
    return worst


async def written_by_three(journal: Journal, acknowledged: list[Entry], rounds: int) -> None:
    """Have three callers at once write attempts, each waiting for its row as an answer's end does."""

    async def caller(number: int) -> None:
        for turn in range(rounds):
            intent = an_intent(number * 1000 + turn)
            journal.intent(intent)
            await asyncio.sleep(0)
            journal.progress(intent.entry.attempt_id, 32)
            journal.settle(settled(intent))
            await journal.synced()
            acknowledged.append(settled(intent))

    await asyncio.gather(*(caller(number) for number in range(3)))


@pytest.mark.parametrize("rounds", [1, 4, 9])
async def test_strict_loses_nothing_that_was_acknowledged(tmp_path: Path, rounds: int) -> None:
    files = CuttableFiles()
    acknowledged: list[Entry] = []
    with a_journal(tmp_path / "root", files, segment_bytes=4096, durability="strict") as journal:
        await written_by_three(journal, acknowledged, rounds)
        # What others have only written must not harm what was acknowledged, wherever the cut tears it.
        for number in range(5):
            journal.intent(an_intent(9000 + number))
        assert len(acknowledged) == 3 * rounds
        assert lost(acknowledged, files, journal, tmp_path) == 0


async def test_fast_loses_at_most_what_was_written_since_the_last_sync(tmp_path: Path) -> None:
    files = CuttableFiles()
    with a_journal(tmp_path / "root", files, segment_bytes=4096) as journal:
        older, newer = ([settled(an_intent(begin + number)) for number in range(9)] for begin in (0, 100))
        for entry in older:
            journal.settle(entry)
        await until(lambda: files.syncs == 1 or len(files.durable) > 1)
        await asyncio.sleep(0)
        for entry in newer:
            journal.settle(entry)
        assert lost(older, files, journal, tmp_path) == 0
        assert lost(newer, files, journal, tmp_path) > 0, "the model's cuts do lose what was not synced"


async def test_without_syncs_the_same_check_finds_what_is_lost(tmp_path: Path) -> None:
    files = LyingFiles()
    acknowledged: list[Entry] = []
    with a_journal(tmp_path / "root", files, segment_bytes=4096, durability="strict") as journal:
        await written_by_three(journal, acknowledged, 4)
        assert files.syncs > 0
        assert lost(acknowledged, files, journal, tmp_path) > 0
