"""Every alert is well-formed and fires when it should and at no other time; the checks find planted faults."""

import concurrent.futures
import copy
import tempfile
import unittest
from pathlib import Path

import alerts
import metric_names
import yaml

TESTS = sorted((alerts.DASHBOARDS / "tests").glob("*.yml"))


class Rules(unittest.TestCase):
    def setUp(self) -> None:
        self.alerts = alerts.rules("alerts.yml")
        self.recorded = alerts.rules("rules.yml")
        self.known = metric_names.exported() | metric_names.PREPARED

    def test_prometheus_accepts_the_files_and_the_configuration_that_names_them(self) -> None:
        is_content, said = alerts.promtool("check", "config", str(metric_names.ROOT / "infra/prometheus.yml"))
        self.assertTrue(is_content, said)
        self.assertIn(f"SUCCESS: {len(self.alerts)} rules found", said)
        self.assertIn(f"SUCCESS: {len(self.recorded)} rules found", said)

    def test_the_rules_have_no_problem(self) -> None:
        self.assertEqual([], alerts.problems(self.alerts, self.recorded, self.known))

    def test_every_planted_fault_is_found(self) -> None:
        faults = {
            "is there twice": lambda a, _: a.append(a[0]),
            "does not begin with Tributary": lambda a, _: a[0].update(alert="LawBroken"),
            "neither page nor ticket": lambda a, _: a[0].update(labels={"severity": "critical"}),
            "what to do": lambda a, _: a[0]["annotations"].update(description="Look."),
            "does not name its runbook": lambda a, _: a[0]["annotations"].update(runbook_url="docs/runbooks/x.md"),
            "nobody exports or records tributary_typo": lambda a, _: a[0].update(expr="tributary_typo > 0"),
            "nobody asks for job:idle": lambda _, r: r.append({"record": "job:idle", "expr": "up"}),
        }
        for expected, plant in faults.items():
            with self.subTest(expected):
                planted = copy.deepcopy((self.alerts, self.recorded))
                plant(*planted)
                found = alerts.problems(*planted, self.known)
                self.assertTrue(any(expected in problem for problem in found), found)


class Cases(unittest.TestCase):
    def test_the_annotations_name_labels_that_the_alerts_have(self) -> None:
        cases = [case for tests in TESTS for case in yaml.safe_load(tests.read_text())["tests"]]
        for alert in alerts.rules("alerts.yml"):
            with self.subTest(alert["alert"]):
                self.assertEqual(set(), alerts.labels_missing(alert, cases))
                alert["annotations"]["summary"] += " {{ $labels.nowhere }}"
                self.assertEqual({"nowhere"}, alerts.labels_missing(alert, cases))

    def test_every_alert_fires_when_it_should_and_at_no_other_time(self) -> None:
        for tests in TESTS:
            with self.subTest(tests.name):
                is_content, said = alerts.promtool("test", "rules", str(tests))
                self.assertTrue(is_content, said)

    def test_the_cases_about_an_alert_are_content_with_it_by_themselves(self) -> None:
        recorded, text = alerts.rules("rules.yml"), (alerts.DASHBOARDS / "alerts.yml").read_text()
        cases = alerts.cases_about(alerts.rules("alerts.yml")[0], recorded, TESTS[-1])
        self.assertGreater(len(cases["tests"]), 3)
        self.assertFalse(seen(text, cases), "or it would be no wonder that every fault is seen")

    def test_the_cases_see_every_comparison_that_is_moved_and_every_wait_that_is_left_out(self) -> None:
        plants = planted()
        self.assertGreater(len(plants), 70, "so many ways to spoil so many alerts")
        with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
            are_seen = pool.map(lambda plant: seen(*plant[1:]), plants)
            unseen = [what for (what, *_), is_seen in zip(plants, are_seen, strict=True) if not is_seen]
        self.assertEqual([], unseen)


def planted() -> list[tuple[str, str, dict]]:
    """What is spoilt, the text of all alerts with that, and the cases that should see it."""
    found = []
    recorded = alerts.rules("rules.yml")
    written = yaml.safe_load((alerts.DASHBOARDS / "alerts.yml").read_text())
    for group in written["groups"]:
        tests = alerts.DASHBOARDS / f"tests/{group['name'].removeprefix('tributary-')}.yml"
        for rule in group["rules"]:
            whole, cases = dict(rule), alerts.cases_about(rule, recorded, tests)
            for expression in alerts.spoilt(whole["expr"]):
                rule["expr"] = expression
                found.append((f"{rule['alert']}: {expression}", yaml.safe_dump(written), cases))
            rule["expr"] = whole["expr"]
            if "for" in rule:
                del rule["for"]
                found.append((f"{rule['alert']}: at once", yaml.safe_dump(written), cases))
                rule["for"] = whole["for"]
    return found


def seen(text: str, cases: dict) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        return not alerts.satisfied(cases, text, Path(folder))
