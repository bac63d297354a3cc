"""Dashboards as Grafana reads them, built from few words: what differs between panels is said, the rest is the same."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SCHEMA_VERSION = 39
"""Grafana 11.0's; later ones migrate it by themselves."""
COLUMNS = 24
LABEL_VALUES = 1
"""What Grafana calls a variable whose query is ``label_values``."""
GATEWAY_URL = "http://127.0.0.1:8080"
QUIET, AMBER, RED = "text", "orange", "red"
"""What needs nobody has the colour of text; amber should be looked at, red now."""
COLOURS = {"primary": "blue", "fallback": AMBER}

Json = dict[str, Any]
Words = Mapping[int, tuple[str, str]]
"""A text and a colour for a value."""
Steps = Sequence[tuple[str, float | None]]
"""Colours, each from a value on; the first one's is None."""
CALM: Steps = ((QUIET, None),)
ANY: Steps = ((QUIET, None), (AMBER, 0.5))
"""One is one too many, and can wait until morning."""
ANY_RED: Steps = ((QUIET, None), (RED, 0.5))


@dataclass(frozen=True)
class Query:
    """One question to Prometheus, and how its series are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table: ``of`` a label or a query, with a title, a unit and colours."""

    of: str
    title: str
    unit: str | None = None
    steps: Steps = CALM
    words: Words = field(default_factory=dict)
    width: int | None = None
    link: str | None = None
    decimals: int | None = None
    bar: bool = False
    """Of a share: drawn as a small bar beside its number."""


@dataclass(frozen=True)
class Panel:
    """What one panel is, without its place; ``width`` is of 24."""

    width: int
    body: Json


@dataclass(frozen=True)
class Section:
    """Rows of panels, each with its height, under a heading; what is calm is folded away."""

    title: str
    rows: Sequence[tuple[int, Sequence[Panel]]]
    folded: bool = False


def stat(
    title: str,
    text: str,
    *queries: Query,
    unit: str,
    steps: Steps = CALM,
    width: int = 3,
    words: Words | None = None,
    decimals: int | None = None,
    empty: str = "no traffic",
    shown: str = "value",
) -> Panel:
    """Return one number of now, without a picture; ``shown``: value, name, or value_and_name (of the series)."""
    defaults: Json = _field(unit, steps, words, decimals) | {"noValue": empty}
    options = {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": shown,
        "wideLayout": True,
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return Panel(width, _panel("stat", title, text, queries, defaults, options, instant=True))


def lines(
    title: str,
    text: str,
    *queries: Query,
    unit: str,
    width: int = 12,
    stacked: bool = False,
    most: float | None = None,
    least: float | None = 0,
    decimals: int | None = None,
    colours: Mapping[str, str] = COLOURS,
    dashed: str | None = None,
    steps: Steps = CALM,
) -> Panel:
    """Return curves over time: from zero, gaps as gaps, the latest number in the legend.

    ``dashed`` names a series that is a limit.
    """
    custom = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 25 if stacked else 0,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if len(steps) > 1 else "off"},
    }
    defaults: Json = _field(unit, steps, None, decimals) | {"custom": custom, "color": {"mode": "palette-classic"}}
    defaults |= {key: value for key, value in (("min", least), ("max", most)) if value is not None}
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    overrides = [_override(name, color={"mode": "fixed", "fixedColor": colour}) for name, colour in colours.items()]
    if dashed:
        line = {"fill": "dash", "dash": [8, 8]}
        overrides.append(_override(dashed, color={"mode": "fixed", "fixedColor": RED}, **{"custom.lineStyle": line}))
    return Panel(width, _panel("timeseries", title, text, queries, defaults, options, overrides))


