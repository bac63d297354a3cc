import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.config.findings import InvalidRoutes
from gateway.config.loader import Loaded, load
from gateway.config.watch import watch

LIMIT_S = 20
HEAD = """\
version: 1
include: ["teams/*.yaml"]
providers: {p: {kind: vllm, base_url: "http://p/v1"}}
fallbacks: {base: {provider: p, model: m, prompt: {instructions_file: "prompts/{route}.md"}}}
defaults: {provider: p, fallbacks: [base]}
"""


class Story:
    """A watched folder, and what the watcher said of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.first = load(path, environ={})
        self.stop = asyncio.Event()
        self.said: asyncio.Queue[Loaded | InvalidRoutes] = asyncio.Queue()
        self.read: list[Loaded] = []
        """Each time that the files were read since, changed or not."""

    async def loaded(self) -> Loaded:
        said = await asyncio.wait_for(self.said.get(), LIMIT_S)
        assert isinstance(said, Loaded), said
        return said

    async def refused(self) -> InvalidRoutes:
        said = await asyncio.wait_for(self.said.get(), LIMIT_S)
        assert isinstance(said, InvalidRoutes)
        return said


@asynccontextmanager
async def _watched(path: Path) -> AsyncIterator[Story]:
    story = Story(path)
    task = asyncio.create_task(
        watch(
            path,
            environ={},
            current=story.first,
            on_loaded=story.said.put_nowait,
            on_refused=story.said.put_nowait,
            stop=story.stop,
            prepare=story.read.append,
        )
    )
    try:
        yield story
    finally:
        story.stop.set()
        await asyncio.wait_for(task, LIMIT_S)


def _write(folder: Path, routes: str) -> Path:
    (folder / "prompts").mkdir(parents=True, exist_ok=True)
    (folder / "prompts" / "a.md").write_text("one")
    (folder / "routes.yaml").write_text(HEAD + f"routes: {routes}\n")
    return folder / "routes.yaml"


async def test_a_broken_file_is_refused_once_and_the_last_good_one_stays(tmp_path: Path) -> None:
    path = _write(tmp_path, "{a: ft-1}")
    async with _watched(path) as story:
        path.write_text("version: [")
        assert "routes.yaml:1: is not YAML" in str(await story.refused())
        path.write_text("version: [ ")
        path.write_text(HEAD + "routes: {a: ft-2}\n")
        replaced = await story.loaded()
    primary, before = replaced.routes.routes["a"].primary, story.first.routes.routes["a"].primary
    assert primary is not None
    assert before is not None
    assert (before.model, primary.model) == ("ft-1", "ft-2")


async def test_a_file_mended_to_what_it_was_is_good_again(tmp_path: Path) -> None:
    path = _write(tmp_path, "{a: ft-1}")
    good = path.read_text()
    async with _watched(path) as story:
        path.write_text("")
        await story.refused()
        path.write_text(good)
        assert (await story.loaded()).routes == story.first.routes


async def test_a_changed_prompt_is_a_new_configuration(tmp_path: Path) -> None:
    path = _write(tmp_path, "{a: ft-1}")
    async with _watched(path) as story:
        (tmp_path / "prompts" / "a.md").write_text("two")
        prompt = (await story.loaded()).routes.routes["a"].fallbacks[0].prompt
    assert prompt is not None
    assert prompt.instructions == "two"


async def test_an_included_file_that_appears_in_a_new_folder_is_noticed(tmp_path: Path) -> None:
    path = _write(tmp_path, "{a: ft-1}")
    async with _watched(path) as story:
        (tmp_path / "prompts" / "b.md").write_text("b")
        (tmp_path / "teams").mkdir()
        (tmp_path / "teams" / "b.yaml").write_text("routes: {b: ft-2}\n")
        assert set((await story.loaded()).routes.routes) == {"a", "b"}


async def test_a_file_that_was_missing_and_appears_mends_the_configuration(tmp_path: Path) -> None:
    path = _write(tmp_path, "{a: ft-1}")
    async with _watched(path) as story:
        path.write_text(HEAD + "routes: {a: {primary: ft-1, contract: schemas/a.json}}\n")
        assert "contract schemas/a.json does not exist" in str(await story.refused())
        (tmp_path / "schemas").mkdir()
        (tmp_path / "schemas" / "a.json").write_text('{"type": "object"}')
        assert (await story.loaded()).routes.routes["a"].contract is not None


async def test_a_mounted_configmap_is_noticed_twice_when_its_symlink_is_swapped(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        _write(tmp_path / f"..v{number}", f"{{a: ft-{number}}}")
    data = tmp_path / "..data"
    data.symlink_to("..v1")
    for name in ("routes.yaml", "prompts"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    async with _watched(tmp_path / "routes.yaml") as story:
        for number in (2, 3):
            (tmp_path / "..next").symlink_to(f"..v{number}")
            (tmp_path / "..next").rename(data)
            primary = (await story.loaded()).routes.routes["a"].primary
            assert primary is not None
            assert primary.model == f"ft-{number}"
        # The prompts' folder is a symlink too: the new one is watched, not the old one.
        (tmp_path / "..v3" / "prompts" / "a.md").write_text("three")
        prompt = (await story.loaded()).routes.routes["a"].fallbacks[0].prompt
    assert prompt is not None
    assert prompt.instructions == "three"


async def test_a_ledger_and_a_log_beside_it_are_written_without_the_configuration_being_read_anew(
    tmp_path: Path,
) -> None:
    path = _write(tmp_path, "{a: ft-1}")
    async with _watched(path) as story:
        for line in range(20):
            for name in ("ledger.db", "ledger.db-wal", "gateway.log"):
                with (tmp_path / name).open("a") as file:
                    file.write(f"{line}\n")
            await asyncio.sleep(0.1)
        path.write_text(path.read_text().replace("ft-1", "ft-2"))
        await story.loaded()
        # Once when the watch was armed, and once for the change.
        assert len(story.read) <= 2
