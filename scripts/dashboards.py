"""Write the Grafana dashboards that the chart ships: ``python scripts/dashboards.py [--check]``.

``--check`` writes nothing, and exits with 1 where a file is not what would be written.
"""

import json
import sys
from pathlib import Path

from dashboard_calendar import calendar
from dashboard_cost import cost
from dashboard_overview import overview
from dashboard_route import route_detail

DIRECTORY = Path(__file__).resolve().parent.parent / "helm" / "files" / "dashboards"


def files() -> dict[Path, str]:
    """Return what each file should hold."""
    every = {"overview": overview(), "route": route_detail(), "calendar": calendar(), "cost": cost()}
    return {
        DIRECTORY / f"{name}.json": json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        for name, content in every.items()
    }


def main(check: bool) -> int:
    """Write the files, or say which are stale."""
    stale = [file for file, text in files().items() if not file.exists() or file.read_text("utf-8") != text]
    if check:
        for file in stale:
            print(f"{file} is not what scripts/dashboards.py writes; run it.", file=sys.stderr)
        return int(bool(stale))
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for file in stale:
        file.write_text(files()[file], "utf-8")
        print(f"wrote {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
