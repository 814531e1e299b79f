"""What a Grafana dashboard of this project must be. In: its JSON and the known metrics. Out: what is wrong."""

import re

import expressions
import metric_names

COLUMNS = 24
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
OVERVIEW = "tributary.json"
# Metrics that need no panel, each with the reason.
EXEMPT: dict[str, str] = {}
# What panels ask for that is not the program's: Prometheus writes it.
NOT_OURS = {"ALERTS"}


def problems(boards: dict[str, dict], exported: set[str], prepared: set[str]) -> list[str]:
    """Every problem of all dashboards together; an empty list is a good set."""
    known = exported | prepared
    found = [f"{name}: {problem}" for name, board in boards.items() for problem in board_problems(board, known)]
    shown = {name for board in boards.values() for panel in charts(board) for name in asked_by(panel, known)}
    found += [f"{name} is shown but not exported" for name in sorted(shown - known - NOT_OURS)]
    found += [f"{name} is exported but has no panel" for name in sorted(known - shown - EXEMPT.keys())]
    found += [f"{name} is exempt but not exported" for name in sorted(EXEMPT.keys() - known)]
    found += [f"{name} is exported now: take it out of PREPARED" for name in sorted(exported & prepared)]
    first = charts(boards[OVERVIEW])[0]["targets"][0]["expr"]
    if not CONSERVATION <= set(re.findall(r"tributary_\w+", first)):
        found.append("the first panel of the overview does not hold every term of the conservation law")
    uids = [board["uid"] for board in boards.values()]
    if len(set(uids)) != len(uids):
        found.append("two dashboards have one uid")
    return found


def charts(board: dict) -> list[dict]:
    """The panels that ask something."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def asked_by(panel: dict, known: set[str]) -> set[str]:
    """The metrics that a panel shows."""
    asked = [expressions.metrics(target["expr"]) for target in panel.get("targets", [])]
    return {metric_names.family(name, known) for names in asked for name in names}


def board_problems(board: dict, known: set[str]) -> list[str]:
    """What is wrong with one dashboard by itself."""
    found = layout_problems(board["panels"])
    for chart in charts(board):
        found += chart_problems(chart)
        wrong = [problem for target in chart.get("targets", []) for problem in expressions.problems(target["expr"])]
        found += [f"{chart['title']}: {problem}" for problem in wrong]
        found += [f"{chart['title']}: {problem}" for problem in variables_left_out(chart)]
    return found + variable_problems(board, known)


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
    for book in re.findall(r"docs/runbooks/\S+\.md", chart.get("description", "")):
        if not (metric_names.ROOT / book).is_file():
            found.append(f"{title}: there is no {book}")
    if chart.get("datasource", {}).get("uid") != "${datasource}":
        found.append(f"{title}: does not use the datasource variable")
    references = [target["refId"] for target in chart.get("targets", [])]
    if not references:
        found.append(f"{title}: has no query")
    if len(set(references)) != len(references):
        found.append(f"{title}: a refId is used twice")
    return found


def variables_left_out(chart: dict) -> list[str]:
    """Whoever chooses a deployment or a worker above the dashboard chooses for every panel."""
    found = []
    for target in chart.get("targets", []):
        for name, labels in expressions.selectors(target["expr"]):
            wanted = {"job"} if name in NOT_OURS else {"job", "instance"}
            found += [f"{name} ignores the {label} variable" for label in sorted(wanted - labels)]
    return found


def variable_problems(board: dict, known: set[str]) -> list[str]:
    """The variables are there, and those that ask Prometheus ask for a metric that exists."""
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    asks = " ".join(target["expr"] for chart in charts(board) for target in chart.get("targets", []))
    wanted = {"datasource", *re.findall(r"\$(job|instance|destination)\b", asks)}
    found = [f"no variable {name}" for name in sorted(wanted - variables.keys())]
    found += [f"nobody uses the variable {name}" for name in sorted(variables.keys() - wanted)]
    for name, variable in variables.items():
        if variable["type"] != "query":
            continue
        asked = re.match(r"label_values\((\w+)", variable["query"]["query"])
        if not asked or asked.group(1) not in known:
            found.append(f"variable {name}: asks for no exported metric")
    return found
