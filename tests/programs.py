"""Programs that some tests need: absent, a test is skipped with its reason; in CI it fails."""

import os
import shutil

import pytest


def required(name: str) -> str:
    """Return the program's path."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed, and CI must have it")
        pytest.skip(f"{name} is not installed")
    return path
