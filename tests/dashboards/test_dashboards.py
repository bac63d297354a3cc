"""What every dashboard that ships must be: said in words, with units, about metrics that exist, and current."""

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.metrics_reference import families
from gateway.execution.route_collector import FALLBACK_REASONS
from gateway.policy.intended import is_intended

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = sorted((ROOT / "helm" / "files" / "dashboards").glob("*.json"))
DASHBOARDS = {file.stem: json.loads(file.read_text()) for file in FILES}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
BUILT_IN = {"__rate_interval", "__range", "__value", "__url_time_range", "__all"}
COLOURED = {"stat", "bargauge"}
CURVES = {"timeseries", "state-timeline"}
SUFFIXES = ("_bucket", "_count", "_sum")
Json = dict[str, Any]


def panels(dashboard: Json) -> Iterator[Json]:
    """Every panel that shows something, also those that are folded away."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def every_panel() -> Iterator[Any]:
    for name, dashboard in DASHBOARDS.items():
        for panel in panels(dashboard):
            yield pytest.param(dashboard, panel, id=f"{name}: {panel['title']}")


def variables(dashboard: Json) -> dict[str, Json]:
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def expressions(dashboard: Json) -> Iterator[str]:
    """Every query that goes to Prometheus: of panels, variables and annotations."""
    for panel in panels(dashboard):
        yield from (target["expr"] for target in panel["targets"])
    yield from (v["query"]["query"] for v in dashboard["templating"]["list"] if v["type"] == "query")
    yield from (a["expr"] for a in dashboard["annotations"]["list"])


FAMILIES = {family.name: family for family in families()}
EXPORTED = {
    series: family
    for family in FAMILIES.values()
    for series in ([family.name + s for s in SUFFIXES] if family.kind == "histogram" else [family.name])
}


def test_four_dashboards_ship() -> None:
    assert list(DASHBOARDS) == ["calendar", "cost", "overview", "route"]


def test_planned_and_unplanned_fallbacks_are_told_apart_as_objectives_do() -> None:
    planned = {reason.value for reason in FALLBACK_REASONS if is_intended(reason, first_after_date=False)}
    unplanned = {reason.value for reason in FALLBACK_REASONS} - planned
    asked = " ".join(expr for dashboard in DASHBOARDS.values() for expr in expressions(dashboard))
    found = {frozenset(reasons.split("|")) for reasons in re.findall(r'reason=~"([^"]+)"', asked)}
    assert found == {frozenset(planned), frozenset(unplanned)}


def test_the_files_are_what_the_script_writes() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "dashboards.py"), "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr


def test_uids_are_fixed_and_unique() -> None:
    uids = [dashboard["uid"] for dashboard in DASHBOARDS.values()]
    assert len(set(uids)) == len(uids)
    assert all(re.fullmatch(r"understudy-[a-z]{1,29}", uid) for uid in uids), "Grafana takes 40 characters"


@pytest.mark.parametrize("name", list(DASHBOARDS))
class TestDashboard:
    def test_says_its_question_and_is_found_by_its_tag(self, name: str) -> None:
        dashboard = DASHBOARDS[name]
        assert dashboard["title"].startswith("Understudy / ")
        assert dashboard["description"].endswith("?")
        assert dashboard["tags"] == ["understudy"]
        assert dashboard["schemaVersion"] >= 39, "Grafana 11"
        assert dashboard["timezone"] == "utc"

    def test_leads_to_the_others_and_to_the_ops_page(self, name: str) -> None:
        links = DASHBOARDS[name]["links"]
        assert [link["type"] for link in links] == ["dashboards", "link"]
        assert links[0]["tags"] == ["understudy"]
        assert links[1]["url"] == "${ui}/ui"

    def test_chooses_its_data_source_by_a_variable(self, name: str) -> None:
        known = variables(DASHBOARDS[name])
        assert known["datasource"]["type"] == "datasource"
        assert known["datasource"]["query"] == "prometheus"
        others = [v["datasource"] for v in known.values() if "datasource" in v]
        assert all(source == DATASOURCE for source in others)

    def test_ids_are_unique(self, name: str) -> None:
        dashboard = DASHBOARDS[name]
        ids = [p["id"] for p in dashboard["panels"]] + [
            i["id"] for p in dashboard["panels"] for i in p.get("panels", ())
        ]
        assert len(set(ids)) == len(ids)

    def test_titles_are_unique(self, name: str) -> None:
        titles = [panel["title"] for panel in panels(DASHBOARDS[name])]
        assert len(set(titles)) == len(titles)

    def test_panels_do_not_overlap_nor_leave_the_grid(self, name: str) -> None:
        dashboard = DASHBOARDS[name]
        unfolded = [panel["gridPos"] for panel in dashboard["panels"]]
        folded = [[p["gridPos"] for p in row["panels"]] for row in dashboard["panels"] if row.get("panels")]
        for together in (unfolded, *folded):
            assert all(p["x"] >= 0 and p["w"] > 0 and p["h"] > 0 and p["x"] + p["w"] <= 24 for p in together)
            for one, other in itertools.combinations(together, 2):
                beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
                above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
                assert beside or above, (one, other)

    def test_rows_of_panels_are_as_wide_as_the_page(self, name: str) -> None:
        widths: dict[int, int] = {}
        for panel in panels(DASHBOARDS[name]):
            widths[panel["gridPos"]["y"]] = widths.get(panel["gridPos"]["y"], 0) + panel["gridPos"]["w"]
        # What is folded begins where the next heading does: such rows share their number with it alone.
        assert set(widths.values()) == {24}

    def test_every_variable_that_is_used_exists(self, name: str) -> None:
        text = json.dumps(DASHBOARDS[name])
        used = set(re.findall(r"\$\{?([a-zA-Z_]\w*)", text)) - BUILT_IN
        known = set(variables(DASHBOARDS[name]))
        assert used <= known
        # Grafana applies these two without being told where.
        assert known - used <= {"filters"}

    def test_every_metric_is_one_that_the_gateway_exports(self, name: str) -> None:
        used = {n for e in expressions(DASHBOARDS[name]) for n in re.findall(r"\b[a-z:]*gateway_[\w:]+", e)}
        assert used <= set(EXPORTED)

    def test_metrics_are_chosen_by_labels_that_they_have(self, name: str) -> None:
        for expr in expressions(DASHBOARDS[name]):
            for metric, matchers in re.findall(r"\b(gateway_\w+)\{([^}]*)\}", expr):
                assert set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", matchers)) <= {*EXPORTED[metric].labels, "le"}, expr

    def test_nothing_rests_on_the_labels_of_one_installation(self, name: str) -> None:
        for expr in expressions(DASHBOARDS[name]):
            assert not re.search(r"\b(instance|job|namespace|pod)\b", expr), expr

    def test_counters_are_added_up_over_replicas(self, name: str) -> None:
        for expr in expressions(DASHBOARDS[name]):
            for found in re.finditer(r"\b(rate|increase)\(", expr):
                before = expr[: found.start()].rstrip(" (")
                assert re.search(r"\bsum( by \([\w, ]+\))?$", before), expr

    def test_gauges_are_never_shown_replica_by_replica(self, name: str) -> None:
        for expr in expressions(DASHBOARDS[name]):
            if expr.startswith("label_values"):
                continue
            for found in re.finditer(r"\b(gateway_\w+)", expr):
                if found[1].endswith(("_total", *SUFFIXES)):
                    continue  # counters: the test before this one
                # An aggregation's parenthesis is open around it.
                assert _aggregated(expr[: found.start()]), f"{found[1]} in {expr}"


def _aggregated(before: str) -> bool:
    opened: list[bool] = []
    for found in re.finditer(r"(\b(?:sum|min|max|count|avg)(?: by \([\w, ]+\))? ?)?\(|\)", before):
        if found[0] == ")":
            opened.pop()
        else:
            opened.append(found[1] is not None)
    return any(opened)


@pytest.mark.parametrize(("dashboard", "panel"), list(every_panel()))
class TestPanel:
    def test_says_what_it_shows(self, dashboard: Json, panel: Json) -> None:
        assert re.match(r"[A-Z0-9]", panel["title"])
        assert len(panel["title"]) <= 52, "it is cut off"
        assert panel["description"].endswith(".")
        assert len(panel["description"]) >= 10

    def test_asks_the_chosen_data_source(self, dashboard: Json, panel: Json) -> None:
        assert panel["datasource"] == DATASOURCE
        assert panel["targets"]
        assert all(target["datasource"] == DATASOURCE for target in panel["targets"])

    def test_has_units(self, dashboard: Json, panel: Json) -> None:
        assert panel["fieldConfig"]["defaults"]["unit"]
        if panel["type"] == "table":
            values = [c for c in _columns(panel) if c["field"].startswith("Value")]
            assert all("unit" in c or "mappings" in c for c in values)

    def test_names_its_series(self, dashboard: Json, panel: Json) -> None:
        several = len(panel["targets"]) > 1
        for target in panel["targets"]:
            if panel["type"] in CURVES:
                assert target["legendFormat"]
            if panel["type"] in CURVES and several:
                names = [t["legendFormat"] for t in panel["targets"]]
                assert len(set(names)) == len(names)
            if panel["type"] in COLOURED and re.search(r"^(topk|bottomk|sort)\b", target["expr"]):
                assert target["legendFormat"], "the name is the answer"

    def test_colours_by_thresholds_that_begin_somewhere(self, dashboard: Json, panel: Json) -> None:
        fields = [panel["fieldConfig"]["defaults"]] if panel["type"] in COLOURED else []
        fields += [c for c in _columns(panel) if "thresholds" in c] if panel["type"] == "table" else []
        for field in fields:
            steps = field["thresholds"]["steps"]
            assert steps[0]["value"] is None
            values = [step["value"] for step in steps[1:]]
            assert values == sorted(values)
            assert len({step["color"] for step in steps}) == len(steps)
            assert {step["color"] for step in steps} <= {"text", "orange", "red"}

    def test_counts_over_the_interval_that_grafana_chooses(self, dashboard: Json, panel: Json) -> None:
        for target in panel["targets"]:
            windows = set(re.findall(r"\[([^\]]+)\]", target["expr"]))
            # A number of now is of the time shown; a point of a curve is of its own moment.
            curve = {"$__rate_interval"} | ({"$__range"} if "@ end()" in target["expr"] else set())
            assert windows <= (curve if target["range"] else {"$__range"})

    def test_is_no_toy(self, dashboard: Json, panel: Json) -> None:
        assert panel["type"] in {"stat", "timeseries", "table", "state-timeline", "bargauge"}
        if panel["type"] == "timeseries":
            custom = panel["fieldConfig"]["defaults"]["custom"]
            assert not custom["spanNulls"], "a gap is a gap"
            shares = panel["fieldConfig"]["defaults"]["unit"] == "percentunit"
            assert panel["fieldConfig"]["defaults"].get("min") == 0 or shares, "amounts begin at zero"


TABLES = [one for one in every_panel() if one.values[1]["type"] == "table"]


@pytest.mark.parametrize("panel", [pytest.param(one.values[1], id=one.id) for one in TABLES])
def test_a_table_shows_columns_that_its_queries_have(panel: Json) -> None:
    refs = [target["refId"] for target in panel["targets"]]
    values = {f"Value #{ref}" for ref in refs} if len(refs) > 1 else {"Value"}
    shown = {column["field"] for column in _columns(panel)}
    assert {name for name in shown if name.startswith("Value")} <= values
    # A label must be one by which a query sums up, or it would be empty for ever.
    kept = set(
        re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", " ".join(t["expr"] for t in panel["targets"]))))
    )
    assert {name for name in shown if not name.startswith("Value")} <= kept
    titles = [column["title"] for column in _columns(panel)]
    assert len(set(titles)) == len(titles), "units and colours are set by title"
    assert all(key["displayName"] in titles for key in panel["options"].get("sortBy", ()))


def _columns(panel: Json) -> list[Json]:
    """The table's columns: field, title, and the properties that are set for it."""
    overrides = {
        o["matcher"]["options"]: {p["id"]: p["value"] for p in o["properties"]}
        for o in panel["fieldConfig"]["overrides"]
    }
    renamed = next(t["options"]["renameByName"] for t in panel["transformations"] if t["id"] == "organize")
    return [{"field": field, "title": title, **overrides[title]} for field, title in renamed.items()]
