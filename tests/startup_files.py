"""What of an environment runs whenever its Python starts: files that a distribution may bring, unseen."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

SUFFIXES = frozenset((".pth", ".start"))
MODULES = frozenset(("sitecustomize", "usercustomize"))


def runs_at_start(files: Iterable[str | PurePosixPath]) -> list[str]:
    """Those of a distribution's files that Python runs at its start: at the top of a directory of modules."""
    found = []
    for file in map(PurePosixPath, files):
        is_hook = file.name.partition(".")[0] in MODULES or (file.parent.name in MODULES and len(file.parts) == 2)
        if file.suffix in SUFFIXES or is_hook:
            found.append(str(file))
    return sorted(found)


def installed_at_start(site: Path) -> list[str]:
    """What lies in a ``site-packages`` and runs at the start, whoever put it there."""
    files = [path.relative_to(site).as_posix() for path in [*site.glob("*"), *site.glob("*/__init__.py")]]
    return runs_at_start(files)


def imported_at_start(python: Path) -> list[str]:
    """Modules that are there before the first line of a program, and are not Python's own."""
    code = (
        "import json, sys, sysconfig; own = sysconfig.get_paths()['stdlib'];"
        "print(json.dumps([n for n, m in sys.modules.items() if getattr(m, '__file__', None)"
        " and (not m.__file__.startswith(own) or 'site-packages' in m.__file__)]))"
    )
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd="/")
    return [name for name in json.loads(done.stdout) if name != "__main__"]
