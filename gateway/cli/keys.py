"""``gateway keys``: who may call, made and changed on the database, whether or not a gateway runs."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import keys_options as options
from gateway.cli.configuration import DatabaseOption, JsonOption
from gateway.cli.keys_digest import digest
from gateway.cli.keys_shown import audit, list_keys, show
from gateway.cli.keys_store import key_named, pepper, person, with_database
from gateway.cli.keys_text import in_a_line
from gateway.clock import SystemClock

if TYPE_CHECKING:
    from gateway.config.key_fields import KeyChanges
    from gateway.store.database import Database
    from gateway.store.keys import KeyRow, KeyStore

keys_app = typer.Typer(
    no_args_is_help=True,
    help="Make, change and end the keys that callers send, and see what they spent.\n\n"
    "Keys live in the gateway's database: every replica follows a change within seconds, and no server need run for "
    "it. Only a digest of each is kept, under GATEWAY_KEY_PEPPER (`openssl rand -hex 32` makes one), so that whoever "
    "reads the database has no key. A key's text is shown once, when it is made, alone on stdout. Every change leaves "
    "a row in `gateway keys audit`.\n\n"
    "  gateway keys create forum-app --route 'forum-*' --budget-day 5\n\n"
    "docs/keys.md has the whole story.",
)
_Name = Annotated[str, typer.Argument(metavar="NAME", help="A key's name, or its id.")]
_SHOWN_ONCE = "The key is shown this once; whoever has it calls with 'Authorization: Bearer …'."


@keys_app.command("create")
def create(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Its label in rows, logs and reports: letters, digits, ._@-")
    ],
    role: options.Role = None,
    routes: options.Routes = None,
    owner: options.Owner = None,
    team: options.Team = None,
    tags: options.Tags = None,
    day_usd: options.BudgetDay = None,
    month_usd: options.BudgetMonth = None,
    total_usd: options.BudgetTotal = None,
    requests_per_minute: options.RequestsPerMinute = None,
    tokens_per_minute: options.TokensPerMinute = None,
    max_output_tokens: options.MaxOutputTokens = None,
    pins: options.Pins = None,
    residency: options.Residency = None,
    expires_at: options.Expires = None,
    capture: options.Capture = None,
    by: options.By = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key. Its text goes to stdout, alone and once; what it may goes to stderr.

    Without options it calls every route, chooses no target (ROUTE@primary), spends what it likes, never expires, and
    no answer to it is kept for training. Names are never given again: rows of the ledger carry them.

    Example:  gateway keys create forum-app --route 'forum-*' --budget-day 5 --tag tenant=acme > forum-app.key
    """
    from pydantic import ValidationError

    from gateway.config.key_fields import NewKey
    from gateway.config.key_text import new_key
    from gateway.execution.key_ring import digest_of
    from gateway.store.audit import CLI
    from gateway.store.shown_keys import shown

    now = SystemClock().now()
    fields = options.fields_said(context.params, now)
    try:
        new = NewKey.model_validate({"name": name, **fields})
    except ValidationError as error:
        options.refuse(error)
    key_id, text = new_key()
    known_by = digest_of(pepper(), text.encode()).hex()
    caller = new.caller(key_id, new.name)
    if caller.expires_at is not None and caller.expires_at <= now:
        raise typer.BadParameter("is over already; write a day to come, or 90d", param_hint="--expires")
    row = with_database(
        database, lambda opened: _store(opened).create(caller, known_by, by=person(by), through=CLI), make=True
    )
    if as_json:
        typer.echo(json.dumps(shown(row, None, now) | {"key": text}, indent=2))
        return
    _hand_over(text, f"{_named(row)} {in_a_line(caller)}")


