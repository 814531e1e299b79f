"""Every alert has a runbook that says nothing wrong; the check finds planted faults."""

import json
import os
import re
import subprocess
import unittest

import alerts
import runbooks


class Runbooks(unittest.TestCase):
    def setUp(self) -> None:
        self.rules = alerts.rules("alerts.yml")
        self.pages = {file.name: file.read_text() for file in sorted(alerts.RUNBOOKS.glob("*.md"))}
        self.boards = {file.name: json.loads(file.read_text()) for file in alerts.DASHBOARDS.glob("*.json")}
        asked = subprocess.run([os.environ["TRIBUTARY"], "--help"], capture_output=True, text=True, check=True)
        self.commands = set(re.findall(r"^  ([a-z]+)  ", asked.stdout, flags=re.MULTILINE))

    def found(self, pages: dict[str, str]) -> list[str]:
        return runbooks.problems(pages, self.rules, self.boards, self.commands)

    def test_the_runbooks_have_no_problem(self) -> None:
        self.assertEqual([], self.found(self.pages))

    def test_every_planted_fault_is_found(self) -> None:
        faults = {
            "no page for TributaryLanePaused": lambda p: p.pop("lane-paused.md"),
            "nothing.md: no alert leads here": lambda p: p.update({"nothing.md": "# Nothing\n"}),
            "the title is not": swapped("throttled.md", "# Tributary", "# "),
            "does not begin with its severity": swapped("throttled.md", "**Ticket.**", "**Pages.**"),
            "the headings are not": swapped("throttled.md", "## Look here", "## Look there"),
            "the index does not list throttled.md": swapped("README.md", "[TributaryThrottled]", "[Throttled]"),
            "no cure for publish_log": swapped("not-ready.md", "| `publish_log` |", "| `log` |"),
            "names no panel": swapped("worker-down.md", "- *Tributary* →", "- Tributary:"),
            "no panel Calls a minute": swapped("throttled.md", "**Calls a second**", "**Calls a minute**"),
            "no dashboard Publishing": swapped("throttled.md", "*Publishing and quota*", "*Publishing*"),
            "no command tracing": swapped("id-conflicts.md", "`tributary trace ", "`tributary tracing "),
            "no metric tributary_typo": lambda p: p.update({"throttled.md": p["throttled.md"] + "`tributary_typo`\n"}),
            "nobody logs claims were lost": swapped("commits-lost.md", "`claims were taken over", "`claims were lost"),
            "leads nowhere: nowhere.md": swapped("throttled.md", "(queue-lag-high.md)", "(nowhere.md)"),
            "leads nowhere: ../dead-letters.md": swapped("dead-letters.md", "#reasons", "#motives"),
        }
        for expected, plant in faults.items():
            with self.subTest(expected):
                planted = dict(self.pages)
                plant(planted)
                self.assertNotEqual(planted, self.pages)
                found = self.found(planted)
                self.assertTrue(any(expected in problem for problem in found), found)


def swapped(page: str, old: str, new: str):
    return lambda pages: pages.update({page: pages[page].replace(old, new)})
