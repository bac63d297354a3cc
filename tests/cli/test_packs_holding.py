"""Files of rows that were held out of packs: looked through for rows that were deleted, wherever they lie."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from generated_packs import REDACTOR, pair, source
from migrated_database import migrated

from gateway.cli.packs_holding import HoldingPack, packs_holding
from gateway.config.loader import load
from gateway.learning.packs.building import Settings, build
from gateway.learning.packs.directory import held_out_path, write
from gateway.learning.packs.rows import PackRow
from gateway.store.database import Database

ROUTES = """
version: 1
providers: {sandbox: {kind: sandbox}}
fallbacks:
  luna: {provider: sandbox, model: gpt-6-luna, prompt: {pack: "DIRECTORY/{route}"}}
  terra: {provider: sandbox, model: gpt-6-terra, prompt: {instructions: Be brief.}}
routes:
  reply: {primary: {provider: sandbox, model: "ft:gpt-4o-mini-2024-07-18:acme:reply:A1"}, fallbacks: [FALLBACK]}
"""
TOOL = {"type": "function", "function": {"name": "find"}}
Damage = Callable[[Path], object]


def packed(home: Path, directory: str) -> tuple[Path, list[PackRow], list[PackRow]]:
    """Build a pack of a route's rows, and return it with its held-out rows and its examples' rows."""
    rows = [pair(f"parcel {at} of jane{at}@example.com", "on its way", tools=[TOOL]) for at in range(40)]
    built = build([source(rows)], Settings("reply"), REDACTOR)
    write(home / directory / "reply", built.files, built.held_out, private=False)
    return home / directory / "reply", list(built.rows.held_out), list(built.rows.kept)


def holding(home: Path, ids: set[str], directory: str = "packs", fallback: str = "luna") -> list[HoldingPack]:
    async def look() -> list[HoldingPack]:
        database = await Database.open(url)
        try:
            return await packs_holding(ids, loaded, database)
        finally:
            await database.close()

    url = f"sqlite+aiosqlite:///{home / 'gateway.db'}"
    migrated(url)
    path = home / "routes.yaml"
    path.write_text(ROUTES.replace("DIRECTORY", directory).replace("FALLBACK", fallback))
    loaded = load(path, environ={})
    return asyncio.run(look())


@pytest.mark.parametrize(
    ("directory", "fallback"),
    [("packs", "luna"), ("prompts", "luna"), ("packs", "terra")],
    ids=["where packs are built", "where routes.yaml says", "of a pack that routes.yaml does not name yet"],
)
def test_a_file_of_held_out_rows_is_listed_with_what_to_do(directory: str, fallback: str, tmp_path: Path) -> None:
    pack, held_out, kept = packed(tmp_path, directory)
    one, other = held_out[0].id, kept[0].id
    (found,) = holding(tmp_path, {one, "0" * 16}, directory, fallback)
    assert (found.place, found.route, found.rows) == (str(held_out_path(pack)), "reply", (one,))
    assert "gateway pack build reply … writes it anew from rows without them" in found.what_to_do
    both = holding(tmp_path, {one, other}, directory, fallback)
    assert [(held.place, held.rows) for held in both] == [(str(pack), (other,)), (str(held_out_path(pack)), (one,))]


def test_a_file_is_listed_whose_pack_is_no_longer_there(tmp_path: Path) -> None:
    for directory in ("packs", "prompts"):
        pack, held_out, _ = packed(tmp_path, directory)
        for file in pack.iterdir():
            file.unlink()
        pack.rmdir()
        found = holding(tmp_path, {held_out[0].id}, directory)
        assert str(held_out_path(pack)) in [held.place for held in found]


def without_first(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))


AFTERWARDS: dict[str, tuple[Damage, list[str]]] = {
    "its line is taken out": (without_first, []),
    "it is deleted": (Path.unlink, []),
    "it is emptied": (lambda path: path.write_text(""), []),
    "it can no longer be read": (lambda path: path.write_text("{"), ["cannot be read"]),
}


@pytest.mark.parametrize(("damage", "told"), AFTERWARDS.values(), ids=AFTERWARDS)
def test_a_file_is_listed_until_the_rows_are_out_of_it(damage: Damage, told: list[str], tmp_path: Path) -> None:
    pack, held_out, _ = packed(tmp_path, "packs")
    first: dict[str, Any] = json.loads(held_out_path(pack).read_text().splitlines()[0])
    ids = {row.id for row in held_out if row.row.messages[0]["content"] == first["messages"][0]["content"]}
    assert len(holding(tmp_path, ids)) == 1
    damage(held_out_path(pack))
    assert [found.what_to_do[:14] for found in holding(tmp_path, ids)] == told
