"""Programs that some tests need: absent, a test is skipped with its reason; in CI it fails."""

import os
import shutil
from pathlib import Path

import pytest

READERS = Path(__file__).parents[1] / ".venv-readers" / "bin" / "python"


def required(name: str) -> str:
    """Return the program's path."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed, and CI must have it")
        pytest.skip(f"{name} is not installed")
    return path


def readers_python() -> str:
    """Return the interpreter that reads data sets as trainers do: Hugging Face's loaders, and TRL where it is there."""
    path = os.environ.get("GATEWAY_READERS_PYTHON") or str(READERS)
    if not os.access(path, os.X_OK):
        if os.environ.get("CI"):
            pytest.fail(f"{path} is not there, and CI must have it: make readers")
        pytest.skip(f"{path} is not there: make readers")
    return path
