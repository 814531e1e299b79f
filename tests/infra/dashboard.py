"""What a Grafana dashboard of this project must be. In: its JSON and the known metrics. Out: what is wrong."""

import re

import promql_parser as promql

COLUMNS = 24
# What Prometheus adds to the name of a histogram.
HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")
# Terms of received = published + duplicate + filtered + dead_lettered + returned + in_flight.
CONSERVATION = {
    "tributary_received_total",
    "tributary_published_total",
    "tributary_duplicate_total",
    "tributary_filtered_total",
    "tributary_dead_lettered_total",
    "tributary_returned_total",
    "tributary_in_flight",
}
# Metrics that need no panel, each with the reason.
EXEMPT: dict[str, str] = {}


def problems(dashboard: dict, known: set[str]) -> list[str]:
    """Every problem at once; an empty list is a good dashboard."""
    panels = dashboard["panels"]
    charts = [panel for panel in panels if panel["type"] != "row"]
    found = layout_problems(panels)
    shown: set[str] = set()
    for chart in charts:
        found += chart_problems(chart)
        for target in chart.get("targets", []):
            names, wrong = expression_problems(target["expr"])
            shown |= {family(name, known) for name in names}
            found += [f"{chart['title']}: {problem}" for problem in wrong]
    found += variable_problems(dashboard, known)
    found += [f"{name} is shown but not exported" for name in sorted(shown - known)]
    found += [f"{name} is exported but has no panel" for name in sorted(known - shown - EXEMPT.keys())]
    found += [f"{name} is exempt but not exported" for name in sorted(EXEMPT.keys() - known)]
    first = charts[0]["targets"][0]["expr"] if charts else ""
    if not CONSERVATION <= set(re.findall(r"tributary_\w+", first)):
        found.append("the first panel does not hold every term of the conservation law")
    return found


def layout_problems(panels: list[dict]) -> list[str]:
    """Ids that repeat, panels that leave the grid or lie on each other."""
    found = []
    ids = [panel["id"] for panel in panels]
    found += [f"panel id {one} is used twice" for one in sorted({one for one in ids if ids.count(one) > 1})]
    taken: dict[tuple[int, int], str] = {}
    for panel in panels:
        at = panel["gridPos"]
        if at["x"] < 0 or at["y"] < 0 or at["x"] + at["w"] > COLUMNS:
            found.append(f"{panel['title']}: leaves the grid")
        cells = [(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
        hit = {taken[cell] for cell in cells if cell in taken}
        found += [f"{panel['title']}: lies on {other}" for other in sorted(hit)]
        taken |= dict.fromkeys(cells, panel["title"])
    return found


def chart_problems(chart: dict) -> list[str]:
    """A chart explains itself, names its data source by the variable, and asks something."""
    title, found = chart["title"], []
    if len(chart.get("description", "")) < 60:
        found.append(f"{title}: has no description that says what to do")
    if chart.get("datasource", {}).get("uid") != "${datasource}":
        found.append(f"{title}: does not use the datasource variable")
    references = [target["refId"] for target in chart.get("targets", [])]
    if not references:
        found.append(f"{title}: has no query")
    if len(set(references)) != len(references):
        found.append(f"{title}: a refId is used twice")
    return found


def expression_problems(written: str) -> tuple[set[str], list[str]]:
    """The metric names in one PromQL expression, and what is wrong with it."""
    expression = re.sub(r"\$__(rate_interval|range|interval)\b", "5m", written)
    try:
        tree = promql.parse(expression)
    except ValueError as error:
        return set(), [f"{error}: {written}"]
    names, found = set(), []

    def visit(node: object) -> None:
        if isinstance(node, promql.VectorSelector):
            if not node.name:
                found.append(f"a selector without a metric name: {written}")
                return
            names.add(node.name)
            if "instance" not in {matcher.name for matcher in node.matchers.matchers}:
                found.append(f"{node.name} ignores the instance variable")
        if isinstance(node, promql.Call) and node.func.name in ("rate", "increase"):
            name = node.args[0].vector_selector.name or ""
            if not name.endswith(("_total", *HISTOGRAM_PARTS)):
                found.append(f"{node.func.name} of {name}, which is no counter")
            visit(node.args[0].vector_selector)

    promql.walk(tree, visit)
    return names, found


def variable_problems(dashboard: dict, known: set[str]) -> list[str]:
    """The three variables are there, and those that ask Prometheus ask for a metric that exists."""
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    found = [f"no variable {name}" for name in ("datasource", "instance", "destination") if name not in variables]
    for name, variable in variables.items():
        if variable["type"] != "query":
            continue
        asked = re.match(r"label_values\((\w+),", variable["query"]["query"])
        if not asked or asked.group(1) not in known:
            found.append(f"variable {name}: asks for no exported metric")
    return found


def family(name: str, known: set[str]) -> str:
    """The name under which the program exports it: a histogram's parts belong to the histogram."""
    for part in HISTOGRAM_PARTS:
        if name.endswith(part) and name.removesuffix(part) in known:
            return name.removesuffix(part)
    return name
