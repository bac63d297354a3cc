"""How a person types this command where it was started."""

import shutil
import sysconfig
from pathlib import Path


def typed() -> str:
    """Return the command's name where the shell finds it, else its path, from here where that is shorter."""
    if shutil.which("gateway"):
        return "gateway"
    path = Path(sysconfig.get_path("scripts")) / "gateway"
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
