"""The dashboard is right, and the check that says so finds planted faults."""

import copy
import json
import unittest

import dashboard
import metric_names


class Dashboard(unittest.TestCase):
    def setUp(self) -> None:
        self.known = metric_names.exported()
        self.json = json.loads((metric_names.ROOT / "dashboards/tributary.json").read_text())

    def test_the_dashboard_has_no_problem(self) -> None:
        self.assertEqual([], dashboard.problems(self.json, self.known))

    def test_every_planted_fault_is_found(self) -> None:
        chart = next(n for n, panel in enumerate(self.json["panels"]) if panel["type"] == "timeseries")
        rated = next(name for name in sorted(self.known) if name.endswith("_total"))
        faults = {
            "unclosed": lambda d: set_expression(d, chart, "sum(rate(tributary_received_total[5m])"),
            "expected type matrix": lambda d: set_expression(d, chart, "rate(tributary_received_total)"),
            "tributary_typo_total is shown but not exported": lambda d: set_expression(
                d, chart, 'tributary_typo_total{instance="a"}'
            ),
            "which is no counter": lambda d: set_expression(d, chart, 'rate(tributary_in_flight{instance="a"}[5m])'),
            "ignores the instance variable": lambda d: set_expression(d, chart, rated),
            "is used twice": lambda d: d["panels"][chart].update(id=d["panels"][0]["id"]),
            "lies on": lambda d: d["panels"][chart]["gridPos"].update(y=d["panels"][1]["gridPos"]["y"], x=0),
            "leaves the grid": lambda d: d["panels"][chart]["gridPos"].update(x=20),
            "has no description": lambda d: d["panels"][chart].update(description="rate"),
            "does not use the datasource variable": lambda d: d["panels"][chart].update(datasource={"uid": "prom"}),
            "has no query": lambda d: d["panels"][chart].update(targets=[]),
            "is exported but has no panel": lambda d: d["panels"].pop(),
            "no variable destination": lambda d: d["templating"]["list"].pop(),
            "asks for no exported metric": lambda d: d["templating"]["list"][1]["query"].update(
                query="label_values(up, x)"
            ),
            "every term of the conservation law": lambda d: d["panels"].pop(1),
        }
        for expected, plant in faults.items():
            with self.subTest(expected):
                planted = copy.deepcopy(self.json)
                plant(planted)
                found = dashboard.problems(planted, self.known)
                self.assertTrue(any(expected in problem for problem in found), found)

    def test_a_metric_that_the_program_adds_needs_a_panel(self) -> None:
        found = dashboard.problems(self.json, self.known | {"tributary_new_total"})
        self.assertEqual(["tributary_new_total is exported but has no panel"], found)


def set_expression(board: dict, panel: int, expression: str) -> None:
    board["panels"][panel]["targets"][0]["expr"] = expression
