"""The Dockerfile, the shell scripts and the scrape configuration pass their linters and our own rules."""

import re
import subprocess
import sys
import tomllib
import unittest
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [".ci/run", "infra/compose/traffic.sh"]


class Image(unittest.TestCase):
    def setUp(self) -> None:
        self.text = (ROOT / "Dockerfile").read_text()

    def test_hadolint_has_nothing_to_say(self) -> None:
        self.assertEqual((0, ""), lint("hadolint", "-", given=self.text))

    def test_hadolint_runs_and_finds_a_planted_fault(self) -> None:
        status, report = lint("hadolint", "-", given=self.text + "RUN apt-get install curl\n")
        self.assertNotEqual(0, status)
        self.assertIn("DL3008", report)

    def test_the_compiler_of_the_image_can_build_the_package(self) -> None:
        needed = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["rust-version"]
        used = re.search(r"^ARG RUST_VERSION=([0-9.]+)$", self.text, re.MULTILINE).group(1)
        self.assertGreaterEqual(version(used), version(needed))

    def test_the_image_is_built_and_run_on_the_same_debian(self) -> None:
        releases = re.findall(r"^FROM \S*?-?(bookworm|trixie|bullseye)", self.text.replace(":", "-"), re.MULTILINE)
        self.assertEqual(2, len(releases))
        self.assertEqual(1, len(set(releases)))

    def test_the_service_runs_without_root_and_drains_on_sigterm(self) -> None:
        user, group = re.findall(r"^USER (\d+):(\d+)$", self.text, re.MULTILINE)[-1]
        self.assertNotIn("0", (user, group))
        self.assertIn("\nSTOPSIGNAL SIGTERM\n", self.text)

    def test_neither_history_nor_build_results_enter_the_image(self) -> None:
        ignored = (ROOT / ".dockerignore").read_text().split("\n")
        self.assertLessEqual({".git", "target"}, set(ignored))


class Scripts(unittest.TestCase):
    def test_shellcheck_has_nothing_to_say(self) -> None:
        for script in SCRIPTS:
            with self.subTest(script):
                self.assertEqual((0, ""), lint("shellcheck", "-", given=(ROOT / script).read_text()))

    def test_shellcheck_runs_and_finds_a_planted_fault(self) -> None:
        status, report = lint("shellcheck", "-", given="#!/usr/bin/env bash\nrm $1\n")
        self.assertNotEqual(0, status)
        self.assertIn("SC2086", report)

    def test_scripts_can_be_executed_and_stop_at_the_first_error(self) -> None:
        for script in SCRIPTS:
            with self.subTest(script):
                self.assertTrue((ROOT / script).stat().st_mode & 0o111)
                self.assertIn("\nset -euo pipefail\n", (ROOT / script).read_text())


class Scraping(unittest.TestCase):
    def test_prometheus_asks_the_port_that_the_image_exposes(self) -> None:
        (job,) = yaml.safe_load((ROOT / "infra/prometheus.yml").read_text())["scrape_configs"]
        (target,) = job["static_configs"][0]["targets"]
        (exposed,) = re.findall(r"^EXPOSE (\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
        self.assertEqual(exposed, target.rpartition(":")[2])
        self.assertEqual("/metrics", job["metrics_path"])


def lint(tool: str, *arguments: str, given: str) -> tuple[int, str]:
    """Exit status and report of a tool of this virtual environment."""
    command = [str(Path(sys.executable).with_name(tool)), *arguments]
    ran = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
