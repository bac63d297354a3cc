"""Providers of routes.yaml: vendor, complete base URL, and the name of the credential."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from gateway.config.findings import Findings, did_you_mean, quoted
from gateway.config.references import Tree
from gateway.config.routes import Provider
from gateway.config.schema import ProviderEntry
from gateway.config.source_files import SourceFiles
from gateway.config.vendors import VENDORS, Vendor
from gateway.config.yaml_source import Node, plain

_OTHER_WIRE_FORMATS = {"anthropic", "bedrock", "vertex", "gemini", "cohere"}
_COMPLETIONS = "/chat/completions"
# Upper case alone: a key pasted in place of a variable's name is recognised, and never repeated in a message.
_VARIABLE_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")


def build_providers(
    tree: Tree, files: SourceFiles, environ: Mapping[str, str], findings: Findings
) -> dict[str, Provider]:
    """Return the providers that can be used; what keeps others from it goes to ``findings``."""
    built = (_build(name, node, files, environ, findings) for name, node in tree.providers.items())
    return {provider.name: provider for provider in built if provider}


def _build(
    name: str, node: Node, files: SourceFiles, environ: Mapping[str, str], findings: Findings
) -> Provider | None:
    entry = ProviderEntry.model_validate(plain(node))
    vendor = _vendor(name, entry.kind, node, findings)
    key_file = str(files.locate(node, entry.api_key_file)) if entry.api_key_file else None
    if vendor is None:
        return None
    _check_key(name, entry, vendor, node, files, environ, findings)
    base_url = _base_url(name, entry.base_url, vendor, node, findings)
    if base_url is None:
        return None
    return Provider(
        name=name,
        kind=entry.kind,
        base_url=base_url,
        api_key_env=entry.api_key_env,
        api_key_file=key_file,
        residency=entry.residency,
    )


def _vendor(name: str, kind: str, node: Node, findings: Findings) -> Vendor | None:
    if kind in VENDORS:
        return VENDORS[kind]
    at = node.get("kind") or node
    if kind.lower() in _OTHER_WIRE_FORMATS:
        findings.error(
            at,
            f"providers.{name}: kind {quoted(kind)} is not served yet; this version speaks only OpenAI's wire format",
        )
    else:
        findings.error(at, f"providers.{name}: there is no kind {quoted(kind)}{did_you_mean(kind, VENDORS)}")
    return None


def _check_key(
    name: str,
    entry: ProviderEntry,
    vendor: Vendor,
    node: Node,
    files: SourceFiles,
    environ: Mapping[str, str],
    findings: Findings,
) -> None:
    env_at, file_at = node.get("api_key_env") or node, node.get("api_key_file") or node
    if entry.api_key_env and entry.api_key_file:
        findings.error(file_at, f"providers.{name} has both api_key_env and api_key_file; keep one")
    elif entry.api_key_env:
        if not _VARIABLE_NAME.fullmatch(entry.api_key_env):
            findings.error(
                env_at, f"providers.{name}.api_key_env must be the NAME of an environment variable, in upper case"
            )
        elif not environ.get(entry.api_key_env):
            findings.warning(env_at, f"providers.{name}: {entry.api_key_env} is not set", missing_secret=True)
    elif entry.api_key_file:
        if not _is_file(files, file_at, entry.api_key_file):
            findings.warning(file_at, f"providers.{name}: the file of api_key_file is not there", missing_secret=True)
    elif vendor.needs_key:
        findings.warning(
            node,
            f"providers.{name}: {entry.kind} asks for a key; name it with api_key_env or api_key_file",
            missing_secret=True,
        )


def _is_file(files: SourceFiles, at: Node, written: str) -> bool:
    try:
        return files.locate(at, written).is_file()
    except (OSError, ValueError):
        return False


def _base_url(name: str, written: str | None, vendor: Vendor, node: Node, findings: Findings) -> str | None:
    if written is None:
        if vendor.base_url is None:
            findings.error(node, f"providers.{name}: kind {vendor.kind} needs a base_url")
        return vendor.base_url
    at = node.get("base_url") or node
    problem = _url_problem(written)
    if problem:
        # The URL itself is not repeated: it may hold a password.
        findings.error(at, f"providers.{name}.base_url {problem}")
        return None
    url = urlsplit(written)
    path = url.path.rstrip("/").removesuffix(_COMPLETIONS).rstrip("/")
    return f"{url.scheme}://{url.netloc}{path or vendor.path_prefix}"


def _url_problem(written: str) -> str | None:
    if not written.isascii() or not written.isprintable() or " " in written:
        return "holds a character that does not belong in a URL"
    try:
        url = urlsplit(written)
        port = url.port
    except ValueError:
        return "is not a URL"
    if url.scheme not in ("http", "https") or not url.hostname or port == 0:
        return "must be an http or https URL"
    if "@" in url.netloc:
        return "must hold no user name or password"
    if "?" in written or "#" in written:
        return "must hold no query or fragment"
    return None
