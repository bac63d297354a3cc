"""The pack that a fallback's prompt names: read from its directory, or awaited from the database."""

import os
import re
from typing import Final

from gateway.config.findings import Finding, Findings
from gateway.config.packs import BY_HASH, FILES, MANIFEST, MAX_FILE_BYTES, BadPack, Pack, parse_pack
from gateway.config.rules import VARIABLE
from gateway.config.source_files import SourceFiles, Unreadable
from gateway.config.yaml_source import Node

_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")


def named_hash(at: Node, findings: Findings) -> str | None:
    """Return the hash by which a pack in the database is named; None: it is no such name."""
    written = at.text or ""
    if not written.startswith(BY_HASH):
        return None
    if _HASH.fullmatch(written) is None:
        findings.error(at, f"prompt.pack: {written[:80]!r} is no hash; `gateway pack push` prints it in full")
    return written


def read_pack(at: Node, route: str, files: SourceFiles, findings: Findings) -> Pack | None:
    """Return the pack in the directory that a node names, with ``{route}`` filled in.

    None where there is none yet, which is a warning (forty routes may share a fallback before each has its pack), or
    where it cannot be used, which is an error in its own file.
    """
    written = (at.text or "").replace("{route}", route)
    if VARIABLE.search(written):
        return None
    directory = files.locate(at, written)
    label = files.label(directory)
    contents: dict[str, bytes] = {}
    for name in FILES:
        try:
            contents[name] = files.read(directory / name, MAX_FILE_BYTES)
        except Unreadable as problem:
            if name == MANIFEST and not os.path.exists(directory):
                findings.warning(
                    at,
                    f"routes.{route}: there is no prompt pack at {label} yet: the fallback runs on its instructions "
                    f"and examples alone; build one with: gateway pack build {route} --from FILE",
                )
                return None
            findings.error(at, f"routes.{route}: pack {label}/{name} {problem}")
            return None
    try:
        pack = parse_pack(contents)
    except BadPack as problem:
        findings.add(Finding(f"{label}/{problem.file}", problem.line, problem.message))
        return None
    if pack.route != route:
        findings.warning(at, f"routes.{route}: the pack at {label} was built for route '{pack.route}'")
    return pack
