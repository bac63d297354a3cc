"""A draft as files: routes.yaml with its comments, and the prompts that its fallbacks start from. Pure.

Names and texts come from the provider, and so from anybody: in YAML they are quoted unless they are plain, and in
comments they stay on their line.
"""

import json
from collections.abc import Iterable, Iterator, Mapping

import orjson

from gateway.config.findings import printable
from gateway.config.model_ids import base_of
from gateway.lifecycle.draft import Draft, DraftRoute, Fallback, Group
from gateway.lifecycle.fine_tuning_jobs import FileState, Job
from gateway.lifecycle.training_files import Studied
from gateway.lifecycle.yaml_text import comment, key, quoted, scalar
from gateway.policy.lifecycle import Dates

_FILE_WORDS = {
    FileState.EXISTS: "training file exists",
    FileState.DELETED: "training file DELETED",
    FileState.UNKNOWN: "training file unknown",
}
_STARTER = (
    "You do one task, {task}, in the place of a model that was trained for it. Do that task on what the user sends, in "
    "the form that the conversation asks for. Answer with the result alone: no introduction, no comment."
)
_TRAINED_SYSTEM_BUDGET = 200_000
_COMMENT_COLUMN = 90


def starter(route: str) -> str:
    """Return what a prompt says before anybody has written it."""
    return _STARTER.format(task=route.replace("-", " "))


def prompt_files(draft: Draft, studied: Mapping[str, Studied]) -> dict[str, str]:
    """Return the prompts by their path beside routes.yaml; ``studied`` is by route."""
    files: dict[str, str] = {}
    for name in draft.names:
        taught = studied.get(name)
        files[f"prompts/{name}.md"] = f"{taught.system if taught and taught.system else starter(name)}\n"
        if studied:
            pairs = taught.examples if taught else ()
            files[f"prompts/{name}.examples.jsonl"] = "".join(map(_example, pairs))
    return files


def routes_yaml(draft: Draft, studied: Mapping[str, Studied], training_dir: str | None) -> str:
    """Return routes.yaml; ``training_dir`` is where training files were kept, as the file will name it."""
    lines = [
        *_head(draft),
        "version: 1",
        "",
        "providers:                 # keys are never written here: api_key_env names the variable that holds one",
        f"  {key(draft.inventory.provider.name)}: {_provider(draft)}",
        "",
        *_fallbacks(draft, studied),
        *_defaults(draft, training_dir if studied else None),
        "routes:                    # the names that applications send as `model`: rename them as you like",
    ]
    usual = next(iter(draft.fallbacks), None)
    for group in draft.groups:
        lines += ["", *comment(_group_words(group, draft), "  ")]
        lines += _route_lines(group.routes, usual, draft, studied)
    lines += _gone(draft)
    return "\n".join(lines) + "\n"


def stop_words(dates: Dates, draft: Draft) -> str:
    """Say when something stops, and in how many days from the draft's."""
    if dates.shutdown is None:
        return "no end is known"
    days = (dates.shutdown - draft.today).days
    when = f"stops {dates.shutdown.isoformat()}, in {days} days" if days > 0 else f"ended {dates.shutdown.isoformat()}"
    return f"{when}{'' if dates.certainty == 'planned' else f' ({dates.certainty})'}"


def _head(draft: Draft) -> Iterator[str]:
    provider = draft.inventory.provider
    yield f"# Drafted by `gateway init` on {draft.today.isoformat()} from {provider.kind} ({provider.base_url})."
    yield "# Days are counted from then; `gateway forecast` counts anew. Every key, explained: routes.reference.yaml."
    for note in draft.notes:
        yield from comment(f"NOTE: {note}", "")


def _provider(draft: Draft) -> str:
    provider = draft.inventory.provider
    parts = [f"kind: {scalar(provider.kind)}"]
    if provider.base_url != provider.vendor.base_url:
        parts.append(f"base_url: {json.dumps(provider.base_url)}")
    if provider.api_key_env:
        parts.append(f"api_key_env: {provider.api_key_env}")
    return f"{{{', '.join(parts)}}}"


def _fallbacks(draft: Draft, studied: Mapping[str, Studied]) -> Iterator[str]:
    if not draft.fallbacks:
        return
    yield "fallbacks:                 # who answers when a fine-tune is gone; {route} is the route's name"
    for fallback in draft.fallbacks.values():
        yield f"  {key(fallback.name)}:"
        yield f"    provider: {scalar(draft.inventory.provider.name)}"
        yield f"    model: {scalar(fallback.model)}"
        if fallback.base:
            yield f"    base: {scalar(fallback.base)}"
        yield from _prompt(studied)
        if fallback.renames_limit:
            yield "    parameters: {rename: {max_tokens: max_completion_tokens}}"
    yield ""


