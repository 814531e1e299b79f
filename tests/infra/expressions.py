"""What can be told of a PromQL expression by reading it. In: its text, Grafana's variables included."""

import re

import metric_names
import promql_parser as promql

COUNTED = ("_total", *metric_names.HISTOGRAM_PARTS)


def selectors(written: str) -> list[tuple[str, set[str]]]:
    """Every metric that is selected, with the labels that it is selected by. Nothing where the text is no PromQL."""
    found: list[tuple[str, set[str]]] = []

    def visit(node: object) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append((node.name or "", {matcher.name for matcher in node.matchers.matchers}))

    try:
        promql.walk(promql.parse(plain(written)), visit)
    except ValueError:
        return []
    return found


def metrics(written: str) -> set[str]:
    """The names of all metrics that are selected."""
    return {name for name, _ in selectors(written)}


def problems(written: str) -> list[str]:
    """What is wrong: no PromQL, a selector without a name, a rate of something that does not count."""
    try:
        tree = promql.parse(plain(written))
    except ValueError as error:
        return [f"{error}: {written}"]
    found = [f"a selector without a metric name: {written}" for name in metrics(written) if not name]

    def visit(node: object) -> None:
        if isinstance(node, promql.Call) and node.func.name in ("rate", "increase"):
            name = getattr(node.args[0], "vector_selector", None)
            if name is not None and not (name.name or "").endswith(COUNTED):
                found.append(f"{node.func.name} of {name.name}, which is no counter")

    promql.walk(tree, visit)
    return found


def plain(written: str, *, window: str = "5m") -> str:
    """Without what only Grafana knows: every variable stands for everything."""
    written = re.sub(r"\$__(rate_interval|range|interval)\b", window, written)
    return re.sub(r"\$(job|instance|destination)\b", ".*", written)
