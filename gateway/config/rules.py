"""What a schema cannot say of a layer of routes.yaml: parameters, variables in paths, lists with a name twice."""

import re
from collections.abc import Iterator

from gateway.config.findings import Findings, quoted
from gateway.config.references import Tree
from gateway.config.route_names import VARIABLES
from gateway.config.yaml_source import Node

VARIABLE = re.compile(r"\{[^{}]*\}")
_OURS = {"model", "messages", "stream", "stream_options"}
_PATHS = (("contract",), ("training", "file"))
_PROMPT_PATHS = (("prompt", "instructions_file"), ("prompt", "examples_file"), ("prompt", "pack"))


def check_rules(tree: Tree, findings: Findings) -> None:
    """Report what is wrong within each layer and fallback, as written; whether references exist is not looked at."""
    for path, layer in tree.layers().items():
        for key in ("fallbacks", "fallback_on"):
            _check_twice(path, key, layer.get(key), findings)
        _check_parameters(f"{path}.primary", layer.get("primary", "parameters"), findings)
        _check_variables(path, layer, _PATHS, findings)
    for name, fallback in tree.fallbacks.items():
        _check_parameters(f"fallbacks.{name}", fallback.get("parameters"), findings)
        _check_variables(f"fallbacks.{name}", fallback, _PROMPT_PATHS, findings)


def _check_twice(path: str, key: str, listed: Node | None, findings: Findings) -> None:
    seen: set[str] = set()
    for item in listed.items if listed else ():
        if item.text is not None and item.text in seen:
            findings.error(item, f"{path}.{key} lists {quoted(item.text)} twice")
        seen.add(item.text or "")


def _check_parameters(path: str, parameters: Node | None, findings: Findings) -> None:
    if parameters is None:
        return
    for name, node in _touched(parameters):
        if name in _OURS:
            findings.error(node, f"{path}.parameters must not touch `{name}`: the gateway sets it")
    renamed = parameters.get("rename")
    goals: set[str] = set()
    for old, node in renamed.entries.items() if renamed else ():
        if node.text is None:
            continue
        if node.text == old:
            findings.error(node, f"{path}.parameters renames {quoted(old)} to itself")
        elif node.text in goals:
            findings.error(node, f"{path}.parameters renames two parameters to {quoted(node.text)}")
        goals.add(node.text)


def _touched(parameters: Node) -> Iterator[tuple[str, Node]]:
    for operation in ("rename", "set"):
        node = parameters.get(operation)
        yield from node.entries.items() if node else ()
    for operation in ("rename", "drop"):
        node = parameters.get(operation)
        for item in [*node.entries.values(), *node.items] if node else ():
            if item.text is not None:
                yield item.text, item


def _check_variables(subject: str, layer: Node, paths: tuple[tuple[str, ...], ...], findings: Findings) -> None:
    for path in paths:
        node = layer.get(*path)
        if node is None or node.text is None:
            continue
        for variable in VARIABLE.findall(node.text):
            if variable not in VARIABLES:
                known = " and ".join(f"'{each}'" for each in VARIABLES)
                findings.error(
                    node, f"{subject}.{'.'.join(path)}: {quoted(variable)} is no variable; there are {known}"
                )
