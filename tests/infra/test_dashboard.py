"""The dashboards are right, and the checks that say so find planted faults."""

import copy
import json
import sys
import unittest

import dashboard
import grafana
import metric_names

DASHBOARDS = metric_names.ROOT / "dashboards"
sys.path.insert(0, str(DASHBOARDS))

import make  # noqa: E402, the path comes first


class Dashboards(unittest.TestCase):
    def setUp(self) -> None:
        self.known = metric_names.exported()
        self.boards = {file.name: json.loads(file.read_text()) for file in sorted(DASHBOARDS.glob("*.json"))}

    def test_the_files_are_those_that_their_sources_make(self) -> None:
        made = make.made()
        self.assertEqual(made.keys(), self.boards.keys())
        for name, text in made.items():
            same = (DASHBOARDS / name).read_text() == text
            self.assertTrue(same, f"{name} is not what panels/ says: run python3 dashboards/make.py")

    def test_the_dashboards_have_no_problem(self) -> None:
        self.assertEqual([], dashboard.problems(self.boards, self.known, metric_names.PREPARED))

    def test_a_metric_that_the_program_adds_needs_a_panel(self) -> None:
        found = dashboard.problems(self.boards, self.known | {"tributary_new_total"}, metric_names.PREPARED)
        self.assertEqual(["tributary_new_total is exported but has no panel"], found)

    def test_a_metric_that_was_prepared_for_is_said_to_be_there_when_it_is(self) -> None:
        came = min(self.known)
        found = dashboard.problems(self.boards, self.known, metric_names.PREPARED | {came})
        self.assertEqual([f"{came} is exported now: take it out of PREPARED"], found)

    def test_grafana_knows_everything_that_they_say(self) -> None:
        self.assertEqual("", grafana.complaints(self.boards))

    def test_what_grafana_does_not_know_is_found(self) -> None:
        overview = copy.deepcopy(self.boards[dashboard.OVERVIEW])
        stat = first(overview, "stat")
        stat["options"]["colour"] = "red"
        stat["fieldConfig"]["defaults"]["thresholds"]["mode"] = "relative"
        first(overview, "timeseries")["fieldConfig"]["defaults"]["custom"]["showPoints"] = "sometimes"
        found = grafana.complaints({dashboard.OVERVIEW: overview})
        for planted in ("colour", '"relative"', '"sometimes"'):
            self.assertIn(planted, found)

    def test_every_planted_fault_is_found(self) -> None:
        rated = min(name for name in self.known if name.endswith("_total"))
        faults = {
            "unclosed": lambda b: ask(b, "sum(rate(tributary_received_total[5m])"),
            "expected type matrix": lambda b: ask(b, "rate(tributary_received_total)"),
            "tributary_typo_total is shown but not exported": lambda b: ask(b, 'tributary_typo_total{instance="a"}'),
            "which is no counter": lambda b: ask(b, 'rate(tributary_in_flight{instance="a"}[5m])'),
            "ignores the instance variable": lambda b: ask(b, rated),
            "ignores the job variable": lambda b: ask(b, rated),
            "is used twice": lambda b: time(b).update(id=b["panels"][0]["id"]),
            "lies on": lambda b: time(b)["gridPos"].update(y=b["panels"][1]["gridPos"]["y"], x=0),
            "leaves the grid": lambda b: time(b)["gridPos"].update(x=20),
            "has no description": lambda b: time(b).update(description="rate"),
            "there is no docs/runbooks/nowhere.md": lambda b: time(b).update(
                description="Look there, and all will become clear in the end. Runbook: docs/runbooks/nowhere.md."
            ),
            "does not use the datasource variable": lambda b: time(b).update(datasource={"uid": "prom"}),
            "has no query": lambda b: time(b).update(targets=[]),
            "is exported but has no panel": lambda b: b["panels"].pop(),
            "no variable destination": lambda b: b["templating"]["list"].pop(),
            "nobody uses the variable": lambda b: b["templating"]["list"].append({"name": "x", "type": "custom"}),
            "asks for no exported metric": lambda b: b["templating"]["list"][1]["query"].update(
                query="label_values(up, x)"
            ),
            "every term of the conservation law": lambda b: b["panels"].pop(1),
            "two dashboards have one uid": lambda b: b.update(uid="tributary-queue"),
        }
        for expected, plant in faults.items():
            with self.subTest(expected):
                planted = copy.deepcopy(self.boards)
                plant(planted[dashboard.OVERVIEW])
                found = dashboard.problems(planted, self.known, metric_names.PREPARED)
                self.assertTrue(any(expected in problem for problem in found), found)


def first(board: dict, kind: str) -> dict:
    return next(panel for panel in board["panels"] if panel["type"] == kind)


def time(board: dict) -> dict:
    return first(board, "timeseries")


def ask(board: dict, expression: str) -> None:
    time(board)["targets"][0]["expr"] = expression
