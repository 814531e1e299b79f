"""The try-it stack is one, and its parts fit together: what runs in its containers is run here without them.

No image can be pulled where these tests run. So Compose's own schema judges the file, and the commands and variables of
our own containers go to the real binary.
"""

import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import yaml

import processes

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "infra/compose"
# What stands in for wget, which not every machine has: it takes the arguments that the script gives.
WGET = '''#!{python}
import sys, urllib.request
quiet, out, null, header, kind, header2, target, post, data, url = sys.argv[1:]
assert (quiet, out, header, header2, post) == ("-q", "-O", "--header", "--header", "--post-data"), sys.argv
headers = dict(one.split(": ") for one in (kind, target))
urllib.request.urlopen(urllib.request.Request(url, data.encode(), headers)).read()
'''


class Stack(unittest.TestCase):
    def setUp(self) -> None:
        self.stack = yaml.safe_load((FOLDER / "compose.yaml").read_text())
        self.services = self.stack["services"]

    def test_compose_takes_the_file(self) -> None:
        self.assertEqual((0, ""), check(FOLDER / "compose.yaml"))

    def test_the_schema_finds_a_planted_fault(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            planted = Path(folder, "compose.yaml")
            planted.write_text((FOLDER / "compose.yaml").read_text().replace("read_only: true", "readonly: true"))
            self.assertNotEqual(0, check(planted)[0])

    def test_every_image_is_ours_or_pinned_and_no_port_is_open_to_others(self) -> None:
        for name, service in self.services.items():
            with self.subTest(name):
                self.assertRegex(service["image"], r"^(tributary:local|\S+:v?\d+\.\d+\S*)$")
                for port in service.get("ports", []):
                    self.assertRegex(port, r"^127\.0\.0\.1:")

    def test_our_containers_are_locked_and_have_time_to_drain(self) -> None:
        for name in ("endpoints", "tributary"):
            service = self.services[name]
            self.assertEqual((True, ["ALL"]), (service["read_only"], service["cap_drop"]), name)
        self.assertGreater(int(self.services["tributary"]["stop_grace_period"].removesuffix("s")), 25)

    def test_each_file_that_is_mounted_exists_and_each_name_that_is_called_is_a_service(self) -> None:
        for name, service in self.services.items():
            for volume in service.get("volumes", []):
                source, _, mode = volume.split(":")
                self.assertTrue((FOLDER / source).exists(), f"{name}: {source}")
                self.assertEqual("ro", mode)
        text = "".join(file.read_text() for file in FOLDER.rglob("*") if file.is_file())
        called = set(re.findall(r"(?:http|redis)://([a-z]+):", text))
        self.assertLessEqual(called, self.services.keys())
        self.assertLessEqual({"endpoints", "ledger", "prometheus"}, called)

    def test_prometheus_finds_every_worker_and_every_rule(self) -> None:
        config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
        (job,) = config["scrape_configs"]
        self.assertEqual((["tributary"], 9464), (job["dns_sd_configs"][0]["names"], job["dns_sd_configs"][0]["port"]))
        mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in self.services["prometheus"]["volumes"]}
        (rules,) = config["rule_files"]
        self.assertEqual(ROOT / "dashboards", (FOLDER / mounted[str(Path(rules).parent)]).resolve())

    def test_grafana_shows_the_dashboards_of_the_repository(self) -> None:
        (provider,) = yaml.safe_load((FOLDER / "grafana/dashboards.yml").read_text())["providers"]
        mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in self.services["grafana"]["volumes"]}
        folder = (FOLDER / mounted[provider["options"]["path"]]).resolve()
        home = Path(self.services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
        self.assertEqual("Tributary", json.loads((folder / home.name).read_text())["title"])
        (source,) = yaml.safe_load((FOLDER / "grafana/datasources.yml").read_text())["datasources"]
        self.assertEqual(("prometheus", True), (source["type"], source["isDefault"]))

    def test_a_worker_starts_with_what_the_stack_gives_it(self) -> None:
        self.assertEqual("", processes.complaints(self.services["tributary"]["environment"]))
        wrong = self.services["tributary"]["environment"] | {"TRIBUTARY_LEDGER_URL": "ledger"}
        self.assertIn("ledger.url", processes.complaints(wrong))

    def test_the_traffic_arrives(self) -> None:
        arguments = [re.sub(r"0\.0\.0\.0:\d+", "127.0.0.1:0", one) for one in self.services["endpoints"]["command"]]
        with processes.local(arguments) as endpoints:
            given = dict(self.services["tributary"]["environment"])
            given = json.loads(json.dumps(given).replace("http://endpoints:9324", endpoints["sqs_url"]))
            given["AWS_ENDPOINT_URL_CLOUDTRAIL_DATA"] = endpoints["lake_url"]
            given |= {"TRIBUTARY_LEDGER_KIND": "memory", "TRIBUTARY_SERVICE_LISTEN": "127.0.0.1:0"}
            del given["TRIBUTARY_LEDGER_URL"]
            traffic(given["TRIBUTARY_SOURCE_QUEUE_URL"], 12)
            with processes.worker(given):
                stored = until(lambda: processes.lake_count(endpoints["lake_url"])["stored"], 12)
        # The tenth was sent twice.
        self.assertEqual(12, stored)


def traffic(queue: str, messages: int) -> None:
    """Runs the script to its end."""
    with tempfile.TemporaryDirectory() as folder:
        wget = Path(folder, "wget")
        wget.write_text(WGET.format(python=sys.executable))
        wget.chmod(wget.stat().st_mode | stat.S_IXUSR)
        environment = {"PATH": f"{folder}:{os.environ['PATH']}", "QUEUE": queue, "MESSAGES": str(messages)}
        subprocess.run(["bash", str(FOLDER / "traffic.sh")], env=environment, check=True)


def until(look, wanted: int) -> int:
    """What is there as soon as there is enough, or after a minute."""
    end = time.monotonic() + 60
    while (seen := look()) < wanted and time.monotonic() < end:
        time.sleep(0.2)
    return seen


def check(file: Path) -> tuple[int, str]:
    tool = str(Path(sys.executable).with_name("check-jsonschema"))
    command = [tool, "--quiet", "--builtin-schema", "vendor.compose-spec", str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr
