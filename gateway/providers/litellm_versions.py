"""Releases of litellm that are never run: they stole every secret that they found, and were not its authors' work.

Looked at in what an installer wrote down, before anything of the library is imported.
Source: github.com/BerriAI/litellm, issues 24512 and 24518, read 2026-11-29.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import Final

from gateway.errors import ConfigError

MALICIOUS: Final = frozenset(("1.82.7", "1.82.8"))
"""Published on 2026-03-24 with a stolen credential, and withdrawn within hours; 1.82.8 ran at every start of Python."""


def refuse_malicious() -> None:
    """Refuse to go on where one of them is installed.

    Raises:
        ConfigError: it is.
    """
    try:
        installed = version("litellm")
    except PackageNotFoundError:
        return
    if installed in MALICIOUS:
        raise ConfigError(
            f"litellm {installed} is installed, a malicious release: the gateway does not start it. "
            "Take this machine for compromised, replace every key it has seen, and install from requirements.lock."
        )
