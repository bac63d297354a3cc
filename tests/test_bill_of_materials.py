"""The bill of materials that travels with the gateway: what the locks say, in CycloneDX's own terms."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "sbom" / "understudy-gateway.cdx.json"


@pytest.fixture(scope="module")
def bill() -> Any:
    return json.loads(FILE.read_text("utf-8"))


def locked(name: str) -> dict[tuple[str, str], set[str]]:
    """Names and versions of a lock with their hashes, read by another way than the bill's writer."""
    found: dict[tuple[str, str], set[str]] = {}
    for line in (ROOT / name).read_text("utf-8").splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            pinned, version = re.split(r"[ ;\\]", line)[0].split("==")
            current = found.setdefault((pinned.partition("[")[0], version), set())
        elif "--hash=sha256:" in line:
            current.add(line.partition("sha256:")[2].rstrip(" \\"))
    return found


def test_it_is_what_the_locks_make_of_it() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "sbom.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_it_keeps_cyclonedxs_schema() -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(FILE.read_text("utf-8")) is None


@pytest.mark.parametrize(
    ("lock", "scope"), [("requirements.lock", "required"), ("requirements-extras.lock", "optional")]
)
def test_it_names_every_distribution_with_its_version_and_all_of_its_hashes(bill: Any, lock: str, scope: str) -> None:
    said = {
        (each["name"], each["version"]): {known["content"] for known in each["hashes"]}
        for each in bill["components"]
        if each["scope"] == scope
    }
    assert said == locked(lock)
    assert min(map(len, said.values())) > 0


def test_it_says_what_the_gateway_itself_needs(bill: Any) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    root = bill["metadata"]["component"]
    assert (root["name"], root["version"]) == (project["name"], project["version"])
    (needed,) = [each["dependsOn"] for each in bill["dependencies"] if each["ref"] == root["bom-ref"]]
    names = {purl.removeprefix("pkg:pypi/").partition("@")[0] for purl in needed}
    assert names == {re.split(r"[\[=<>;! ]", each)[0] for each in project["dependencies"]}


def test_nearly_every_licence_is_known_and_none_is_what_nobody_may_ship(bill: Any) -> None:
    said = {each["name"]: json.dumps(each.get("licenses", [])) for each in bill["components"]}
    # Those are installed on other systems alone.
    assert {name for name, licence in said.items() if licence == "[]"} <= {"colorama", "async-timeout"}
    assert [name for name, licence in said.items() if re.search(r"\bA?GPL", licence)] == []


def test_it_holds_nothing_that_differs_from_one_run_to_the_next(bill: Any) -> None:
    assert "timestamp" not in bill["metadata"]
    assert str(ROOT) not in FILE.read_text("utf-8")
