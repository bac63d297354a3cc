"""LiteLLM's config.yaml as it is meant: deployments by the name that applications send, and who stands in for whom.

Read from LiteLLM's documentation of its proxy's config, and from the installed package's ``router.py`` and
``proxy/common_utils/config_includes.py`` (1.106.2), on 2026-11-24.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.config.yaml_source import Node
from gateway.errors import ConfigError
from gateway.lifecycle.litellm_notes import Notes
from gateway.lifecycle.litellm_values import Secrets, Values, secrets_in
from gateway.lifecycle.litellm_yaml import read_yaml

_LONGEST: Final = 500
"""Of a name or a model: YAML's keys end at 1,024 characters, escapes included."""
_MOST_FILES: Final = 50
_MOST_DEPLOYMENTS: Final = 5_000
_CHART_SECTION: Final = "proxy_config"


@dataclass(frozen=True, slots=True)
class Deployment:
    """One entry of ``model_list``."""

    name: str
    """LiteLLM's ``model_name``: what applications send."""
    model: str
    """``provider/model``, as ``litellm_params`` has it."""
    at: Node
    params: Mapping[str, Node]
    """``litellm_params``, and what the credential they name adds."""
    info: Mapping[str, Node]


@dataclass(frozen=True, slots=True)
class StandIns:
    """Who answers instead."""

    names: tuple[str, ...]
    at: Node


@dataclass(frozen=True, slots=True)
class LitellmConfig:
    """Everything of a config that a draft is made from."""

    groups: Mapping[str, tuple[Deployment, ...]]
    """By ``model_name``, as they are written; wildcards are left out."""
    fallbacks: Mapping[str, StandIns]
    usual_fallbacks: StandIns | None
    """For whoever has none of their own."""
    aliases: Mapping[str, tuple[str, Node]]
    settings: Mapping[str, Node]
    """``router_settings``, over ``litellm_settings`` where both say something."""
    sections: Mapping[str, Node]
    """All sections, as they are written."""
    values: Values
    file: str
    """What the first file is called in notes."""


def read_config(path: Path, environ: Mapping[str, str], notes: Notes) -> LitellmConfig:
    """Read a config and what it includes.

    Raises:
        ConfigError: A file cannot be read, or there is no deployment in them.
    """
    sections = _read_files(path, notes)
    secrets = Secrets(text for section in sections.values() for text in secrets_in(section))
    inner = sections.get("environment_variables")
    own = {name: str(node.value) for name, node in inner.entries.items() if _is_scalar(node)} if inner else {}
    values = Values({**environ, **own}, secrets)
    reader = _Reader(sections, values, notes)
    groups = reader.groups()
    if not groups and "model_list" not in sections:
        raise ConfigError(
            f"{path.name} has no model_list, so there is nothing to draft. Is it a LiteLLM proxy's config.yaml? Models "
            "that were added in LiteLLM's UI are in its database; export them first"
        )
    litellm, router = sections.get("litellm_settings"), sections.get("router_settings")
    settings = {**(litellm.entries if litellm else {}), **(router.entries if router else {})}
    return LitellmConfig(
        groups=groups,
        fallbacks=dict(reader.fallbacks(settings.get("fallbacks"))),
        usual_fallbacks=reader.usual_fallbacks(settings),
        aliases=dict(reader.aliases(settings.get("model_group_alias"))),
        settings=settings,
        sections=sections,
        values=values,
        file=path.name,
    )


def _read_files(path: Path, notes: Notes) -> dict[str, Node]:
    """Return the sections of a config and its includes, joined as LiteLLM joins them: lists grow, the rest replaces."""
    sections: dict[str, Node] = {}
    waiting, seen = [path.absolute()], set[Path]()
    while waiting:
        file = waiting.pop(0)
        if file in seen:
            continue
        seen.add(file)
        if len(seen) > _MOST_FILES:
            raise ConfigError(f"{path.name} includes more than {_MOST_FILES} files")
        label = path.name if len(seen) == 1 else _label(file, path)
        parsed = read_yaml(file, label)
        for node in parsed.twice:
            notes.changed("a key twice", "the same key is written above; as for LiteLLM, the last one holds", node)
        entries = parsed.root.entries
        if "model_list" not in entries and (chart := entries.get(_CHART_SECTION)) is not None:
            # The values of LiteLLM's Helm chart hold the config one level down.
            entries = chart.entries
        for name, node in entries.items():
            if name == "include":
                waiting += [file.parent / item.text for item in node.items if item.text]
            elif name in sections and isinstance(node.value, list):
                sections[name] = Node([*sections[name].items, *node.items], node.file, node.line)
            else:
                sections[name] = node
    return sections


