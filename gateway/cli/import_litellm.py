"""``gateway import``: from another gateway's configuration to a first routes.yaml."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from gateway.cli.configuration import JsonOption
from gateway.clock import SystemClock
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config.findings import Finding
    from gateway.lifecycle.litellm_draft import ImportedDraft
    from gateway.lifecycle.litellm_notes import Notes

_STDOUT = Path("-")

import_app = typer.Typer(no_args_is_help=True, help="Move in: draft routes.yaml from another gateway's configuration.")


@import_app.callback()
def import_() -> None:
    """Move in: draft routes.yaml from another gateway's configuration."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A draft, and what there is to say of it."""

    draft: "ImportedDraft"
    notes: "Notes"
    text: str
    errors: "tuple[Finding, ...]"
    """What keeps it from being served; missing secrets are not among them."""


@import_app.command("litellm")
def litellm(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The LiteLLM proxy's config.yaml.")],
    out: Annotated[Path, typer.Option(help="The file to write; - prints it instead.")] = Path("routes.yaml"),
    as_json: JsonOption = False,
) -> None:
    """Draft routes.yaml from a LiteLLM proxy's config.yaml.

    Applications go on sending the names that they send: each model_name becomes a route. Fallbacks, aliases, prices,
    time limits and included files are taken over. What means something else here, what is to be filled in and what has
    no counterpart is listed with its line. Keys are never copied: the draft names variables. Nothing is called, and no
    file that exists is overwritten.

    Exit codes: 0 a draft was written, 1 nothing could be drafted or the draft needs mending, 2 the command was misused.

    Example:  gateway import litellm config.yaml

    Look first:  gateway import litellm config.yaml --out -
    """
    if not config.is_file():
        _misuse(f"there is no file {config}")
    if out != _STDOUT and os.path.lexists(out):
        _misuse(
            f"{out} exists, and is never overwritten. Draft somewhere else, and take over what you want: "
            f"--out draft/{out.name}, or look at it with --out -"
        )
    done = import_config(config, os.environ, SystemClock().now().date())
    if out != _STDOUT:
        _write(out, done.text)
    from gateway.cli.import_report import as_document, lines

    if as_json:
        typer.echo(json.dumps(as_document(done, None if out == _STDOUT else out), indent=2, ensure_ascii=False))
    else:
        if out == _STDOUT:
            typer.echo(done.text, nl=False)
        for line in lines(done, None if out == _STDOUT else out):
            typer.echo(line, err=out == _STDOUT)
    raise typer.Exit(1 if done.errors else 0)


def import_config(config: Path, environ: Mapping[str, str], today: date) -> Imported:
    """Read a config and draft from it; nothing is written.

    Raises:
        ConfigError: it cannot be read, or nothing of it can be served.
    """
    from gateway.lifecycle.litellm_config import read_config
    from gateway.lifecycle.litellm_counterparts import note_settings
    from gateway.lifecycle.litellm_draft import draft
    from gateway.lifecycle.litellm_files import routes_yaml
    from gateway.lifecycle.litellm_notes import Notes, Verdict, lines_of

    notes = Notes()
    read = read_config(config, environ, notes)
    drafted = draft(read, notes)
    if not drafted.routes:
        why = [
            f"  line {lines_of(note.places, read.file)}: {note.about}: {note.text}"
            for note in notes.of(Verdict.MISSING)
        ]
        raise ConfigError("\n".join([f"nothing of {read.file} can be drafted:", *why[:20]]))
    note_settings(read, notes)
    text = routes_yaml(drafted, notes, today)
    return Imported(drafted, notes, text, _errors_of(text, environ))


def _errors_of(text: str, environ: Mapping[str, str]) -> "tuple[Finding, ...]":
    """Hold the draft against our own loader."""
    from gateway.config.findings import InvalidRoutes
    from gateway.config.loader import load

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "routes.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            load(path, environ=environ)
        except InvalidRoutes as error:
            return error.findings
    return ()


def _write(out: Path, text: str) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename or out}: {error.strerror}") from None


def _misuse(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)
