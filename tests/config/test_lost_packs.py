import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from a_pack import pack_files

from gateway.config.findings import InvalidRoutes
from gateway.config.loader import load
from gateway.config.lost_packs import refuse_lost_packs

ROUTES = """\
version: 1
providers: {here: {kind: openai-compatible, base_url: "http://127.0.0.1:9/v1"}}
fallbacks:
  base:
    provider: here
    model: base
    prompt:
      instructions: Answer.
      pack: "packs/{route}"
  bare: {provider: here, model: base, prompt: {instructions: Answer.}}
defaults: {provider: here, fallbacks: [base]}
routes:
  reply: tuned
  triage: tuned-2
"""
PACK_LINE = 9
FOLDERS = ("packs/reply", "packs/next/reply")


def _changed(directory: Path, old: str, new: str) -> None:
    text = (directory / "routes.yaml").read_text()
    assert old in text
    (directory / "routes.yaml").write_text(text.replace(old, new))


def _moved(directory: Path) -> None:
    shutil.move(directory / "packs" / "reply", directory / "packs" / ".old")


def _moved_and(old: str, new: str) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        _moved(directory)
        _changed(directory, old, new)

    return change


def _refusal(directory: Path, change: Callable[[Path], None]) -> InvalidRoutes | None:
    """Put the packs of ``reply`` in force, change something, and return why that is not taken over."""
    for folder in FOLDERS:
        (directory / folder).mkdir(parents=True)
        for name, content in pack_files().items():
            (directory / folder / name).write_bytes(content)
    (directory / "routes.yaml").write_text(ROUTES)
    in_force = load(directory / "routes.yaml", environ={}).routes
    change(directory)
    loaded = load(directory / "routes.yaml", environ={})
    try:
        refuse_lost_packs(loaded, in_force)
    except InvalidRoutes as refused:
        return refused
    return None


@pytest.mark.parametrize(
    ("change", "line", "missing"),
    [
        pytest.param(_moved, PACK_LINE, "packs/reply", id="its directory is gone"),
        pytest.param(_moved_and("tuned\n", "tuned-3\n"), PACK_LINE, "packs/reply", id="and its route is changed"),
        pytest.param(
            _moved_and("version: 1\n", "version: 1\n\n"), PACK_LINE + 1, "packs/reply", id="and its line is another"
        ),
        pytest.param(
            lambda directory: _changed(directory, "packs/{route}", "pakcs/{route}"),
            PACK_LINE,
            "pakcs/reply",
            id="its path is misspelt",
        ),
    ],
)
def test_a_pack_in_force_is_not_replaced_by_nothing(
    tmp_path: Path, change: Callable[[Path], None], line: int, missing: str
) -> None:
    refused = _refusal(tmp_path, change)
    assert refused is not None
    assert str(refused) == (
        f"routes.yaml:{line}: routes.reply: the pack of fallback 'base' is in force, and there is none at {missing} "
        "any more: put it back, or take `pack` out of the fallback's prompt, or have the route name another fallback"
    )
    assert str(tmp_path / missing) in refused.directories


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda directory: None, id="nothing changes"),
        pytest.param(_moved_and('      pack: "packs/{route}"\n', ""), id="the prompt names no pack any more"),
        pytest.param(_moved_and('pack: "packs/{route}"', "pack: null"), id="the prompt's pack is null"),
        pytest.param(_moved_and("packs/{route}", "packs/next/{route}"), id="the prompt names another that is there"),
        pytest.param(_moved_and("packs/{route}", f"sha256:{'a' * 64}"), id="the prompt names one in the database"),
        pytest.param(
            _moved_and("reply: tuned", "reply: {primary: tuned, fallbacks: [bare]}"),
            id="the route names another fallback",
        ),
        pytest.param(_moved_and("  reply: tuned\n", ""), id="the route is gone"),
        pytest.param(
            lambda directory: _changed(directory, "  triage", "  more: tuned-3\n  triage"),
            id="a new route has no pack yet",
        ),
    ],
)
def test_what_routes_yaml_says_itself_is_taken_over(tmp_path: Path, change: Callable[[Path], None]) -> None:
    assert _refusal(tmp_path, change) is None
