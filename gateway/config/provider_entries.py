"""Providers of routes.yaml: vendor, complete address, and where the credential is found."""

import importlib.util
import re
from collections.abc import Mapping
from typing import Final, get_args
from urllib.parse import urlsplit

from gateway.config.findings import Findings, did_you_mean, quoted
from gateway.config.named_secrets import read_named, url_problem
from gateway.config.references import Tree
from gateway.config.routes import Provider
from gateway.config.schema import ProviderEntry
from gateway.config.source_files import SourceFiles
from gateway.config.vendors import VENDORS, Identity, Setting, Vendor
from gateway.config.yaml_source import Node, plain

_COMPLETIONS: Final = "/chat/completions"
_SETTINGS: Final = get_args(Setting)
# They become parts of a host, a path or a query.
_SETTING: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_DATED_PREFIX: Final = "/openai"
_OTHER_SURFACES: Final = re.compile(r"/(?:v1|deployments(?:/[^/]*)?)$")
_ONLY_A_KEY: Final = "no cloud identity, only a key"
_LIBRARIES: Final[Mapping[Identity, str]] = {"azure": "azure.identity", "google": "google.auth", "aws": "boto3"}


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
    vendor = VENDORS.get(entry.kind)
    if vendor is None:
        at = node.get("kind") or node
        findings.error(
            at, f"providers.{name}: there is no kind {quoted(entry.kind)}{did_you_mean(entry.kind, VENDORS)}"
        )
        return None
    key = read_named(f"providers.{name}", "api_key", node, files, environ, findings)
    if entry.identity is not None:
        _check_identity(name, entry.identity, vendor, key.is_there, node, findings)
    elif vendor.needs_key and not key.is_there:
        _warn_of_no_key(name, vendor, node, findings)
    settings = _settings(name, entry, vendor, node, findings)
    base_url = _base_url(name, entry, vendor, settings, node, findings)
    if base_url is None:
        return None
    return Provider(
        name=name,
        kind=entry.kind,
        base_url=base_url,
        is_elsewhere=base_url != vendor.address(settings),
        api_key_env=key.env,
        api_key_file=str(key.file) if key.file else None,
        identity=entry.identity,
        api_version=entry.api_version,
        region=entry.region,
        project=entry.project,
        location=entry.location,
        residency=entry.residency,
        keep_alive=entry.keep_alive,
    )


def _check_identity(
    name: str, identity: Identity, vendor: Vendor, has_key: bool, node: Node, findings: Findings
) -> None:
    at = node.get("identity") or node
    if vendor.identity != identity:
        takes = f"the identity {quoted(vendor.identity)}, not {quoted(identity)}" if vendor.identity else _ONLY_A_KEY
        findings.error(at, f"providers.{name}: kind {vendor.kind} takes {takes}")
    elif has_key:
        findings.error(at, f"providers.{name} has both a key and an identity; keep one")
    elif not _is_installed(_LIBRARIES[identity]):
        findings.error(
            at,
            f"providers.{name}: identity {identity} needs a library that is not installed; "
            f"install understudy-gateway[{identity}]",
        )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        # The package above it is absent.
        return False


def _warn_of_no_key(name: str, vendor: Vendor, node: Node, findings: Findings) -> None:
    instead = f", or say identity: {vendor.identity}" if vendor.identity else ""
    findings.warning(
        node,
        f"providers.{name}: {vendor.kind} asks for a key; name it with api_key_env or api_key_file{instead}",
        missing_secret=True,
    )


def _settings(name: str, entry: ProviderEntry, vendor: Vendor, node: Node, findings: Findings) -> dict[str, str | None]:
    """Return the settings, checked: those that the vendor needs are there, and no others."""
    settings: dict[str, str | None] = {setting: getattr(entry, setting) for setting in _SETTINGS}
    taken = (*vendor.needs, *(("api_version",) if vendor.dated else ()))
    for setting, value in (*settings.items(), ("api_version", entry.api_version)):
        at = node.get(setting) or node
        if value is None:
            # With an address of one's own, Google's and AWS's SDKs still sign for a region or a project.
            if setting in vendor.needs:
                findings.error(at, f"providers.{name}: kind {vendor.kind} needs a {setting}")
        elif setting not in taken:
            findings.error(at, f"providers.{name}: kind {vendor.kind} takes no {setting}")
        elif not _SETTING.fullmatch(value):
            findings.error(at, f"providers.{name}.{setting} holds a character that has no place in one")
    return settings


def _base_url(
    name: str, entry: ProviderEntry, vendor: Vendor, settings: Mapping[str, str | None], node: Node, findings: Findings
) -> str | None:
    if entry.base_url is None:
        if vendor.base_url is None:
            findings.error(node, f"providers.{name}: kind {vendor.kind} needs a base_url")
        return vendor.address(settings)
    problem = url_problem(entry.base_url)
    if problem:
        # The URL itself is not repeated: it may hold a password.
        findings.error(node.get("base_url") or node, f"providers.{name}.base_url {problem}")
        return None
    return complete_base_url(entry.base_url, vendor, dated=entry.api_version is not None)


def complete_base_url(written: str, vendor: Vendor, *, dated: bool = False) -> str:
    """Return a provider's URL as far as ``/chat/completions``; a bare host gets the vendor's usual path.

    ``dated``: as far as ``/deployments`` of Azure's dated surface, whichever surface was written.
    """
    url = urlsplit(written)
    path = url.path.rstrip("/").removesuffix(_COMPLETIONS).rstrip("/")
    path = (_OTHER_SURFACES.sub("", path) or _DATED_PREFIX) if dated else (path or vendor.path_prefix)
    return f"{url.scheme}://{url.netloc}{path}"
