"""Where litellm's worker may connect to: what the configuration's providers are, and what their identities ask."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gateway.clock import Clock
from gateway.config.routes import Provider, Routes
from gateway.config.vendors import Identity
from gateway.providers.connect_guard import Destination
from gateway.providers.credentials import Secret

METADATA: Final = ("169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254", "metadata.google.internal")
"""Where the clouds tell their machines who they are."""
IDENTITY_HOSTS: Final[Mapping[Identity, tuple[str, ...]]] = {
    "aws": ("sts.amazonaws.com", "sts.*.amazonaws.com", "portal.sso.*.amazonaws.com", "oidc.*.amazonaws.com"),
    "google": ("oauth2.googleapis.com", "sts.googleapis.com", "iamcredentials.googleapis.com"),
    "azure": (),
}
"""``*`` stands for one label."""
SECOND_HOSTS: Final[Mapping[str, tuple[str, ...]]] = {"cohere": ("api.cohere.ai",)}
"""By kind: where else litellm finds a vendor at its own address."""
LARGEST_FILE: Final = 1024 * 1024


def destinations(routes: Routes, environ: Mapping[str, str], clock: Clock) -> frozenset[Destination]:
    """Return every place that litellm needs for this configuration; reads the files that name some."""
    found: set[Destination] = set()
    for provider in routes.providers.values():
        if provider.vendor.litellm is not None or provider.vendor.bridge is not None:
            found.update(_of(provider, environ, clock))
    return frozenset(found)


def _of(provider: Provider, environ: Mapping[str, str], clock: Clock) -> Iterator[Destination]:
    yield _destination(provider.base_url)
    if not provider.is_elsewhere:
        yield from (Destination(host, 443) for host in SECOND_HOSTS.get(provider.kind, ()))
    identity = provider.vendor.identity if provider.vendor.litellm is not None else None
    if identity is None:
        return
    yield from (Destination(host, 443) for host in IDENTITY_HOSTS[identity])
    if provider.identity is not None:
        yield from (Destination(host, None) for host in METADATA)
        yield from _named(value for name, value in environ.items() if name.startswith("AWS_"))
        yield from (Destination(h.partition(":")[0], None) for h in (environ.get("GCE_METADATA_HOST"),) if h)
        yield from _named(_texts(_read(environ.get("GOOGLE_APPLICATION_CREDENTIALS"))))
    # What stands for a key is a service account's JSON, which names where its tokens are.
    yield from _named(_texts(Secret(provider.api_key_env, provider.api_key_file, environ, clock).current()))


def _destination(url: str) -> Destination:
    parts = urlsplit(url)
    return Destination(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


def _named(texts: Iterator[str]) -> Iterator[Destination]:
    """Return the places of those texts that are URLs."""
    for text in texts:
        if text.startswith(("http://", "https://")):
            try:
                found = _destination(text)
            except ValueError:
                continue
            if found.host:
                yield found


def _read(file: str | None) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")[:LARGEST_FILE] if file else ""
    except (OSError, ValueError):
        return ""


def _texts(document: str) -> Iterator[str]:
    """Return the texts at the first two levels of a JSON object."""
    try:
        content = json.loads(document)
    except (ValueError, RecursionError):
        return
    for value in content.values() if isinstance(content, dict) else ():
        for text in value.values() if isinstance(value, dict) else (value,):
            if isinstance(text, str):
                yield text
