"""Holds a file's tree against the schema: every deviation becomes a finding, and is cut out of the tree.

What is left can be read on, so that a wrong key does not hide a wrong reference three lines below it. Whatever lost a
part is ``damaged``: nothing is said of what it then lacks.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from gateway.config.findings import Findings, did_you_mean, nearest, quoted
from gateway.config.schema_types import Entry, keys_at
from gateway.config.yaml_source import Node, plain

_SECRET_KEYS = {
    "api_key", "apikey", "api-key", "key", "secret", "token", "api_token", "access_token", "access_key", "password",
    "authorization", "bearer", "credential", "credentials", "secret_key", "client_secret",
}  # fmt: skip
_PREDICATES = {
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "model_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "tuple_type": "must be a list",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
}
_CHOICES = re.compile(r"'([^']*)'")


@dataclass(frozen=True, slots=True)
class Damage:
    """Which named things lost a part: pairs like ``("fallbacks", "luna")``; defaults are ``("defaults", "")``."""

    things: set[tuple[str, str]] = field(default_factory=set)

    def add(self, section: str, name: str = "") -> None:
        """Mark a thing as damaged."""
        self.things.add((section, name))

    def has(self, section: str, name: str = "") -> bool:
        """Whether the thing is damaged."""
        return (section, name) in self.things


def check_shape(root: Node, model: type[Entry], findings: Findings, damage: Damage) -> bool:
    """Report whatever in the tree the model does not allow, cut it out, and return whether anything is left."""
    problems = _problems(root, model)
    misspelt = {_misspelt(problem["loc"], model) for problem in problems if problem["type"] == "extra_forbidden"}
    for problem in problems:
        # A key that is written wrong is not missing as well.
        if problem["type"] != "missing" or problem["loc"] not in misspelt:
            node = _walk(root, problem["loc"])[-1]
            findings.error(node, _message(problem, node, model))
    # What is cut may have been required: then its mapping goes as well, until the rest is whole.
    while problems:
        ways = [(_walk(root, problem["loc"]), problem["loc"]) for problem in problems]
        if not sum(_cut(nodes, location, damage) for nodes, location in ways):
            break
        problems = _problems(root, model)
    return isinstance(root.value, dict)


def _problems(root: Node, model: type[Entry]) -> list[Any]:
    try:
        model.model_validate(plain(root))
    except ValidationError as error:
        # The first thousand are more than anybody reads; each costs a walk through the tree.
        return error.errors(include_url=False, include_context=True)[:1000]
    return []


def _misspelt(location: tuple[int | str, ...], model: type[Entry]) -> tuple[int | str, ...] | None:
    *parents, key = location
    meant = nearest(str(key), keys_at(model, tuple(parents)))
    return (*parents, meant) if meant else None


def _walk(root: Node, location: tuple[int | str, ...]) -> list[Node]:
    """Return the nodes along a location, as far as they exist, the root first."""
    nodes = [root]
    for part in location:
        value = nodes[-1].value
        if isinstance(value, dict) and part in value:
            nodes.append(value[str(part)])
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            nodes.append(value[part])
        else:
            break
    return nodes


def _cut(nodes: list[Node], location: tuple[int | str, ...], damage: Damage) -> bool:
    """Take the last of a way's nodes out of its mapping, and return whether it was still there."""
    if len(location) > 1 or location == ("defaults",):
        damage.add(str(location[0]), "" if location[0] == "defaults" else str(location[1]))
    # A list is read whole or not at all: without one of its items it would say something else.
    while len(nodes) > 1:
        inner, outer = nodes.pop(), nodes[-1].value
        if isinstance(outer, dict):
            found = [key for key, value in outer.items() if value is inner]
            for key in found:
                del outer[key]
            return bool(found)
    return False


def _message(problem: Any, node: Node, model: type[Entry]) -> str:
    location, kind = problem["loc"], problem["type"]
    if kind == "extra_forbidden":
        return _unknown_key(location, model)
    if kind == "missing":
        return f"{_subject(location[:-1])} lacks `{location[-1]}`"
    if kind == "literal_error":
        choices = _CHOICES.findall(problem["ctx"]["expected"])
        word = node.text
        hint = did_you_mean(word, choices) if word is not None else ""
        wrong = f", not {quoted(word)}" if word is not None else ""
        return f"{_subject(location)} must be one of {', '.join(choices)}{wrong}{hint}"
    if kind == "string_too_long":
        return f"{_subject(location)} must be at most {problem['ctx']['max_length']} characters long"
    if kind == "string_type" and not isinstance(node.value, dict | list) and node.value is not None:
        return f"{_subject(location)} must be text: put it in quotes"
    if kind == "model_type" and location and (location[-1] == "primary" or _is_route(location)):
        return f"{_subject(location)} must be a model's id or a mapping"
    predicate = _PREDICATES.get(kind) or problem["msg"].replace("Input should be", "must be")
    return f"{_subject(location)} {predicate}"


def _is_route(location: tuple[int | str, ...]) -> bool:
    return location[0] == "routes" and (len(location) == 2 or (len(location) == 4 and location[2] == "variants"))


def _unknown_key(location: tuple[int | str, ...], model: type[Entry]) -> str:
    *parents, key = location
    word = str(key)
    where = f"{_subject(tuple(parents))}: " if parents else ""
    named_by = {"providers": "api_key", "webhooks": "secret"}.get(str(location[0]))
    if named_by and word.lower() in _SECRET_KEYS:
        return (
            f"{where}unknown key {quoted(word)}: secrets are named, never written here; "
            f"use {named_by}_env or {named_by}_file"
        )
    if word == "profile" and len(parents) == 4 and _is_route(tuple(parents)):
        return f"{where}unknown key {quoted(word)}: a variant has the profile of its task, {parents[1]}"
    if str(location[0]) == "keys" and word.lower() in _SECRET_KEYS:
        return f"{where}unknown key {quoted(word)}: keys are never written here; use digest"
    known = keys_at(model, tuple(parents))
    if not parents and list(known) == ["routes"]:
        return f"unknown key {quoted(word)}: an included file holds only `routes`"
    return f"{where}unknown key {quoted(word)}{did_you_mean(word, known)}"


def _subject(location: tuple[int | str, ...]) -> str:
    if not location:
        return "the file"
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part != "[key]":  # A mapping's name itself, which stands before it.
            text += ("." if text else "") + (part if len(part) <= 100 else part[:60] + "…")
    return text
