"""Webhooks of routes.yaml: where the URL and the secret are found, and which events are of interest."""

import base64
import binascii
import ipaddress
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from gateway.config.findings import Findings, did_you_mean, quoted
from gateway.config.named_secrets import Named, read_named, url_problem
from gateway.config.references import Tree
from gateway.config.routes import Webhook
from gateway.config.schema_webhooks import WebhookEntry
from gateway.config.shape import Damage
from gateway.config.source_files import SourceFiles
from gateway.config.yaml_source import Node, plain
from gateway.reasons import EventKind

_SECRET_PREFIX = "whsec_"
# Where whoever knows the URL may post.
_URL_IS_SECRET = ("hooks.slack.com", "discord.com", "discordapp.com", "webhook.office.com", "hooks.zapier.com")


def build_webhooks(
    tree: Tree, files: SourceFiles, environ: Mapping[str, str], findings: Findings, damage: Damage
) -> dict[str, Webhook]:
    """Return the webhooks; what is wrong with them goes to ``findings``."""
    built = {name: _build(name, node, files, environ, findings) for name, node in tree.webhooks.items()}
    for name, node in tree.webhooks.items():
        # What was cut out may have had an owner.
        if not damage.things:
            _check_owners(name, node, frozenset(_owners(tree)), findings)
    return built


def signing_key(secret: str) -> bytes | None:
    """Return the bytes of a Standard Webhooks secret, 24 to 64 of them; None where it is none."""
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if secret.startswith(_SECRET_PREFIX) and 24 <= len(key) <= 64 else None


def _build(name: str, node: Node, files: SourceFiles, environ: Mapping[str, str], findings: Findings) -> Webhook:
    entry = WebhookEntry.model_validate(plain(node))
    subject = f"webhooks.{name}"
    url = read_named(subject, "url", node, files, environ, findings)
    secret = read_named(subject, "secret", node, files, environ, findings)
    _check_url(subject, entry.url, url, node, environ, findings)
    if secret.env and environ.get(secret.env) and signing_key(environ[secret.env].strip()) is None:
        at = node.get("secret_env") or node
        findings.error(at, f"{subject}: {secret.env} must be whsec_ and the base64 of 24 to 64 bytes")
    return Webhook(
        name=name,
        url=entry.url,
        url_env=url.env,
        url_file=str(url.file) if url.file else None,
        secret_env=secret.env,
        secret_file=str(secret.file) if secret.file else None,
        owners=frozenset(entry.owners) if entry.owners is not None else None,
        events=frozenset(map(EventKind, entry.events)) if entry.events is not None else None,
    )


def _check_url(
    subject: str, written: str | None, named: Named, node: Node, environ: Mapping[str, str], findings: Findings
) -> None:
    at = node.get("url") or node.get("url_env") or node
    if written is None:
        if not named.is_there:
            findings.error(node, f"{subject} has no URL; name it with url_env or url_file, or write it as url")
        value = environ.get(named.env, "").strip() if named.env else ""
        problem = url_problem(value, query_allowed=True) if value else None
        if problem:
            findings.error(at, f"{subject}: {named.env} {problem}")
    else:
        if named.is_there:
            findings.error(at, f"{subject} has more than one URL; keep one of url_env, url_file and url")
        value, problem = written, url_problem(written) or _secrecy_problem(written)
        if problem:
            findings.error(at, f"{subject}.url {problem}")
    if value and not problem and _is_exposed(value):
        findings.warning(at, f"{subject}: its messages travel unencrypted to another machine; prefer https")


def _secrecy_problem(url: str) -> str | None:
    host = urlsplit(url).hostname or ""
    if any(host == known or host.endswith(f".{known}") for known in _URL_IS_SECRET):
        return f"is a secret at {host}: name it with url_env or url_file"
    return None


def _is_exposed(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost"
    return parts.scheme == "http" and not is_here


def _check_owners(name: str, node: Node, known: frozenset[str], findings: Findings) -> None:
    listed = node.get("owners")
    for item in listed.items if listed else ():
        if item.text is not None and item.text not in known:
            findings.error(
                item, f"webhooks.{name}: no route has the owner {quoted(item.text)}{did_you_mean(item.text, known)}"
            )


def _owners(tree: Tree) -> Iterator[str]:
    for layer in tree.layers().values():
        owner = layer.get("owner")
        if owner is not None and owner.text is not None:
            yield owner.text
