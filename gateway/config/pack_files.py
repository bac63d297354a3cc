"""The pack that a fallback's prompt names: read from its directory, or awaited from the database."""

import os
import re
from dataclasses import dataclass
from typing import Final

from gateway.config.findings import Finding, Findings
from gateway.config.packs import BY_HASH, FILES, MANIFEST, MAX_FILE_BYTES, BadPack, Pack, parse_pack
from gateway.config.route_names import RouteName
from gateway.config.rules import VARIABLE
from gateway.config.source_files import SourceFiles, Unreadable
from gateway.config.yaml_source import Node

_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class NamedPack:
    """What a prompt's ``pack`` leads to: one of these, or nothing where it cannot be used."""

    pack: Pack | None = None
    awaited: str | None = None
    """The hash of a pack in the database."""
    missing: str | None = None
    """The directory where there is no pack."""


def find_pack(at: Node, route: RouteName, files: SourceFiles, findings: Findings) -> NamedPack:
    """Return what a node names, its variables filled in; what cannot be used is reported."""
    if hash_ := _named_hash(at, findings):
        return NamedPack(awaited=hash_)
    return _read_pack(at, route, files, findings)


def _named_hash(at: Node, findings: Findings) -> str | None:
    """Return the hash by which a pack in the database is named; None: it is no such name."""
    written = at.text or ""
    if not written.startswith(BY_HASH):
        return None
    if _HASH.fullmatch(written) is None:
        findings.error(at, f"prompt.pack: {written[:80]!r} is no hash; `gateway pack push` prints it in full")
    return written


def _read_pack(at: Node, route: RouteName, files: SourceFiles, findings: Findings) -> NamedPack:
    written = route.filled_in(at.text or "")
    if VARIABLE.search(written):
        return NamedPack()
    directory = files.locate(at, written)
    label = files.label(directory)
    contents: dict[str, bytes] = {}
    for name in FILES:
        try:
            contents[name] = files.read(directory / name, MAX_FILE_BYTES)
        except Unreadable as problem:
            if name == MANIFEST and not os.path.lexists(directory):
                _report_missing(at, route, label, findings)
                return NamedPack(missing=label)
            findings.error(at, f"routes.{route}: pack {label}/{name} {problem}")
            return NamedPack()
    try:
        pack = parse_pack(contents)
    except BadPack as problem:
        findings.add(Finding(f"{label}/{problem.file}", problem.line, problem.message))
        return NamedPack()
    if pack.route != str(route):
        findings.warning(at, f"routes.{route}: the pack at {label} was built for route '{pack.route}'")
    return NamedPack(pack)


def _report_missing(at: Node, route: RouteName, label: str, findings: Findings) -> None:
    """Warn where each route has a pack of its own: forty may share a fallback before each of them has one."""
    if "{route}" in (at.text or ""):
        findings.warning(
            at,
            f"routes.{route}: there is no prompt pack at {label} yet: the fallback runs on its instructions "
            f"and examples alone; build one with: gateway pack build {route} --from FILE",
        )
    else:
        findings.error(
            at,
            f"routes.{route}: there is no prompt pack at {label}: put it there, or take `pack` out of the prompt until "
            f"it is built: gateway pack build {route} --from FILE --out {label}",
        )
