"""Keys of routes.yaml: each by its digest alone, and nothing that could be a key is ever repeated."""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter, ValidationError

from gateway.config.callers import DeclaredKey
from gateway.config.findings import Finding, Findings, InvalidRoutes, did_you_mean, quoted
from gateway.config.key_fields import KeyFields, KeyName, problems
from gateway.config.references import Tree
from gateway.config.schema_keys import KeyEntry
from gateway.config.yaml_source import Node, plain

if TYPE_CHECKING:
    from gateway.config.loader import Loaded

ID_BEGINNING: Final = "yaml:"
PEPPER_VARIABLES: Final = ("GATEWAY_KEY_PEPPER", "GATEWAY_KEY_PEPPER_FILE")
_DIGEST: Final = re.compile(r"hmac-sha256:([0-9a-f]{64})")
_KEY_TEXT: Final = re.compile(r"us_[a-z0-9]{8}_[\w-]{40,}|sk-[\w-]{16,}", re.ASCII)
_NAME: Final[TypeAdapter[str]] = TypeAdapter(KeyName)
_LACKS_PEPPER: Final = (
    "keys count only where GATEWAY_KEY_PEPPER (or GATEWAY_KEY_PEPPER_FILE) is set: what their digests are made with"
)


def build_keys(tree: Tree, environ: Mapping[str, str], findings: Findings) -> dict[str, DeclaredKey]:
    """Return the keys by name; what is wrong with them goes to ``findings``."""
    built: dict[str, DeclaredKey] = {}
    names_by_digest: dict[bytes, str] = {}
    for name, node in tree.keys.items():
        if _check_name(name, node, findings) and (key := _build(name, node, findings)):
            first = names_by_digest.setdefault(key.digest, name)
            if first is not name:
                findings.error(node, f"keys.{name}: has the digest of keys.{first}; a key stands for one thing")
            built[name] = key
            _warn_of_unknown_routes(name, node, tree, findings)
    if tree.keys and not any(environ.get(name) for name in PEPPER_VARIABLES):
        findings.warning(next(iter(tree.keys.values())), _LACKS_PEPPER, missing_secret=True)
    return built


def refuse_without_pepper(loaded: "Loaded", *, is_keyed: bool) -> None:
    """Hold a configuration against a gateway that has, or lacks, the pepper.

    Keys that silently did not count would leave a gateway open that looks closed.

    Raises:
        InvalidRoutes: there are keys, and no pepper.
    """
    if loaded.routes.keys and not is_keyed:
        first = next((finding for finding in loaded.warnings if finding.message == _LACKS_PEPPER), None)
        at = (first.file, first.line) if first is not None else (loaded.routes.files[0], 1)
        raise InvalidRoutes((Finding(*at, _LACKS_PEPPER),), loaded.directories)


def _check_name(name: str, node: Node, findings: Findings) -> bool:
    if _KEY_TEXT.fullmatch(name):
        findings.error(node, "keys: a name looks like a key itself; give it a name, and write its digest")
        return False
    try:
        _NAME.validate_python(name)
    except ValidationError as error:
        for _, sentence in problems(error):
            findings.error(node, f"key name {quoted(name)} {sentence}")
        return False
    return True


def _build(name: str, node: Node, findings: Findings) -> DeclaredKey | None:
    entry = KeyEntry.model_validate(plain(node))
    digest = _DIGEST.fullmatch(entry.digest)
    if digest is None:
        findings.error(
            node.get("digest") or node,
            f"keys.{name}.digest must be hmac-sha256: and 64 hex digits, as `gateway keys digest` prints them; "
            "never the key",
        )
        return None
    said = entry.model_dump(exclude_none=True, exclude={"digest", "expires"})
    fields = KeyFields.model_validate({**said, "expires_at": entry.expires})
    return DeclaredKey(name, bytes.fromhex(digest[1]), fields.caller(f"{ID_BEGINNING}{name}", name))


def _warn_of_unknown_routes(name: str, node: Node, tree: Tree, findings: Findings) -> None:
    patterns = node.get("routes")
    for item in patterns.items if patterns else ():
        pattern = item.text or ""
        if not any(fnmatchcase(route, pattern) for route in tree.routes):
            hint = did_you_mean(pattern, tree.routes)
            findings.warning(item, f"keys.{name}.routes: no route is called {quoted(pattern)}{hint}")
