import sysconfig
from pathlib import Path

import pytest

from gateway.cli.typed import typed

SCRIPTS = Path(sysconfig.get_path("scripts"))


def test_where_the_shell_finds_the_command_its_name_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gateway").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert typed() == "gateway"


def test_elsewhere_it_is_a_path_from_here_or_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(SCRIPTS.parent.parent)
    assert typed() == str(Path(SCRIPTS.parent.name) / SCRIPTS.name / "gateway")
    monkeypatch.chdir(tmp_path)
    assert typed() == str(SCRIPTS / "gateway")
