"""A pack for people and as JSON: its manifest, its instructions, and its examples."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gateway.cli.pack_report import example_lines
from gateway.config.findings import printable

if TYPE_CHECKING:
    from gateway.config.packs import Pack

_HANGING = 4
_NARROWEST = 20


def lines(label: str, pack: "Pack", most: int) -> list[str]:
    """Return a pack as lines, with the first ``most`` examples of each kind."""
    skipped = ("hash", "version", "format", "route")
    told = {name: json.dumps(value, ensure_ascii=False) for name, value in pack.manifest.items() if name not in skipped}
    return [
        f"{label}: pack {pack.version} of route {pack.route}",
        pack.hash,
        *(f"  {name:<18} {printable(value)}" for name, value in told.items()),
        "instructions:",
        *(f"  {printable(line.expandtabs())}" for line in pack.instructions.splitlines()),
        "examples (id, tokens, what is asked → the answer):",
        *example_lines("fixed", pack.fixed, most),
        *example_lines("pool", pack.pool, most),
    ]


def fitted(lines: Iterable[str]) -> list[str]:
    """Return lines wrapped for the terminal, indented where they go on; whole, where nobody looks at one."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        return list(lines)
    wrapped: list[str] = []
    for line in lines:
        text = Text(line)
        if text.cell_len <= console.width:
            wrapped.append(line)
            continue
        body = line.lstrip()
        indent = len(line) - len(body)
        width = max(_NARROWEST, console.width - indent - _HANGING)
        first, *more = (part.plain.rstrip() for part in Text(body).wrap(console, width))
        wrapped += [" " * indent + first, *(" " * (indent + _HANGING) + part for part in more)]
    return wrapped


def whole(pack: "Pack") -> str:
    """Return everything in a pack as JSON."""
    kinds = (("fixed", pack.fixed), ("pool", pack.pool))
    examples = {
        kind: [{"id": e.id, "origin": e.origin, "tokens": e.tokens, "messages": list(e.messages)} for e in held]
        for kind, held in kinds
    }
    told = {"manifest": dict(pack.manifest), "instructions": pack.instructions, **examples}
    return json.dumps({**told, "held_out": sorted(pack.held_out)}, indent=2, ensure_ascii=False)
