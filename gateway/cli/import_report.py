"""What ``gateway import`` says when it is done: for people, and for scripts."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.lifecycle.forecast_words import counted
from gateway.lifecycle.litellm_notes import Note, Verdict, lines_of
from gateway.lifecycle.yaml_text import shown

if TYPE_CHECKING:
    from gateway.cli.import_litellm import Imported

_TITLES: Final = {
    Verdict.TAKEN: "taken over",
    Verdict.CHANGED: "changed",
    Verdict.OPEN: "to fill in",
    Verdict.MISSING: "no counterpart here",
}
_MOST_TAKEN: Final = 12


def lines(done: "Imported", out: Path | None) -> Iterator[str]:
    """Yield the report; ``out`` is the file that was written, None where there is none."""
    draft = done.draft
    what = f"{counted(len(draft.routes))}, {counted(len(draft.fallbacks), 'fallback')}"
    what = f"{what} and {counted(len(draft.providers), 'provider')}"
    yield f"{out or 'routes.yaml'}: {what} drafted from {shown(draft.source)}"
    for verdict, title in _TITLES.items():
        notes = done.notes.of(verdict)
        if not notes:
            continue
        yield ""
        yield f"{title}:"
        most = _MOST_TAKEN if verdict is Verdict.TAKEN else len(notes)
        for note in notes[:most]:
            yield f"  line {lines_of(note.places, draft.source)}: {note.about}: {note.text}"
        if len(notes) > most:
            yield f"  and {len(notes) - most} more, each with its line in the draft"
    for finding in done.errors:
        yield ""
        yield f"to mend: {out or 'routes.yaml'}:{finding.line}: {finding.message}"
    yield ""
    yield "Next:"
    for number, (step, why) in enumerate(_next_steps(done, out), 1):
        yield f"  {number}. {step:<46} {why}".rstrip()


def as_document(done: "Imported", out: Path | None) -> dict[str, Any]:
    """Return the same for scripts; with the draft itself where it was not written."""
    draft = done.draft
    document = {
        "file": str(out) if out else None,
        "source": draft.source,
        "routes": [
            {
                "route": route.name,
                "provider": route.primary.provider if route.primary else None,
                "model": route.primary.model if route.primary else None,
                "base": route.primary.base if route.primary else None,
                "fallbacks": list(route.fallbacks),
                "file": route.at.file,
                "line": route.at.line,
            }
            for route in draft.routes
        ],
        "providers": {name: account.kind for name, account in draft.providers.items()},
        "variables": _variables(done),
        "errors": [{"line": finding.line, "message": finding.message} for finding in done.errors],
        **{verdict.value: [_row(note) for note in done.notes.of(verdict)] for verdict in Verdict},
    }
    return document if out else {**document, "draft": done.text}


def _row(note: Note) -> dict[str, Any]:
    return {
        "about": note.about,
        "text": note.text,
        "places": [{"file": place.file, "line": place.line} for place in note.places],
    }


def _variables(done: "Imported") -> list[str]:
    """Return the variables that the draft names."""
    named = dict.fromkeys(done.draft.variables.values())
    return [*named, *(["SLACK_WEBHOOK_URL"] if done.draft.tells_slack else [])]


def _next_steps(done: "Imported", out: Path | None) -> Iterator[tuple[str, str]]:
    if out is None:
        yield "gateway import litellm CONFIG", "writes it to routes.yaml"
        return
    option = "" if str(out) == "routes.yaml" else f" --routes {out}"
    if done.notes.of(Verdict.OPEN):
        yield f"edit {out}", "fill in what is listed above"
    if variables := _variables(done):
        first, *more = variables
        yield (
            f"export {first}{', …' if more else ''}",
            f"the keys, where the gateway will run ({len(variables)} in all)",
        )
    if done.draft.had_key:
        yield "export GATEWAY_KEY, GATEWAY_ADMIN_KEY", "what callers send as their API key, in the master key's place"
    yield f"gateway check {out}", "what is wrong before it is deployed"
    yield f"gateway forecast{option}", "which fine-tunes stop when, and who answers then"
    tunes = [route for route in done.draft.routes if route.primary and route.primary.is_fine_tune]
    if alone := sum(not route.fallbacks for route in tunes):
        yield (
            "add fallbacks",
            f"{alone} of {counted(len(tunes), 'fine-tune')} without one: with its model its route ends",
        )
    if len(tunes) > alone:
        yield "write prompts", "a fallback in a fine-tune's place is as good as its prompt"
    yield f"gateway serve{option}", "then change applications' base_url; their models' names stay"