def _label(file: Path, first: Path) -> str:
    try:
        return str(file.resolve().relative_to(first.resolve().parent))
    except ValueError:
        return file.name


def _is_scalar(node: Node) -> bool:
    return node.value is not None and not isinstance(node.value, dict | list)


@dataclass(slots=True)
class _Reader:
    sections: Mapping[str, Node]
    values: Values
    notes: Notes
    _credentials: dict[str, Node] = field(default_factory=dict)

    def groups(self) -> dict[str, tuple[Deployment, ...]]:
        listed = self.sections.get("credential_list")
        for item in listed.items if listed else ():
            if (name := self.values.text(item.get("credential_name"))) and (held := item.get("credential_values")):
                self._credentials[name] = held
        groups: dict[str, list[Deployment]] = {}
        models = self.sections.get("model_list")
        for item in (models.items if models else [])[:_MOST_DEPLOYMENTS]:
            if (deployment := self._deployment(item)) is not None:
                groups.setdefault(deployment.name, []).append(deployment)
        if models and len(models.items) > _MOST_DEPLOYMENTS:
            self.notes.missing("model_list", f"only its first {_MOST_DEPLOYMENTS:,} entries were read", models)
        return {name: tuple(deployments) for name, deployments in groups.items()}

    def _deployment(self, item: Node) -> Deployment | None:
        at = item.get("model_name") or item
        params = item.get("litellm_params")
        name, model = (
            self.values.text(item.get("model_name")),
            self.values.text(params.get("model") if params else None),
        )
        if name is None or model is None or params is None or max(len(name), len(model)) > _LONGEST:
            self.notes.missing(
                "model_list", "an entry without a model_name, or a litellm_params.model, that can be read; left out", at
            )
            return None
        if "*" in name or "*" in model:
            self.notes.missing(
                "wildcards",
                "there are none: applications send a route's name, and every model that they use needs a route",
                at,
            )
            return None
        held: Mapping[str, Node] = {}
        if "litellm_credential_name" in params.entries:
            named = self._credentials.get(self.values.text(params.get("litellm_credential_name")) or "")
            held = named.entries if named else {}
            if named is None:
                self.notes.open("credentials", "credential_list has none of this name: name the key by hand", at)
        info = item.get("model_info")
        return Deployment(name, model, at, {**held, **params.entries}, info.entries if info else {})

    def fallbacks(self, node: Node | None) -> Iterator[tuple[str, StandIns]]:
        """Yield who stands in for whom; of two rows for one name the first holds, as for LiteLLM."""
        seen: set[str] = set()
        for row in node.items if node else ():
            for name, listed in row.entries.items():
                if name != "*" and name not in seen:
                    seen.add(name)
                    yield name, self._stand_ins(listed)

    def usual_fallbacks(self, settings: Mapping[str, Node]) -> StandIns | None:
        """Return LiteLLM's default_fallbacks, or its row for ``*``."""
        rows = settings.get("fallbacks")
        generic = next((row.entries["*"] for row in rows.items if "*" in row.entries), None) if rows else None
        node = generic or settings.get("default_fallbacks")
        return self._stand_ins(node) if node is not None and node.items else None

    def _stand_ins(self, node: Node) -> StandIns:
        names: dict[str, None] = {}
        for item in node.items or [node]:
            inner = item.get("model") if item.entries else item
            if item.entries and len(item.entries) > 1:
                self.notes.missing(
                    "fallbacks", "a fallback with messages or parameters of its own: only its model is taken over", item
                )
            if (name := self.values.text(inner)) is not None:
                names[name] = None
        return StandIns(tuple(names), node)

    def aliases(self, node: Node | None) -> Iterator[tuple[str, tuple[str, Node]]]:
        """Yield aliases with the name that they stand for."""
        for alias, value in node.entries.items() if node else ():
            target = self.values.text(value.get("model") if value.entries else value)
            if target is None or self.values.secrets.within(alias):
                self.notes.missing("model_group_alias", "an alias that names no model; left out", value)
                continue
            if (hidden := value.get("hidden")) is not None and hidden.value is True:
                self.notes.changed("model_group_alias", "hidden aliases are listed in /v1/models like any route", value)
            yield alias, (target, value)
