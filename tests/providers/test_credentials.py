import os
from pathlib import Path

import pytest

from gateway.providers.credentials import LOOK_AGAIN_S, Credential
from tests.example_routes import a_provider
from tests.fake_clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text("sk-first\n")
    return file


def from_file(file: Path, clock: FakeClock) -> Credential:
    return Credential(a_provider(api_key_file=str(file)), {}, clock)


def replaced(file: Path, content: str | bytes) -> None:
    """Put a file in another's place, as those do who replace secrets."""
    fresh = file.with_suffix(".new")
    fresh.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.replace(fresh, file)


@pytest.mark.parametrize(
    ("environ", "value"),
    [
        pytest.param({"KEY": "sk-1"}, "sk-1", id="as it is"),
        pytest.param({"KEY": " sk-1\n"}, "sk-1", id="without the white space around it"),
        pytest.param({}, "", id="empty where it is not set"),
    ],
)
def test_a_credential_from_a_variable(environ: dict[str, str], value: str, clock: FakeClock) -> None:
    assert Credential(a_provider(api_key_env="KEY"), environ, clock).current() == value


def test_a_provider_without_a_credential(clock: FakeClock) -> None:
    assert Credential(a_provider(), {"KEY": "sk-1"}, clock).current() == ""


def test_a_file_is_read_again_when_it_changes(file: Path, clock: FakeClock) -> None:
    credential = from_file(file, clock)
    assert credential.current() == "sk-first"
    replaced(file, "sk-second")
    clock.advance(LOOK_AGAIN_S)
    assert credential.current() == "sk-second"


def test_a_file_is_looked_at_once_a_second_at_most(file: Path, clock: FakeClock) -> None:
    credential = from_file(file, clock)
    credential.current()
    replaced(file, "sk-second")
    clock.advance(LOOK_AGAIN_S - 0.01)
    assert credential.current() == "sk-first"


def test_a_symlink_may_be_swapped_as_kubernetes_does(tmp_path: Path, clock: FakeClock) -> None:
    for day in ("monday", "tuesday"):
        (tmp_path / day).mkdir()
        (tmp_path / day / "key").write_text(f"sk-{day}")
    os.symlink("monday", tmp_path / "..data")
    os.symlink("..data/key", tmp_path / "key")
    credential = from_file(tmp_path / "key", clock)
    assert credential.current() == "sk-monday"
    os.symlink("tuesday", tmp_path / "..fresh")
    os.replace(tmp_path / "..fresh", tmp_path / "..data")
    clock.advance(LOOK_AGAIN_S)
    assert credential.current() == "sk-tuesday"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="absent"),
        pytest.param(b"", id="empty"),
        pytest.param(b" \n", id="blank"),
        pytest.param(b"\xff\xfe\x00", id="not text"),
    ],
)
def test_while_a_file_is_being_replaced_the_last_secret_stands(
    content: bytes | None, file: Path, clock: FakeClock
) -> None:
    credential = from_file(file, clock)
    assert credential.current() == "sk-first"
    if content is None:
        file.unlink()
    else:
        replaced(file, content)
    clock.advance(LOOK_AGAIN_S)
    assert credential.current() == "sk-first"
    replaced(file, "sk-second")
    clock.advance(LOOK_AGAIN_S)
    assert credential.current() == "sk-second"


def test_a_file_that_appears_late_is_found(tmp_path: Path, clock: FakeClock) -> None:
    credential = from_file(tmp_path / "late", clock)
    assert credential.current() == ""
    (tmp_path / "late").write_text("sk-late")
    clock.advance(LOOK_AGAIN_S)
    assert credential.current() == "sk-late"


def test_nothing_shows_a_secret(file: Path, clock: FakeClock) -> None:
    credential = from_file(file, clock)
    credential.current()
    assert "sk-first" not in f"{credential!r} {credential}"
