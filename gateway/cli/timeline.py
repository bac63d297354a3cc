"""A forecast as one page: a sentence, a timeline, a table. No script, nothing from elsewhere, fit for print.

Who serves is told by words and by shape: a full bar is the primary, a thin one the fallback, a dashed line nobody. A
ramp is a wedge, a date that is not certain is hatched.
"""

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.lifecycle import forecast_words as words
from gateway.lifecycle.forecast_headline import bill, headline, left_alone, not_asked
from gateway.lifecycle.timeline import HATCH, Axis, axis_of, shapes, spoken, when_it_stops

if TYPE_CHECKING:
    from gateway.lifecycle.forecast import Forecast, RouteForecast

_STYLE: Final = Path(__file__).parent.parent / "data" / "forecast.css"
_DAY: Final = re.compile(r"\b20\d\d-\d\d-\d\d\b(?! \d\d:)|\b20\d\d-\d\d-\d\d \d\d:\d\d UTC")


def page(found: "Forecast", routes_file: str) -> str:
    """Return the whole page; every word that comes from a configuration or a provider is escaped."""
    axis = axis_of(found)
    title, alone = headline(found), left_alone(found)
    more = [said for said in (bill(found), not_asked(found)) if said]
    parts = (
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<style>{_STYLE.read_text(encoding='utf-8')}</style></head><body>",
        HATCH,
        f"<header><h1>{_text(title)}</h1>",
        f'<p class="bad">{escape(alone)}</p>' if alone else "",
        *(f"<p>{_text(said)}</p>" for said in more),
        f'<p class="quiet">{_about(found, routes_file)}</p></header>',
        _timeline(found, axis),
        _loads(found),
        _what_to_do(found),
        _table(found),
        _sources(found),
        "</body></html>",
    )
    return "\n".join(part for part in parts if part) + "\n"


def _about(found: "Forecast", routes_file: str) -> str:
    now, traffic = found.horizon.now, found.traffic
    said = f"{escape(routes_file)} · {words.counted(len(found.routes))} · {_text(f'made on {now:%Y-%m-%d %H:%M} UTC')}"
    if traffic is None:
        return f"{said}<br>{escape(words.NOT_KNOWN)}"
    requests = sum(row.requests for row in traffic.served)
    return f"{said} · ledger: {words.counted(requests, 'request')} in {escape(words.the_last(traffic.days))}"


def _timeline(found: "Forecast", axis: Axis) -> str:
    months = "".join(
        f'<span style="left:{axis.at(month) / 10}%">{month:%b}{f" {month:%Y}" if month.month == 1 else ""}</span>'
        for month in axis.months()
    )
    today = axis.at(found.horizon.now.date()) / 10
    shutdowns = sorted({row.dates.shutdown for row in found.lost if row.dates.shutdown})
    marks = "".join(
        f'<b class="mark" style="left:{axis.at(day) / 10}%">{day:%d %b}</b>' for day in shutdowns if axis.at(day) > 60
    )
    rows = "".join(_row(row, axis) for row in found.routes)
    return (
        '<section aria-label="Timeline"><ul class="key"><li><i class="full"></i>the primary answers</li>'
        '<li><i class="thin"></i>the fallback answers</li><li><i class="wedge"></i>traffic moves over</li>'
        '<li><i class="none"></i>nobody answers</li><li><i class="hatched"></i>the date is not certain</li></ul>'
        f'<div class="line" style="--today:{today}%">'
        f'<div class="row axis"><span></span><div class="bar">{months}<b style="left:{today}%">today</b>{marks}</div>'
        f"<span>who answers then</span></div>{rows}</div></section>"
    )


def _row(row: "RouteForecast", axis: Axis) -> str:
    owner = f" <small>{escape(row.route.owner)}</small>" if row.route.owner else ""
    then = escape(words.answers(row)).replace("NOBODY", "nobody")
    if row.gone is not None:
        then = f"{_text(words.gone_already(row))}: {then}"
    elif row.lost and row.complete is None and not row.nobody:
        then = f"{then} {words.moves(row)}"
    if not row.lost:
        then = f'<span class="quiet">{then}; {_text(when_it_stops(row))}</span>'
    said = escape(spoken(row), quote=True)
    state = ' class="row bad"' if row.nobody else ' class="row"'
    return (
        f'<div{state}><span class="name">{escape(row.route.name)}{owner}</span>'
        f'<div class="bar" role="img" aria-label="{said}" title="{said}">'
        f'<svg viewBox="0 0 1000 16" preserveAspectRatio="none">{"".join(shapes(row, axis))}</svg></div>'
        f'<span class="then">{then}</span></div>\n'
    )


def _text(said: str) -> str:
    """Escape a sentence; its days are not broken over lines."""
    return _DAY.sub(r"<span class=day>\g<0></span>", escape(said))


def _loads(found: "Forecast") -> str:
    if not found.loads:
        return ""
    return "<section><h2>The load afterwards</h2>" + "".join(
        f"<p>{_text(words.load(load))}</p>" for load in found.loads
    ) + "</section>"  # fmt: skip


def _what_to_do(found: "Forecast") -> str:
    items = []
    for finding, rows in words.grouped(found.routes):
        count = words.counted_of(len(rows), len(found.routes))
        names = "" if count.startswith("all ") else f"{escape(words.listed(rows))}<br>"
        bad = ' class="bad"' if finding.kind == "nobody" else ""
        items.append(f"<dt{bad}>{count}: {_text(finding.text)}</dt><dd>{names}→ {escape(finding.remedy)}</dd>")
    return f"<section><h2>What to do</h2><dl>{''.join(items)}</dl></section>" if items else ""


def _table(found: "Forecast") -> str:
    columns = ["Route", "Owner", "Model", "Stops", "Days left", "Traffic moves", "Then answers"]
    if found.traffic is not None:
        columns += ["Cost per 1,000", "A month", "Refused", "Altered"]
    head = "".join(f"<th scope=col>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(_cells(row, found.traffic is not None))}</tr>\n" for row in found.routes)
    return (
        '<section><h2>Every route</h2><div class="wide"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></section>"
    )


def _cells(row: "RouteForecast", with_traffic: bool) -> Iterator[str]:
    yield f"<th scope=row>{escape(row.route.name)}</th>"
    cells = [row.route.owner or "", row.base or row.main.model]
    if row.dates.shutdown is None:
        cells += [words.gone_already(row) or when_it_stops(row), "", ""]
    else:
        gone = f"; {words.gone_already(row)}" if row.gone is not None else ""
        cells += [
            f"{row.dates.shutdown}{'' if row.dates.certainty == 'planned' else ' (' + row.dates.certainty + ')'}{gone}",
            str(row.days_left),
            words.moves(row),
        ]
    cells.append(words.answers(row))
    if with_traffic:
        cells += [words.per_1000(row.cost), words.per_month(row.cost), words.share(row.demand, refused=True)]
        cells.append(words.share(row.demand, refused=False))
    for cell in cells:
        yield f"<td{' class=bad' if cell == 'NOBODY' else ''}>{escape(cell)}</td>"


def _sources(found: "Forecast") -> str:
    said = dict.fromkeys(
        f"{row.base or row.main.model} at {row.main.provider.name}: {words.why(row.dates)}"
        for row in found.routes
        if row.dates.shutdown is not None
    )
    if not said:
        return ""
    items = "".join(f"<li>{_text(text)}</li>" for text in said)
    note = ""
    if found.traffic is not None:
        note = f"<p>{escape(words.ESTIMATES)}</p>"
    return f"<section><h2>Why we believe it</h2><ul>{items}</ul>{note}</section>"
