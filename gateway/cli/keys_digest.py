"""``gateway keys digest``: a key for those who keep all in Git."""

import json
import sys
from typing import Annotated, Final

import typer

from gateway.cli.configuration import JsonOption
from gateway.cli.keys_store import pepper

LEAST_CHARS: Final = 24
MOST_CHARS: Final = 512


def digest(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What routes.yaml will call it.")] = "my-app",
    from_stdin: Annotated[bool, typer.Option("--stdin", help="Read the key from stdin, and make none.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print what routes.yaml declares a key by: its digest under GATEWAY_KEY_PEPPER, which opens nothing.

    Without --stdin it makes a key: the key goes to stdout, alone, and the YAML to paste to stderr. With --stdin, which
    reads a key that you have, the YAML goes to stdout. Whoever has the pepper can check guesses against a digest, so
    keys that people made up are refused.

    Example:  gateway keys digest forum-app > forum-app.key

    Example:  gateway keys digest forum-app --stdin < forum-app.key
    """
    from pydantic import ValidationError

    from gateway.cli.keys_options import refuse
    from gateway.config.key_fields import NewKey
    from gateway.config.key_text import new_key
    from gateway.execution.key_ring import digest_of

    try:
        NewKey.model_validate({"name": name})
    except ValidationError as error:
        refuse(error)
    secret = pepper()
    text = _read() if from_stdin else new_key()[1]
    known_by = f"hmac-sha256:{digest_of(secret, text.encode()).hex()}"
    yaml = f'keys:\n  {json.dumps(name)}:\n    digest: "{known_by}"'
    if as_json:
        typer.echo(json.dumps({"name": name, "digest": known_by, **({} if from_stdin else {"key": text})}, indent=2))
    elif from_stdin:
        typer.echo(yaml)
    else:
        typer.echo(f"Paste this into routes.yaml, and add what the key may (docs/keys.md):\n\n{yaml}\n", err=True)
        typer.echo(text)
        typer.echo("The key is shown this once.", err=True)


def _read() -> str:
    """Return the key that stands on stdin. What is wrong with it is said without it."""
    raw = sys.stdin.read(MOST_CHARS + 2).strip()
    if not LEAST_CHARS <= len(raw) <= MOST_CHARS or not raw.isascii() or not raw.isprintable() or " " in raw:
        raise typer.BadParameter(
            f"a key is {LEAST_CHARS} to {MOST_CHARS} visible ASCII characters, without spaces", param_hint="--stdin"
        )
    return raw