@keys_app.command("set")
def change(
    context: typer.Context,
    name: _Name,
    role: options.Role = None,
    routes: options.Routes = None,
    owner: options.Owner = None,
    team: options.Team = None,
    tags: options.Tags = None,
    day_usd: options.BudgetDay = None,
    month_usd: options.BudgetMonth = None,
    total_usd: options.BudgetTotal = None,
    requests_per_minute: options.RequestsPerMinute = None,
    tokens_per_minute: options.TokensPerMinute = None,
    max_output_tokens: options.MaxOutputTokens = None,
    pins: options.Pins = None,
    residency: options.Residency = None,
    expires_at: options.Expires = None,
    capture: options.Capture = None,
    by: options.By = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what a key may. What no option names stays; `none` takes a limit away, `--tag NAME=` a tag.

    --route replaces all of its routes; `--route none` opens every one. Its name, its text and what it has spent stay.

    Example:  gateway keys set forum-app --budget-day 10 --rpm none --tag feature=
    """
    from pydantic import ValidationError

    from gateway.config.key_fields import KeyChanges

    fields = options.fields_said(context.params, SystemClock().now())
    if not fields:
        raise typer.BadParameter("name what to change: `gateway keys set --help` has the options")
    try:
        changes = KeyChanges.model_validate(fields)
        row = with_database(database, lambda opened: _change(_store(opened), name, changes, by))
    except ValidationError as error:
        options.refuse(error)
    _told(row, f"{_named(row)} {in_a_line(row.caller)}; replicas follow within seconds", as_json=as_json)


@keys_app.command("rotate")
def rotate(
    name: _Name,
    grace: Annotated[
        str, typer.Option("--grace", metavar="24h", help="How long the key before stays valid, at most 30d.")
    ] = "0",
    by: options.By = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a key another text, and keep all that it may and has spent. The new one goes to stdout, alone and once.

    Without --grace the one before is refused within seconds: right for one that leaked. With it both are taken until
    then, so that applications can be given the new one in peace. Rotating again ends the oldest at once.

    Example:  gateway keys rotate forum-app --grace 24h > forum-app.key
    """
    from gateway.config.key_text import new_text
    from gateway.execution.key_ring import digest_of
    from gateway.store.audit import CLI
    from gateway.store.shown_keys import shown

    lasts, secret, now = options.grace_of(grace), pepper(), SystemClock().now()

    async def work(opened: "Database") -> "tuple[KeyRow, str]":
        store = _store(opened)
        key_id = (await key_named(store, name)).caller.id
        text = new_text(key_id)
        known_by = digest_of(secret, text.encode()).hex()
        return await store.rotate(key_id, known_by, grace=lasts, by=person(by), through=CLI), text

    row, text = with_database(database, work)
    if as_json:
        typer.echo(json.dumps(shown(row, None, now) | {"key": text}, indent=2))
        return
    until = f"is taken until {row.old_until:%Y-%m-%d %H:%M} UTC" if row.old_until else "is refused within seconds"
    _hand_over(text, f"{_named(row)} has another text; the one before {until}")


@keys_app.command("revoke")
def revoke(name: _Name, by: options.By = None, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """End a key for good: every replica refuses it within five seconds; requests under way are let finish.

    What it may and has spent stays to be read; its name is never given again.

    Example:  gateway keys revoke forum-app
    """
    from gateway.store.audit import CLI

    async def work(opened: "Database") -> "tuple[KeyRow, bool]":
        store = _store(opened)
        before = await key_named(store, name)
        return await store.revoke(before.caller.id, by=person(by), through=CLI), before.revoked_at is not None

    row, was_revoked = with_database(database, work)
    told = "was revoked already" if was_revoked else "is revoked; every replica refuses it within five seconds"
    _told(row, f"{_named(row)} {told}", as_json=as_json)


# Below, so that help lists what changes keys first.
keys_app.command("list")(list_keys)
keys_app.command("show")(show)
keys_app.command("audit")(audit)
keys_app.command("digest")(digest)


def _store(database: "Database") -> "KeyStore":
    from gateway.store.keys import KeyStore

    return KeyStore(database, SystemClock())


async def _change(store: "KeyStore", name: str, changes: "KeyChanges", by: str | None) -> "KeyRow":
    from gateway.store.audit import CLI

    key_id = (await key_named(store, name)).caller.id
    return await store.change(key_id, changes.changed, by=person(by), through=CLI)


def _named(row: "KeyRow") -> str:
    return f"{row.caller.name} ({row.caller.id})"


def _told(row: "KeyRow", sentence: str, *, as_json: bool) -> None:
    from gateway.store.shown_keys import shown

    typer.echo(json.dumps(shown(row, None, SystemClock().now()), indent=2) if as_json else sentence)


def _hand_over(text: str, sentence: str) -> None:
    """Print a key alone, and beside it what to know."""
    typer.echo(sentence, err=True)
    typer.echo(text)
    typer.echo(_SHOWN_ONCE, err=True)
