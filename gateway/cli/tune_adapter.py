"""``gateway tune ROUTE --on SERVER --adapter DIR``: what was trained on one's own GPU comes back."""

from pathlib import Path

import typer

from gateway.cli import tune_words as words
from gateway.cli.cutover import whoami
from gateway.cli.tune_wish import Opened, Told, TuneWish, opened
from gateway.errors import ConfigError
from gateway.learning.lease import held
from gateway.learning.tuning.adapters import KINDS, load, read_adapter
from gateway.learning.tuning.registering import Registrar
from gateway.store.versions import VersionStore


async def bring(wish: TuneWish, url: str, directory: Path, name: str | None) -> Told:
    """Load an adapter into a server, see that it answers, and register it as the route's next version.

    Raises:
        ConfigError: the directory holds no adapter of this route, or the server does not load or serve it.
        BadParameter: the provider is none that loads adapters.
    """
    provider = wish.provider()
    if provider.kind not in KINDS:
        kinds = ", ".join(sorted(KINDS))
        raise typer.BadParameter(f"{provider.name} ({provider.kind}) loads no adapters: {kinds}", param_hint="--on")
    adapter = read_adapter(directory)
    if adapter.route not in (None, wish.route.name):
        raise ConfigError(f"{directory} was trained for route {adapter.route!r}, not for {wish.route.name!r}")
    async with opened(wish, url) as work, held(work.database, work.clock, f"tune:{wish.route.name}"):
        chosen = name or await _next_name(work, wish)
        served = await load(work.upstream(provider), chosen, adapter, work.clock)
        registrar = Registrar(work.database, wish.route, work.clock)
        version = await registrar.register_adapter(served, adapter, provider, whoami())
    told = {
        "route": wish.route.name,
        "provider": provider.name,
        "model": served.name,
        "parent": served.parent,
        "adapter": adapter.path,
        "dataset_hash": adapter.dataset_hash,
        "version": version.name,
    }
    return Told(words.adapted(wish.route.name, version, provider.name, adapter.path), told)


async def _next_name(work: Opened, wish: TuneWish) -> str:
    """Return what the next version's adapter is called: v1 is the primary, where there is one."""
    known = await VersionStore(work.database).of_route(wish.route.name)
    number = max((version.number for version in known), default=1 if wish.route.primary is not None else 0) + 1
    return f"{words.suffix_of(wish.route.name_in_files)}-v{number}"
