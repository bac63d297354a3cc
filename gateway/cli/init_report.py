"""What ``gateway init`` says when it is done: for people, and for scripts."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.lifecycle.draft_files import stop_words
from gateway.lifecycle.fine_tuning_jobs import FileState, Job

if TYPE_CHECKING:
    from gateway.cli.init import Drafted


def lines(done: "Drafted", out: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the summary: what stops when, who answers then, what is left of the training, and what to do next."""
    draft = done.draft
    yield f"{out}: {_counted(len(draft.names), 'route')} drafted from {draft.inventory.provider.kind}"
    yield ""
    width = max((len(group.base or "?") for group in draft.groups), default=0)
    for group in draft.groups:
        yield f"  {len(group.routes):>4} of {group.base or '?':<{width}}   {stop_words(group.dates, draft)}"
    if draft.gone:
        where = "comments at the end" if draft.routes else "routes without a primary"
        yield f"  {len(draft.gone):>4} gone already: {where}"
    yield ""
    for fallback in draft.fallbacks.values():
        yield f"fallback: {fallback.model}"
    yield from _training(done)
    yield f"prompts: {_counted(len(draft.names), 'file')} in {out.parent / 'prompts'}{_starters(done)}"
    if done.kept:
        some = ", ".join(done.kept[:3]) + (", …" if len(done.kept) > 3 else "")
        yield f"kept as they were: {_counted(len(done.kept), 'file')} ({some})"
    for note in done.notes:
        yield f"note: {note}"
    yield ""
    yield "Next:"
    for number, (command, why) in enumerate(next_steps(done, out, environ), 1):
        yield f"  {number}. {command:<52} {why}".rstrip()


def next_steps(done: "Drafted", out: Path, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what to do, each with its reason."""
    draft = done.draft
    option = "" if str(out) == "routes.yaml" else f" --routes {out}"
    yield f"gateway check {out}", "what is wrong before it is deployed"
    yield f"gateway forecast{option}", "what stops, who serves then, and at what cost"
    if done.starters:
        yield f"edit {out.parent / 'prompts'}/*.md", "a fallback is as good as its prompt"
    key = draft.inventory.provider.api_key_env
    yield f"gateway serve{option}", f"with {key} set" if key else ""


def as_document(done: "Drafted", out: Path) -> dict[str, Any]:
    """Return the same for scripts; days are YYYY-MM-DD."""
    draft = done.draft
    return {
        "file": str(out),
        "provider": draft.inventory.provider.kind,
        "drafted": draft.today.isoformat(),
        "routes": [
            {
                "route": route.name,
                "model": route.fine_tune.model,
                "base": group.base,
                "shutdown": group.dates.shutdown.isoformat() if group.dates.shutdown else None,
                "days_left": (group.dates.shutdown - draft.today).days if group.dates.shutdown else None,
                "source": route.dates.source or None,
                "certainty": route.dates.certainty if route.dates.shutdown else None,
                "fallback": route.fallback,
                "trained": route.fine_tune.trained.isoformat() if route.fine_tune.trained else None,
                **_training_facts(route.fine_tune.job),
                "examples": done.studied[route.name].rows if route.name in done.studied else None,
            }
            for group in draft.groups
            for route in group.routes
        ],
        "gone": [
            {"route": name, "model": job.model, "base": job.base, **_training_facts(job)} for name, job in draft.gone
        ],
        "kept": list(done.kept),
        "notes": list(done.notes),
    }


def _training_facts(job: Job | None) -> dict[str, Any]:
    return {
        "job": job.id if job else None,
        "trained_tokens": job.trained_tokens if job else None,
        "training_file": job.file.id if job and job.file else None,
        "training_file_state": (job.file.state if job and job.file else FileState.UNKNOWN).value,
    }


def _training(done: "Drafted") -> Iterator[str]:
    draft = done.draft
    jobs = [*(route.fine_tune.job for route in draft.routes), *(job for _, job in draft.gone)]
    states = Counter(job.file.state for job in jobs if job and job.file)
    if not states:
        return
    words = [f"{states[state]} {word}" for state, word in _STATES.items() if states[state]]
    if done.studied:
        words.append(f"{len(done.studied)} downloaded")
    hint = "" if done.studied or not states[FileState.EXISTS] else "; keep them with --download-training DIR"
    yield f"training files: {', '.join(words)}{hint}"


_STATES = {FileState.EXISTS: "still exist", FileState.DELETED: "deleted", FileState.UNKNOWN: "not known"}


def _starters(done: "Drafted") -> str:
    if not done.starters:
        return ", from the training files"
    if done.starters == len(done.draft.names):
        return ": starters, yours to write"
    return f": {done.starters} of them starters, yours to write"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