def states(title: str, text: str, *queries: Query, words: Words, width: int = COLUMNS) -> Panel:
    """Return who was in which state when: a band for each series, coloured by ``words``."""
    custom = {"fillOpacity": 70, "lineWidth": 0, "spanNulls": False}
    defaults: Json = _field("none", CALM, words, None) | {"custom": custom}
    options = {
        "alignValue": "left",
        "mergeValues": True,
        "rowHeight": 0.8,
        "showValue": "never",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return Panel(width, _panel("state-timeline", title, text, queries, defaults, options))


def bars(title: str, text: str, *queries: Query, unit: str, steps: Steps, width: int = 12, most: float) -> Panel:
    """Return a horizontal bar for each series, all from zero on the same scale."""
    defaults: Json = _field(unit, steps, None, 0) | {"min": 0, "max": most, "noValue": "nothing"}
    options = {
        "displayMode": "basic",
        "orientation": "horizontal",
        "valueMode": "color",
        "namePlacement": "left",
        "sizing": "auto",
        "showUnfilled": False,
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return Panel(width, _panel("bargauge", title, text, queries, defaults, options, instant=True))


def table(
    title: str,
    text: str,
    queries: Mapping[str, str],
    columns: Sequence[Column],
    *,
    join: str | None = None,
    sort: tuple[str, bool] | None = None,
    width: int = COLUMNS,
    empty: str = "none",
) -> Panel:
    """Return a row a thing.

    ``queries``: by the name that columns have them by. Several are joined by the label ``join``, or, without it, where
    all labels that they share are the same. ``sort``: a title, and whether the highest comes first.
    """
    value = {name: f"Value #{name}" if len(queries) > 1 else "Value" for name in queries}
    fields = {column.of: value.get(column.of, column.of) for column in columns}
    steps: list[Json] = []
    if len(queries) > 1 and join:
        steps.append({"id": "joinByField", "options": {"byField": join, "mode": "outer"}})
    elif len(queries) > 1:
        steps.append({"id": "merge", "options": {}})
    steps.append({"id": "filterFieldsByName", "options": {"include": {"names": list(fields.values())}}})
    order = {fields[column.of]: place for place, column in enumerate(columns)}
    titles = {fields[column.of]: column.title for column in columns}
    steps.append({"id": "organize", "options": {"indexByName": order, "renameByName": titles, "excludeByName": {}}})
    defaults: Json = {"custom": {"align": "auto", "filterable": True}, "noValue": empty, "unit": "none"}
    options: Json = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False}}
    if sort:
        options["sortBy"] = [{"displayName": sort[0], "desc": sort[1]}]
    body = _panel("table", title, text, [], defaults, options, [_column(column) for column in columns])
    body["targets"] = [
        _target(expr, name, instant=True) | {"format": "table", "legendFormat": ""} for name, expr in queries.items()
    ]
    return Panel(width, body | {"transformations": steps})


