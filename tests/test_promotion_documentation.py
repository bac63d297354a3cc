"""docs/promotion.md: its commands happen as they are shown, one after the other, and its tables are complete."""

import re
import shlex
from pathlib import Path

import pytest
from command_line import Run, run
from migrated_database import migrated

from gateway.policy.promotion import VersionStatus

__all__ = ["run"]

TEXT = (Path(__file__).parent.parent / "docs" / "promotion.md").read_text()
SESSIONS = re.findall(r"^```console\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
ROUTES = """\
version: 1
providers: { sandbox: { kind: sandbox, base_url: 'http://127.0.0.1:9/v1' } }
fallbacks: { luna: { provider: sandbox, model: gpt-6-luna } }
defaults: { provider: sandbox, fallbacks: [luna] }
routes:
  forum-reply: ft:gpt-4o-mini-2024-07-18:acme:forum:A1b2C3d4  # May's
"""


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_the_commands_happen_as_they_are_shown(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("routes.yaml").write_text(ROUTES)
    url = f"sqlite:///{tmp_path}/gateway.db"
    migrated(url)
    ran = 0
    for part in re.split(r"^\$ gateway ", "".join(SESSIONS), flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        done = run(*shlex.split(command), "--database", url)
        assert done.code == 0, done.err
        ran += 1
        for shown in filter(str.strip, expected.split("…")):
            assert squeezed(shown) in squeezed(f"{done.err} {done.out}"), f"{shown!r} is not in\n{done.out}{done.err}"
    assert ran == 6


def test_every_status_is_explained() -> None:
    assert {status.value for status in VersionStatus} <= set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE))


def test_every_option_of_the_command_is_told(run: Run) -> None:
    told = {*re.findall(r"--[a-z-]+", TEXT), "--by", "--routes", "--database", "--help", "--json"}
    assert set(re.findall(r"(?<![\w-])--[a-z-]+", run("promote", "--help").out)) <= told