def _prompt(studied: Mapping[str, Studied]) -> Iterator[str]:
    systems = dict.fromkeys(text for taught in studied.values() for text in taught.trained_system)
    if not studied:
        yield '    prompt: {instructions_file: "prompts/{route}.md"}'
        return
    yield "    prompt:"
    yield "      instructions_file: prompts/{route}.md"
    yield "      examples_file: prompts/{route}.examples.jsonl   # from the training files"
    if systems:
        yield "      # A caller's system message that is one of these gives way to the instructions."
        yield "      caller_system: replace_if_trained"
        yield "      trained_system:"
        written = 0
        for text in systems:
            written += len(text)
            if written <= _TRAINED_SYSTEM_BUDGET:
                yield f"        - {quoted(text)}"


def _defaults(draft: Draft, training_dir: str | None) -> list[str]:
    usual = next(iter(draft.fallbacks.values()), None)
    lines = ["defaults:", f"  provider: {scalar(draft.inventory.provider.name)}"]
    if usual:
        lines.append(f"  fallbacks: [{scalar(usual.name)}]")
    if training_dir:
        lines.append(f"  training: {{file: {quoted(f'{training_dir}/{{route}}.jsonl')}}}")
    return [*lines, ""]


def _group_words(group: Group, draft: Draft) -> str:
    count = f"{len(group.routes)} fine-tune{'' if len(group.routes) == 1 else 's'}"
    base = group.base or "base not told by the provider"
    source = f" · source: {group.dates.source}" if group.dates.shutdown and group.dates.source else ""
    return f"{base} · {stop_words(group.dates, draft)} · {count}{source}"


def _route_lines(
    routes: Iterable[DraftRoute],
    usual: str | None,
    draft: Draft,
    studied: Mapping[str, Studied],
) -> Iterator[str]:
    written: list[tuple[str, DraftRoute]] = []
    for route in routes:
        fallback = draft.fallbacks.get(route.fallback) if route.fallback else None
        other = fallback if fallback and route.fallback != usual else None
        value = _route_value(route, other, studied.get(route.name), bool(studied))
        written.append((f"  {key(route.name)}: {value}", route))
    width = min(max(len(line) for line, _ in written), _COMMENT_COLUMN)
    for line, route in written:
        yield f"{line:<{width}}   # {printable(trained_words(route, studied.get(route.name)))}"
        for checkpoint in route.fine_tune.checkpoints:
            yield f"  # its checkpoint lives as well: {printable(checkpoint)}"


def _route_value(route: DraftRoute, other: Fallback | None, taught: Studied | None, trained_on_default: bool) -> str:
    model, base = scalar(route.model, inner=True), route.fine_tune.base
    short = f"primary: {model}"
    # A deployment's or an adapter's name tells nothing of its base.
    told = base is None or base_of(route.model) is not None
    parts = [short if told or base is None else f"primary: {{model: {model}, base: {scalar(base, inner=True)}}}"]
    if other:
        parts.append(f"fallbacks: [{scalar(other.name)}]")
    if trained_on_default and not taught:
        parts.append("training: null")
    if parts == [short]:
        return scalar(route.model)
    return f"{{{', '.join(parts)}}}"


def trained_words(route: DraftRoute, taught: Studied | None) -> str:
    """Say when a fine-tune was trained, on how much, and whether that can still be had."""
    tune = route.fine_tune
    words = [f"trained {tune.trained.isoformat()}" if tune.trained else "training unknown"]
    if route.model != tune.model:
        words.insert(0, tune.model)
    words += _job_words(tune.job, taught) if tune.job else []
    return " · ".join(words)


def _job_words(job: Job, taught: Studied | None) -> Iterator[str]:
    if taught:
        yield f"{taught.rows:,} examples"
    if job.trained_tokens is not None:
        epochs = f" in {job.epochs} epochs" if job.epochs else ""
        yield f"{job.trained_tokens:,} tokens{epochs}"
    if job.file:
        yield _FILE_WORDS[job.file.state]


def _gone(draft: Draft) -> Iterator[str]:
    if not draft.gone:
        return
    yield ""
    yield from comment(
        "Gone already: these jobs succeeded, and their models are listed no more. Their tasks can still be served"
        + (": take a line in, and write its prompt." if draft.routes else ", by the fallback and its prompt."),
        "  ",
    )
    taken_in = "" if draft.names and not draft.routes else "# "
    for name, job in draft.gone:
        when = f", trained {job.finished.isoformat()}" if job.finished else ""
        file = f", {_FILE_WORDS[job.file.state]}" if job.file else ""
        yield f"  {taken_in}{key(name)}: {{primary: null}}   # was {printable(job.model)}{when}{file}"


def _example(pair: tuple[str, str]) -> str:
    user, assistant = pair
    row = {"messages": [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]}
    return orjson.dumps(row).decode() + "\n"
