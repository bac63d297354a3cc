"""``gateway demo``."""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from gateway.cli.demo_run import Teller
    from gateway.cli.demo_tellers import Painter

FAST_S: Final = 24.0
INTERRUPTED: Final = 130


def demo(
    seconds: Annotated[float, typer.Option(min=20.0, max=3600.0, help="How long the 64 days take.")] = 120.0,
    fast: Annotated[bool, typer.Option("--fast", help="The same in 24 seconds.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running at the end, to look at /ui.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for scripts.")] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="The gateway's port.  (default: 8080, or one that is free)")
    ] = None,
    sandbox_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="The sandbox's port.  (default: 8081, or one that is free)")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Also draw its most telling moment, as an SVG file.")] = None,
) -> None:
    """See a fine-tune deprecated, moved away from and gone, in two minutes: no key, no account, no cost, no network.

    A real gateway and a sandbox provider serve live traffic on this machine, half of it streams, while 64 days pass.
    On day 7 the vendor announces that a base stops; the route of one fine-tune moves to the fallback along a ramp, and
    is there before the day comes. Another fine-tune vanishes on day 37, without a word. Nothing is played but the
    vendor and the calendar: dates run fast, durations and costs are what they are.

    It opens nothing by itself: the address of its pages is on the screen. Without a terminal, or with NO_COLOR, it
    prints lines. Everything it writes is in a directory of its own, which it removes.

    Exit codes: 0 if no request failed and the ledger equals the sandbox's bill, row by row; 1 if not; 130 if it was
    ended before.
    """
    from gateway.cli.demo_tellers import teller_for

    is_terminal = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    with tempfile.TemporaryDirectory(prefix="understudy-demo-", ignore_cleanup_errors=True) as directory:
        code = _play(
            Path(directory),
            FAST_S if fast else seconds,
            lambda: teller_for(as_json=as_json, is_terminal=is_terminal),
            keep=keep,
            as_json=as_json,
            ports=(port, sandbox_port),
            picture=picture,
        )
    raise typer.Exit(code)


def _play(
    directory: Path,
    seconds: float,
    telling: "Callable[[], AbstractContextManager[Teller]]",
    *,
    keep: bool,
    as_json: bool,
    ports: tuple[int | None, int | None],
    picture: Path | None,
) -> int:
    """Play it, and say how it ended; return the exit code."""
    import uvloop

    from gateway.cli import demo_ending
    from gateway.cli.demo_clock import AcceleratedClock
    from gateway.cli.demo_run import Demo
    from gateway.cli.demo_stage import Stage
    from gateway.cli.demo_story import DAYS
    from gateway.cli.demo_tellers import Painter, say
    from gateway.cli.typed import typed
    from gateway.clock import SystemClock

    clock = AcceleratedClock(SystemClock(), days=DAYS, seconds=seconds)
    stage = Stage(directory, clock, port=ports[0], sandbox_port=ports[1])
    hint = f"{DAYS} days in {seconds:g} s; look inside: {stage.url}/ui"
    typer.echo(hint, err=True)
    with stage.running():
        with telling() as teller:
            painter = Painter(teller)
            demo = Demo(stage, clock, painter)
            ended = uvloop.run(demo.run())
        if picture is not None and painter.best is not None:
            _draw(painter, picture)
        if as_json:
            say(demo_ending.document(ended.measured))
        else:
            keeps = keep and not ended.early
            lines = demo_ending.summary(ended.measured, stage.url, keeps=keeps, typed=typed())
            if sys.stdout.isatty():
                lines = demo_ending.fitted(lines, shutil.get_terminal_size().columns)
            typer.echo("\n".join(["", *lines]))
        if keep and not ended.early:
            uvloop.run(demo.stay())
    if not ended.measured.is_well:
        kept = Path(tempfile.gettempdir()) / "understudy-demo.log"
        shutil.copy(stage.log_file, kept)
        typer.echo(f"what the gateway logged: {kept}", err=True)
        return 1
    return INTERRUPTED if ended.early else 0


def _draw(painter: "Painter", file: Path) -> None:
    from gateway.cli.demo_view import picture

    assert painter.best is not None
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(picture(painter.best, "gateway demo"), encoding="utf-8")
    typer.echo(f"its picture: {file}", err=True)
