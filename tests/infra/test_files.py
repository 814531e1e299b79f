"""The Dockerfile, its health check, the shell scripts and the scrape configuration pass their linters and our own rules."""

import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import tomllib
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

import processes
import template

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

    def test_the_image_holds_what_was_built_and_nothing_else(self) -> None:
        *_, last = re.split(r"^FROM ", self.text, flags=re.MULTILINE)
        self.assertTrue(last.startswith("scratch\n"), last)
        self.assertEqual(["COPY --from=build /image /"], re.findall(r"^(?:COPY|ADD|RUN) .*$", last, re.MULTILINE))

    def test_whoever_asks_for_health_asks_the_program_of_the_image(self) -> None:
        (asked,) = re.findall(r"^HEALTHCHECK .* CMD (.+)$", self.text, re.MULTILINE)
        templates = template.load()["service"]["Resources"]["TaskDefinition"]["Properties"]
        worker = templates["ContainerDefinitions"][0]
        self.assertEqual(["CMD", *json.loads(asked)], worker["HealthCheck"]["Command"])

    def test_the_libraries_that_are_copied_are_all_that_the_binary_needs(self) -> None:
        text = self.text.replace("\\\n", " ")
        (copies,) = re.findall(r"^RUN (ldd .+?) && install .+$", text, re.MULTILINE)
        with tempfile.TemporaryDirectory() as image:
            binary = Path(image, "usr/local/bin/tributary")
            binary.parent.mkdir(parents=True)
            binary.symlink_to(Path(processes.TRIBUTARY).resolve())
            script = copies.replace("/image", image)
            subprocess.run(["bash", "-euo", "pipefail", "-c", script], check=True)
            (loader,) = Path(image).rglob("ld-linux*.so.*")
            (libraries,) = {str(file.parent) for file in Path(image).rglob("lib*.so.*")}
            command = [str(loader), "--inhibit-cache", "--library-path", libraries, str(binary), "--version"]
            ran = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
            self.assertRegex(ran.stdout, r"^tributary \d", ran.stderr)
            shown = subprocess.run([*command[:-2], "--list", str(binary)], env={}, capture_output=True, text=True, check=True)
            found = re.findall(r"=> (/\S+)", shown.stdout)
        self.assertTrue(found and all(one.startswith(image) for one in found), shown.stdout)

    def test_the_service_runs_without_root_and_drains_on_sigterm(self) -> None:
        user, group = re.findall(r"^USER (\d+):(\d+)$", self.text, re.MULTILINE)[-1]
        self.assertNotIn("0", (user, group))
        self.assertIn("\nSTOPSIGNAL SIGTERM\n", self.text)

    def test_neither_history_nor_build_results_enter_the_image(self) -> None:
        ignored = (ROOT / ".dockerignore").read_text().split("\n")
        self.assertLessEqual({".git", "target"}, set(ignored))


class Health(unittest.TestCase):
    """The program that the image is asked with, compiled as the Dockerfile compiles it."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.program = Path(cls.folder.name, "health")
        text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
        arguments = re.search(r"^RUN (rustc .+) -o \S+/health$", text, re.MULTILINE).group(1).split()
        subprocess.run([*arguments, "-D", "warnings", "-o", str(cls.program)], cwd=ROOT, check=True)

    def status(self, listen: str) -> int:
        environment = {"TRIBUTARY_SERVICE_LISTEN": listen}
        return subprocess.run([self.program], env=environment, check=False, timeout=10).returncode

    def test_only_an_answer_of_200_is_alive(self) -> None:
        for answer, status in [
            (b"HTTP/1.0 200 OK\r\n\r\nalive\n", 0),
            (b"HTTP/1.1 200 OK\r\n\r\n", 0),
            (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 1),
            (b"SSH-2.0-OpenSSH_9.2 200", 1),
            (b"HTTP", 1),
        ]:
            with self.subTest(answer), answering(answer) as port:
                self.assertEqual(status, self.status(f"0.0.0.0:{port}"))

    def test_nobody_silence_and_nonsense_are_not(self) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            port = silent.getsockname()[1]
            self.assertEqual(1, self.status(f"127.0.0.1:{port}"))
            silent.listen()
            self.assertEqual(1, self.status(f"127.0.0.1:{port}"))
        self.assertEqual(1, self.status("somewhere"))


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that answers so to one request; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(1024)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


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
