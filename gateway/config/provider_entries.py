"""Providers of routes.yaml: vendor, complete base URL, and the name of the credential."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from gateway.config.findings import Findings, did_you_mean, quoted
from gateway.config.named_secrets import read_named, url_problem
from gateway.config.references import Tree
from gateway.config.routes import Provider
from gateway.config.schema import ProviderEntry
from gateway.config.source_files import SourceFiles
from gateway.config.vendors import VENDORS, Vendor
from gateway.config.yaml_source import Node, plain

_OTHER_WIRE_FORMATS = {"anthropic", "bedrock", "vertex", "gemini", "cohere"}
_COMPLETIONS = "/chat/completions"


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
    if vendor is None:
        return None
    key = read_named(f"providers.{name}", "api_key", node, files, environ, findings)
    if vendor.needs_key and not key.is_there:
        findings.warning(
            node,
            f"providers.{name}: {entry.kind} asks for a key; name it with api_key_env or api_key_file",
            missing_secret=True,
        )
    base_url = _base_url(name, entry.base_url, vendor, node, findings)
    if base_url is None:
        return None
    return Provider(
        name=name,
        kind=entry.kind,
        base_url=base_url,
        api_key_env=key.env,
        api_key_file=str(key.file) if key.file else None,
        residency=entry.residency,
        keep_alive=entry.keep_alive,
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


def _base_url(name: str, written: str | None, vendor: Vendor, node: Node, findings: Findings) -> str | None:
    if written is None:
        if vendor.base_url is None:
            findings.error(node, f"providers.{name}: kind {vendor.kind} needs a base_url")
        return vendor.base_url
    at = node.get("base_url") or node
    problem = url_problem(written)
    if problem:
        # The URL itself is not repeated: it may hold a password.
        findings.error(at, f"providers.{name}.base_url {problem}")
        return None
    return complete_base_url(written, vendor)


def complete_base_url(written: str, vendor: Vendor) -> str:
    """Return a provider's URL as far as ``/chat/completions``; a bare host gets the vendor's usual path."""
    url = urlsplit(written)
    path = url.path.rstrip("/").removesuffix(_COMPLETIONS).rstrip("/")
    return f"{url.scheme}://{url.netloc}{path or vendor.path_prefix}"
