import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.config.callers import Budget, Caller, KeyRole
from gateway.execution.key_file import KeptKeys, KeyFile, UnusableKeyFile
from gateway.store.keys import KeyRow

SEAL = b"s" * 32
START = datetime(2026, 11, 29, 12, 0, 0, 123456, tzinfo=UTC)
FULL = Caller(
    "key_aaaaaaaa",
    "forum-app",
    KeyRole.OBSERVER,
    "mira",
    "forum",
    {"tenant": "acme"},
    ("forum-*",),
    True,
    "eu",
    START,
    Budget(1, 2, 3),
    4,
    5,
    6,
    True,
)
KEPT = KeptKeys(
    7,
    [
        KeyRow(FULL, "ab" * 32, "cd" * 32, START, START, "admin", None, 7),
        KeyRow(Caller("key_bbbbbbbb", "bare"), "ef" * 32, None, None, START, "ops@acme", None, 3),
    ],
)


def test_what_is_kept_comes_back_as_it_was(tmp_path: Path) -> None:
    KeyFile(tmp_path, SEAL).write(KEPT)
    assert KeyFile(tmp_path, SEAL).read() == KEPT
    KeyFile(tmp_path, SEAL).write(KeptKeys(8, []))
    assert KeyFile(tmp_path, SEAL).read() == KeptKeys(8, [])


def test_nothing_is_kept_before_something_is(tmp_path: Path) -> None:
    assert KeyFile(tmp_path, SEAL).read() is None


def test_only_its_owner_may_read_it_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        file = KeyFile(tmp_path, SEAL)
        file.write(KEPT)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file.path]


def _other_role(text: bytes) -> bytes:
    assert b'"observer"' in text
    return text.replace(b'"observer"', b'"caller"')


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_other_role, id="another role"),
        pytest.param(lambda text: text.replace(b'"version":7', b'"version":8', 1), id="another version"),
        pytest.param(lambda text: text[:-1], id="the last byte gone"),
        pytest.param(lambda text: text[: len(text) // 2], id="half of it"),
        pytest.param(lambda text: text.split(b"\n")[0] + b"\n", id="no keys"),
        pytest.param(lambda text: text + b"{}\n", id="a line more"),
        pytest.param(lambda text: b"", id="empty"),
        pytest.param(lambda text: b"[]\n", id="JSON of another kind"),
        pytest.param(lambda text: b'{"format":2}\n', id="a later format"),
        pytest.param(lambda text: b"\x00\xff" * 500, id="no text"),
    ],
)
def test_what_was_changed_is_not_used(tmp_path: Path, change: object) -> None:
    file = KeyFile(tmp_path, SEAL)
    file.write(KEPT)
    assert callable(change)
    file.path.write_bytes(change(file.path.read_bytes()))
    with pytest.raises(UnusableKeyFile):
        file.read()


def test_what_was_made_under_another_pepper_is_not_used(tmp_path: Path) -> None:
    KeyFile(tmp_path, SEAL).write(KEPT)
    with pytest.raises(UnusableKeyFile, match="another GATEWAY_KEY_PEPPER"):
        KeyFile(tmp_path, b"t" * 32).read()


def test_a_file_that_cannot_be_replaced_stays_as_it_is(tmp_path: Path) -> None:
    file = KeyFile(tmp_path, SEAL)
    file.write(KEPT)
    whole = file.path.read_bytes()
    (tmp_path / f".keys.jsonl.{os.getpid()}").mkdir()
    with pytest.raises(OSError, match="directory"):
        file.write(KeptKeys(9, []))
    assert file.path.read_bytes() == whole


def test_nobody_is_led_to_another_file(tmp_path: Path) -> None:
    file, victim = KeyFile(tmp_path, SEAL), tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / f".keys.jsonl.{os.getpid()}").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic"):
        file.write(KEPT)
    assert victim.read_text() == "mine"
