"""``gateway tune ROUTE --on trl``: a directory with everything that training on one's own GPU takes."""

from pathlib import Path

import typer

from gateway.cli.cutover import whoami
from gateway.cli.dataset_work import publish
from gateway.cli.tune_wish import Told, TuneWish, opened
from gateway.config.routes import Target
from gateway.errors import ConfigError
from gateway.learning.datasets.directory import read
from gateway.learning.datasets.export import exported
from gateway.learning.datasets.formats import FORMATS, Format
from gateway.learning.tuning.holdings import lineage_row
from gateway.learning.tuning.material import material_of
from gateway.learning.tuning.trl_kit import DATA, KitWish, kit_files
from gateway.learning.tuning.trl_kit import FORMATS as FORMAT_OF
from gateway.learning.whole_files import put_file
from gateway.lifecycle.forecast_words import counted
from gateway.store.datasets import DatasetStore


async def write(wish: TuneWish, url: str, out: Path | None) -> Told:
    """Write the directory; the database knows where its rows are, so that a deletion finds them.

    Raises:
        ConfigError: the data set cannot be trained on, or something is in the place already.
        BadParameter: nobody says what to train from.
    """
    kit_wish, place, form = _checked(wish, out)
    async with opened(wish, url) as work:
        now = work.clock.now()
        dataset = read(wish.directory)
        export = exported(dataset, form, by=whoami(), at=now)
        # What is brought back is known by this hash: a deletion has to know whose rows it learnt.
        await DatasetStore(work.database).keep(lineage_row(dataset.manifest))
        published = await publish(work.database, place / DATA, export.manifest, export.files, "export", now)
    kit = kit_files(kit_wish, published.manifest.files)
    try:
        for name, content in kit.items():
            put_file(place / name, content)
    except OSError as error:
        raise ConfigError(f"{place} cannot be written: {error.strerror}") from None
    rows = {name: len(published.manifest.rows(name)) for name in sorted(published.manifest.files)}
    return _told(kit_wish, place, rows, [*sorted(kit), *(f"{DATA}/{name}" for name in rows)])


def _checked(wish: TuneWish, out: Path | None) -> tuple[KitWish, Path, Format]:
    """Return what is to be written, and where; the rows are held to the rules, since the script has none."""
    base = wish.base or _own_base(wish.route.primary)
    if base is None:
        message = "say what to train from: an id of the Hugging Face hub, or a directory"
        raise typer.BadParameter(message, param_hint="--base")
    place = out.absolute() if out is not None else _place(wish)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ConfigError(f"{place} is there already: name another with --out, or move it away")
    form = FORMATS[FORMAT_OF[wish.method]]
    manifest = material_of(wish.directory, form, None, wish.route.name, wish.route.tenant).manifest
    kit = KitWish(
        route=wish.route.name,
        base=base,
        method=wish.method,
        dataset_hash=manifest.dataset_hash,
        epochs=wish.epochs,
    )
    return kit, place, form


def _told(kit: KitWish, place: Path, rows: dict[str, int], files: list[str]) -> Told:
    told = {
        "route": kit.route,
        "directory": str(place),
        "base": kit.base,
        "method": kit.method,
        "dataset_hash": kit.dataset_hash,
        "rows": rows,
        "files": files,
    }
    lines = [
        f"{place}: {', '.join(files)}",
        f"{counted(rows.get('train.jsonl', 0), 'training row')}, {kit.base}, {kit.method}; README.md says how to "
        "train, serve and come back:",
        f"  cd {place} && pip install -r requirements.txt && python train.py",
    ]
    return Told(lines, told)


def _place(wish: TuneWish) -> Path:
    return wish.routes_file.parent.absolute() / "tune" / wish.route.name_in_files


def _own_base(primary: Target | None) -> str | None:
    """Return the base of a primary whose weights are one's own: another's cannot be had."""
    return primary.base if primary is not None and primary.provider.vendor.fine_tune_rule == "own" else None
