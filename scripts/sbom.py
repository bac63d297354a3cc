"""Write the bill of materials, CycloneDX 1.6, from the locks: ``python scripts/sbom.py [--check]``.

It names every distribution that the gateway and its extras install, with the hashes that are accepted of it, and with
its licence as its own metadata tells. The same locks make the same file: it has no time in it, and its serial number is
derived from them. ``--check`` writes nothing, and exits with 1 where the file is not what would be written.
"""

import json
import re
import sys
import tomllib
import uuid
from contextlib import suppress
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path
from typing import Any, Final

from cyclonedx.schema import SchemaVersion
from cyclonedx.spdx import fixup_id, is_expression
from cyclonedx.validation.json import JsonStrictValidator

ROOT: Final = Path(__file__).resolve().parent.parent
FILE: Final = ROOT / "sbom" / "understudy-gateway.cdx.json"
LOCKS: Final = (("requirements.lock", "required"), ("requirements-extras.lock", "optional"))
SERIALS: Final = uuid.UUID("0f2f6a3e-6e0c-5a52-9d53-1f5d1d6c8f10")
_PINNED: Final = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;]+)(?: ; ([^\\\n]+?))? ?\\?$", re.MULTILINE)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA: Final = re.compile(r"^    #(?: via| {2,})\s*([A-Za-z0-9._-]+)", re.MULTILINE)
_LONGEST_NAME: Final = 64

Json = dict[str, Any]


def distributions(lock: str) -> list[Json]:
    """Return what a lock pins: name, version, marker, hashes, and which others need it."""
    heads = list(_PINNED.finditer(lock))
    ends = [head.start() for head in heads[1:]] + [len(lock)]
    return [
        {
            "name": head[1],
            "version": head[2],
            "marker": head[3],
            "hashes": _HASH.findall(lock, head.end(), end),
            "needed_by": _VIA.findall(lock, head.end(), end),
        }
        for head, end in zip(heads, ends, strict=True)
    ]


def licences(found: PackageMetadata) -> list[Json]:
    """Return a distribution's licence: an SPDX expression where it has one, else what its metadata calls it."""
    said = found.json
    expression, text = str(said.get("license_expression") or ""), str(said.get("license") or "").strip()
    if expression:
        return [{"expression": expression}]
    identifier = fixup_id(text)
    if identifier is not None:
        return [{"license": {"id": identifier}}]
    if text and is_expression(text):
        return [{"expression": text}]
    classified = said.get("classifier") or []
    names = [each.rpartition(" :: ")[2] for each in classified if each.startswith("License :: ")]
    names = names or [text.partition("\n")[0][:_LONGEST_NAME]]
    return [{"license": {"name": name}} for name in sorted(set(names)) if name]


def component(pinned: Json, scope: str, known: Json) -> Json:
    """Return one distribution as a component; what is not installed here keeps the licence that the file says."""
    purl = f"pkg:pypi/{pinned['name']}@{pinned['version']}"
    said = known.get(purl, [])
    with suppress(PackageNotFoundError):
        found = metadata(pinned["name"])
        said = licences(found) if found["Version"] == pinned["version"] else said
    made: Json = {
        "type": "library",
        "bom-ref": purl,
        "name": pinned["name"],
        "version": pinned["version"],
        "scope": scope,
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in sorted(pinned["hashes"])],
        "purl": purl,
    }
    if said:
        made["licenses"] = said
    if pinned["marker"]:
        made["properties"] = [{"name": "understudy:marker", "value": pinned["marker"]}]
    return made


def bill(locks: dict[str, str], project: Json, known: Json) -> Json:
    """Return the whole bill. ``locks``: their texts, by name; ``known``: licences by package URL, as the file says."""
    root = f"pkg:pypi/{project['name']}@{project['version']}"
    pinned = {scope: distributions(locks[name]) for name, scope in LOCKS}
    references = {
        each["name"]: f"pkg:pypi/{each['name']}@{each['version']}" for some in pinned.values() for each in some
    }
    references[project["name"]] = root
    needs: dict[str, set[str]] = {root: set()} | {references[each["name"]]: set() for each in pinned["required"]}
    for each in pinned["required"]:
        for other in each["needed_by"]:
            needs[references[other]].add(references[each["name"]])
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(SERIALS, root + "".join(locks[name] for name, _ in LOCKS)).urn,
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": project["name"],
                "version": project["version"],
                "licenses": [{"license": {"id": project["license"]}}],
                "purl": root,
            }
        },
        "components": [component(each, scope, known) for scope, some in pinned.items() for each in some],
        "dependencies": [{"ref": name, "dependsOn": sorted(others)} for name, others in sorted(needs.items())],
    }


def text_of(made: Json) -> str:
    """Return the file's text: a line for each component, so that a change of a lock reads as one."""
    parts = []
    for name, value in made.items():
        if isinstance(value, list):
            lines = ",\n".join(json.dumps(each, ensure_ascii=False) for each in value)
            parts.append(f"{json.dumps(name)}: [\n{lines}\n]")
        else:
            parts.append(f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def written() -> str:
    """Return what the file should hold.

    Raises:
        ValueError: it would not be what CycloneDX's schema says.
    """
    known = {}
    if FILE.exists():
        known = {each["purl"]: each.get("licenses", []) for each in json.loads(FILE.read_text("utf-8"))["components"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    text = text_of(bill({name: (ROOT / name).read_text("utf-8") for name, _ in LOCKS}, project, known))
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong is not None:
        raise ValueError(f"not a bill of materials: {wrong.data.message}")
    return text


def main(check: bool) -> int:
    """Write the file, or say that it is stale."""
    text = written()
    if FILE.exists() and FILE.read_text("utf-8") == text:
        return 0
    if check:
        print(f"{FILE} is not what scripts/sbom.py writes; run it.", file=sys.stderr)
        return 1
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text, "utf-8")
    print(f"wrote {FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
