"""Secrets: read from a variable once, from a file that is read again when it changes, or had from a cloud identity."""

import os
from collections.abc import Mapping
from pathlib import Path

from gateway.clock import Clock
from gateway.config.routes import Provider
from gateway.providers.identity_tokens import IdentityToken

LOOK_AGAIN_S = 1.0


class Secret:
    """One secret. Nothing prints it, and nothing but the wire sees it."""

    def __init__(self, env: str | None, file: str | None, environ: Mapping[str, str], clock: Clock) -> None:
        self._clock = clock
        self._file = Path(file) if file else None
        self._value = fit_for_a_header(environ.get(env, "")) if env else ""
        self._stamp: tuple[int, int] | None = None
        self._look_at = 0.0

    def current(self) -> str:
        """Return the secret, or an empty string; looks at the file at most once a second."""
        if self._file is None:
            return self._value
        now = self._clock.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_AGAIN_S
            self._reread(self._file)
        return self._value

    def _reread(self, file: Path) -> None:
        try:
            status = os.stat(file)
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp != self._stamp:
                # A secret that is being replaced is absent or empty for a moment: the last one stands.
                self._value = fit_for_a_header(file.read_text(encoding="utf-8")) or self._value
                self._stamp = stamp
        except (OSError, UnicodeDecodeError):
            return

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


def fit_for_a_header(text: str) -> str:
    """Return a secret without the white space around it, and without anything that could end a header's line."""
    return "".join(char for char in text.strip() if char.isprintable())


class Credential(Secret):
    """What one provider's calls are authorised with: a secret, or the token of a cloud identity."""

    def __init__(
        self, provider: Provider, environ: Mapping[str, str], clock: Clock, token: IdentityToken | None = None
    ) -> None:
        super().__init__(provider.api_key_env, provider.api_key_file, environ, clock)
        self._token = token

    def current(self) -> str:
        """Return the secret or the token as it is now; empty where there is none, or not yet."""
        return super().current() if self._token is None else self._token.current()

    async def get(self) -> str:
        """Return the same, having waited for a first token.

        Raises:
            ConnectFailed: the identity has no token.
        """
        return self.current() if self._token is None else self.current() or await self._token.get()


def lacks_credential(provider: Provider, environ: Mapping[str, str]) -> str | None:
    """Say that what a provider's calls are authorised with is not there, or None."""
    if provider.api_key_env is not None and not environ.get(provider.api_key_env, "").strip():
        return f"the key of {provider.name} is not set: {provider.api_key_env}"
    if provider.api_key_file is not None and not os.path.isfile(provider.api_key_file):
        return f"the file with the key of {provider.name} is not there"
    return None
