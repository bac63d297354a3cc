"""Prompts of fallbacks: instructions and fixed examples, read from routes.yaml and the files it names."""

import hashlib
from typing import Any

import orjson

from gateway.config.findings import Finding, Findings
from gateway.config.pack_files import NamedPack, find_pack
from gateway.config.packs import Pack
from gateway.config.route_names import RouteName
from gateway.config.routes import Example, Prompt
from gateway.config.rules import VARIABLE
from gateway.config.schema import PromptEntry
from gateway.config.source_files import SourceFiles, Unreadable
from gateway.config.yaml_source import Node

_MOST_EXAMPLES = 50


def read_for_route(
    what: str, at: Node, route: RouteName, files: SourceFiles, findings: Findings
) -> tuple[str, bytes] | None:
    """Return label and content of the file that a node names, its variables filled in; None where it cannot be read.

    A path with any other variable is silently None: ``rules`` has reported it.
    """
    written = route.filled_in(at.text or "")
    if VARIABLE.search(written):
        return None
    path = files.locate(at, written)
    try:
        return files.label(path), files.read(path)
    except Unreadable as problem:
        findings.error(at, f"{_of_route(at, route)}{what} {files.label(path)} {problem}")
        return None


def _of_route(at: Node, route: RouteName) -> str:
    """Say for which route a file is read, where each has its own: its line is the one that they share."""
    return f"routes.{route}: " if "{route}" in (at.text or "") else ""


def build_prompt(
    entry: PromptEntry, node: Node, route: RouteName, files: SourceFiles, findings: Findings
) -> Prompt | None:
    """Return a fallback's prompt for one route; None where a part is missing or empty, which is reported."""
    instructions = entry.instructions
    examples = tuple(Example(user=pair.user, assistant=pair.assistant) for pair in entry.examples or ())
    whole = True
    if (at := node.get("instructions_file")) and entry.instructions is None:
        instructions = _instructions(at, route, files, findings)
        whole = instructions is not None
    elif instructions is not None and not instructions.strip():
        findings.error(node.get("instructions") or node, "the instructions are empty")
        whole = False
    if at := node.get("examples_file"):
        read = read_for_route("examples_file", at, route, files, findings)
        more = _examples(*read, findings) if read else None
        whole = whole and more is not None
        examples += more or ()
    at = node.get("pack")
    named = find_pack(at, route, files, findings) if at and at.value is not None else NamedPack()
    if not whole:
        return None
    prompt = Prompt(
        version="",
        instructions=instructions.strip() if instructions else None,
        examples=examples,
        caller_system=entry.caller_system or "keep",
        trained_system=entry.trained_system or (),
        awaited_pack=named.awaited,
        missing_pack=named.missing,
    )
    return with_pack(prompt, named.pack)


def with_pack(prompt: Prompt, pack: Pack | None) -> Prompt:
    """Return a prompt with its pack and its version.

    Instructions and system messages that routes.yaml names outrank the pack's. Where the pack is all there is, the
    version is the pack's own, and says what else happens to the caller's system message: ``221ff1a6d0a3-keep``.
    """
    if pack is not None:
        own_trained = prompt.trained_system not in ((), pack.trained_system)
        prompt = prompt.model_copy(
            update={
                "pack": pack,
                "instructions": prompt.instructions or pack.instructions or None,
                "trained_system": prompt.trained_system or pack.trained_system,
                "awaited_pack": None,
                "missing_pack": None,
            }
        )
        if prompt.instructions == (pack.instructions or None) and not prompt.examples and not own_trained:
            usual = prompt.caller_system == "replace_if_trained"
            version = pack.version if usual else f"{pack.version}-{prompt.caller_system}"
            return prompt.model_copy(update={"version": version})
    content = prompt.model_dump(mode="json", exclude={"version", "pack", "awaited_pack", "missing_pack"})
    if pack is not None:
        content["pack"] = pack.hash
    digest = hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return prompt.model_copy(update={"version": digest[:12]})


def _instructions(at: Node, route: RouteName, files: SourceFiles, findings: Findings) -> str | None:
    read = read_for_route("instructions_file", at, route, files, findings)
    if read is None:
        return None
    label, content = read
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        findings.error(at, f"{_of_route(at, route)}instructions_file {label} is not UTF-8")
        return None
    if not text:
        findings.error(at, f"{_of_route(at, route)}instructions_file {label} is empty")
        return None
    return text


def _examples(label: str, content: bytes, findings: Findings) -> tuple[Example, ...] | None:
    rows = [(number, row) for number, row in enumerate(content.split(b"\n"), 1) if row.strip()]
    if len(rows) > _MOST_EXAMPLES:
        findings.add(Finding(label, rows[_MOST_EXAMPLES][0], f"holds more than {_MOST_EXAMPLES} examples"))
        return None
    found = [_example(label, number, row, findings) for number, row in rows]
    examples = tuple(example for example in found if example)
    return examples if len(examples) == len(found) else None


def _example(label: str, number: int, row: bytes, findings: Findings) -> Example | None:
    try:
        messages = orjson.loads(row)["messages"]
        pair = _last_pair(messages)
    except orjson.JSONDecodeError:
        findings.add(Finding(label, number, "is not a line of JSON"))
        return None
    except (KeyError, TypeError, AttributeError):
        findings.add(Finding(label, number, 'is not a training row of the form {"messages": […]}'))
        return None
    if pair is None:
        findings.add(Finding(label, number, "has no user message with text and an assistant's answer with text to it"))
    return pair


def _last_pair(messages: list[dict[str, Any]]) -> Example | None:
    last = {message["role"]: message.get("content") for message in messages}
    user, assistant = last.get("user"), last.get("assistant")
    if isinstance(user, str) and isinstance(assistant, str) and user and assistant:
        return Example(user=user, assistant=assistant)
    return None
