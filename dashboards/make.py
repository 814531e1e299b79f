#!/usr/bin/env python3
"""Makes the Grafana dashboards. In: panels/NAME.toml, which people write. Out: NAME.json beside this file.

    python3 dashboards/make.py

A panel says its title, its kind, its size on a grid of 24 columns, what it means and what it asks. Everything else is
the same for all panels of a kind and is written here once. Panels stand side by side in the order of the file; one that
does not fit beside the last begins a new line. In an expression

    {worker}   stands for the workers that are chosen above the dashboard
    {lane}     for those workers' deliveries to the destinations that are chosen
    [rate]     for a window that fits the width of the panel, [range] for all the time shown
"""

import json
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
COLUMNS = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
STANDS_FOR = {
    "{worker": '{job=~"$job", instance=~"$instance"',
    "{lane": '{job=~"$job", instance=~"$instance", destination=~"$destination"',
    "[rate]": "[$__rate_interval]",
    "[range]": "[$__range]",
}


def made() -> dict[str, str]:
    """The text of every dashboard, by the name of its file."""
    sources = sorted(HERE.glob("panels/*.toml"))
    return {f"{source.stem}.json": text(dashboard(tomllib.loads(source.read_text()))) for source in sources}


def text(board: dict) -> str:
    return json.dumps(board, indent=1, ensure_ascii=False) + "\n"


def dashboard(written: dict) -> dict:
    return {
        "uid": written["uid"],
        "title": written["title"],
        "description": prose(written["about"]),
        "tags": ["tributary", "audit"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "annotations": {"list": []},
        "links": [to_the_others()],
        "templating": {"list": variables(has_destinations="{lane" in json.dumps(written))},
        "panels": placed(written["row"]),
    }


def to_the_others() -> dict:
    """Links to every dashboard with our tag, for the same time and the same workers."""
    return {
        "type": "dashboards",
        "title": "Tributary",
        "tags": ["tributary"],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }


def variables(*, has_destinations: bool) -> list[dict]:
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1}
    source |= {"hide": 0, "multi": False, "includeAll": False, "options": [], "regex": ""}
    ours = '{job=~"$job"}'
    found = [
        source,
        variable("job", "Deployment", "label_values(tributary_build_info, job)"),
        variable("instance", "Worker", f"label_values(tributary_build_info{ours}, instance)"),
    ]
    if has_destinations:
        asked = f"label_values(tributary_received_total{ours}, destination)"
        found.append(variable("destination", "Destination", asked))
    return found


def variable(name: str, label: str, query: str) -> dict:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
        "hide": 0,
        "options": [],
        "regex": "",
    }


def placed(rows: list[dict]) -> list[dict]:
    """All panels, rows included, each with its place and a number."""
    panels: list[dict] = []
    top = 0
    for row in rows:
        panels.append(heading(row["title"]) | {"gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": top}})
        top += 1
        left = height = 0
        for written in row["panel"]:
            wide, high = written["size"]
            if left + wide > COLUMNS:
                top, left, height = top + height, 0, 0
            panels.append(panel(written) | {"gridPos": {"h": high, "w": wide, "x": left, "y": top}})
            left, height = left + wide, max(height, high)
        top += height
    return [{"id": number} | one for number, one in enumerate(panels, start=1)]


def heading(title: str) -> dict:
    return {"type": "row", "title": title, "collapsed": False, "panels": []}


def panel(written: dict) -> dict:
    about = prose(written["about"])
    if "runbook" in written:
        about += f" Runbook: docs/runbooks/{written['runbook']}.md."
    shape = KINDS[written["kind"]](written)
    is_now = written["kind"] != "time"
    asked = [target(number, legend, asks, is_now) for number, (legend, asks) in enumerate(written["ask"].items())]
    return {"type": shape.pop("type"), "title": written["title"], "description": about, "datasource": SOURCE} | {
        "fieldConfig": {"defaults": shape.pop("defaults"), "overrides": shape.pop("overrides", [])},
        "options": shape,
        "targets": asked,
    }


def target(number: int, legend: str, asks: str, is_now: bool) -> dict:
    for short, long in STANDS_FOR.items():
        asks = asks.replace(short, long)
    found = {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": prose(asks), "legendFormat": legend}
    return found | ({"instant": True, "range": False} if is_now else {})


def stat(written: dict) -> dict:
    """One number for each question, as it is now."""
    has_many = len(written["ask"]) > 1
    return {
        "type": "stat",
        "defaults": now(written),
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "vertical" if has_many else "auto",
        "colorMode": "value" if has_many else "background",
        "graphMode": "none",
        "justifyMode": "center",
        "textMode": "value_and_name" if has_many else "value",
    }


def bars(written: dict) -> dict:
    """One bar for each series, as it is now."""
    return {
        "type": "bargauge",
        "defaults": now(written) | {"min": 0},
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "horizontal",
        "displayMode": "basic",
        "valueMode": "color",
        "showUnfilled": True,
        "minVizWidth": 0,
        "minVizHeight": 10,
        "sizing": "auto",
        "namePlacement": "auto",
    }


def now(written: dict) -> dict:
    return {
        # Every digit: that a sum is right cannot be seen from thousands.
        "unit": written.get("unit", "locale"),
        "color": {"mode": "thresholds"},
        "thresholds": levels(written.get("levels", [["text"]])),
        "decimals": written.get("decimals", 0),
        "noValue": written.get("silence", "no data"),
    }


def time(written: dict) -> dict:
    """Lines over time."""
    is_stacked = written.get("stacked", False)
    custom = {"lineWidth": 1, "fillOpacity": 25 if is_stacked else 8, "showPoints": "never", "spanNulls": False}
    if is_stacked:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    if written.get("stairs", False):
        custom["lineInterpolation"] = "stepAfter"
    defaults = {"unit": written.get("unit", "short"), "custom": custom, "color": {"mode": "palette-classic"}, "min": 0}
    if "limit" in written:
        custom["thresholdsStyle"] = {"mode": "dashed"}
        defaults["thresholds"] = levels([["transparent"], ["red", written["limit"]]])
    return {
        "type": "timeseries",
        "defaults": defaults,
        "overrides": [outline(written["outline"])] if "outline" in written else [],
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def outline(series: str) -> dict:
    """Draws one series as a line over the stack of the others."""
    properties = {"custom.stacking": {"mode": "none"}, "custom.fillOpacity": 0, "custom.lineWidth": 2}
    written = [{"id": name, "value": value} for name, value in properties.items()]
    return {"matcher": {"id": "byName", "options": series}, "properties": written}


def levels(written: list[list]) -> dict:
    steps = [{"color": color, "value": value[0] if value else None} for color, *value in written]
    return {"mode": "absolute", "steps": steps}


def prose(written: str) -> str:
    """On one line: the files are written for people, in lines of a bearable length."""
    return " ".join(written.split())


KINDS = {"stat": stat, "bars": bars, "time": time}


if __name__ == "__main__":
    for name, board in made().items():
        (HERE / name).write_text(board)