def dashboard(
    uid: str,
    title: str,
    question: str,
    sections: Sequence[Section],
    variables: Sequence[Json],
    *,
    since: str = "now-6h",
    annotations: Sequence[Json] = (),
) -> Json:
    """Return a whole dashboard: its panels placed, and linked to the others and to the gateway's own page."""
    every = [*_always(), *variables]
    return {
        "uid": uid,
        "title": title,
        "description": question,
        "tags": ["understudy"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "utc",
        "refresh": "30s",
        "time": {"from": since, "to": "now"},
        "links": _links(),
        "templating": {"list": every},
        "annotations": {"list": list(annotations)},
        "panels": _placed(sections),
    }


def choice(name: str, label: str, query: str, *, everything: str | None = None, several: bool = True) -> Json:
    """Return a variable whose values Prometheus knows; ``everything``: what "All" stands for, else all its values."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"qryType": LABEL_VALUES, "query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
        "allValue": everything,
        "current": {"text": ["All"], "value": ["$__all"]} if several else {},
        "hide": 0,
    }


def annotation(name: str, expr: str, title: str) -> Json:
    """Return marks on every curve, where the query has a value."""
    query = {"expr": expr, "titleFormat": title, "step": "30s", "enable": True, "iconColor": AMBER}
    return {"name": name, "datasource": DATASOURCE, "hide": False, **query}


def _always() -> list[Json]:
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}
    narrowed = {"name": "filters", "label": "Only", "type": "adhoc", "datasource": DATASOURCE, "filters": [], "hide": 0}
    page = {"name": "ui", "label": "Gateway", "type": "textbox", "query": GATEWAY_URL, "hide": 0}
    return [source | {"current": {}, "refresh": 1}, narrowed, page | {"current": {"text": "", "value": GATEWAY_URL}}]


def _links() -> list[Json]:
    kept = {"keepTime": True, "includeVars": True, "targetBlank": False, "icon": "external link", "tooltip": ""}
    others = {"type": "dashboards", "title": "", "tags": ["understudy"], "asDropdown": False, "url": ""}
    page = {"type": "link", "title": "Ops page", "url": "${ui}/ui", "tags": []}
    return [others | kept, page | kept | {"keepTime": False, "includeVars": False, "targetBlank": True}]


def _placed(sections: Iterable[Section]) -> list[Json]:
    placed: list[Json] = []
    y, number = 0, 0
    for section in sections:
        number += 1
        heading: Json = {"type": "row", "id": number, "title": section.title, "collapsed": section.folded}
        heading["gridPos"] = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
        y += 1
        inside: list[Json] = []
        for height, panels in section.rows:
            x = 0
            for panel in panels:
                number += 1
                inside.append({"id": number, **panel.body, "gridPos": {"x": x, "y": y, "w": panel.width, "h": height}})
                x += panel.width
            y += height
        placed += [heading | {"panels": inside}] if section.folded else [heading | {"panels": []}, *inside]
        if section.folded:
            y = heading["gridPos"]["y"] + 1
    return placed


def _panel(
    kind: str,
    title: str,
    text: str,
    queries: Sequence[Query],
    defaults: Json,
    options: Json,
    overrides: Sequence[Json] = (),
    *,
    instant: bool = False,
) -> Json:
    targets = [_target(q.expr, chr(65 + n), q.legend, instant=instant) for n, q in enumerate(queries)]
    return {
        "type": kind,
        "title": title,
        "description": text,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "options": options,
        "targets": targets,
    }


def _target(expr: str, ref: str, legend: str = "", *, instant: bool) -> Json:
    one_line = re.sub(r"\s+", " ", expr).strip()
    kind = {"instant": instant, "range": not instant, "editorMode": "code"}
    return {"refId": ref, "datasource": DATASOURCE, "expr": one_line, "legendFormat": legend, **kind}


def _field(unit: str, steps: Steps, words: Words | None, decimals: int | None) -> Json:
    found: Json = {"unit": unit, "color": {"mode": "thresholds"}, "thresholds": _thresholds(steps)}
    found["mappings"] = _mappings(words) if words else []
    return found if decimals is None else found | {"decimals": decimals}


def _thresholds(steps: Steps) -> Json:
    return {"mode": "absolute", "steps": [{"color": colour, "value": value} for colour, value in steps]}


def _mappings(words: Words) -> list[Json]:
    known = {str(value): {"text": t, "color": c, "index": n} for n, (value, (t, c)) in enumerate(words.items())}
    return [{"type": "value", "options": known}]


def _override(name: str, **properties: Any) -> Json:
    listed = [{"id": key, "value": value} for key, value in properties.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": listed}


def _column(column: Column) -> Json:
    properties: Json = {}
    if column.unit is not None:
        properties["unit"] = column.unit
    if column.decimals is not None:
        properties["decimals"] = column.decimals
    if column.words:
        properties["mappings"] = _mappings(column.words)
    if column.words or len(column.steps) > 1:
        properties["thresholds"] = _thresholds(column.steps)
        properties["custom.cellOptions"] = {"type": "color-text"}
        properties["color"] = {"mode": "thresholds"}
    if column.bar:
        properties |= {"min": 0, "max": 1, "color": {"mode": "fixed", "fixedColor": AMBER}}
        properties["custom.cellOptions"] = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
    if column.width is not None:
        properties["custom.width"] = column.width
    if column.link is not None:
        properties["links"] = [{"title": "Open", "url": column.link, "targetBlank": False}]
    return _override(column.title, **properties)
