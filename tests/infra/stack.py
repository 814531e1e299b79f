"""Deployments to be watched: local endpoints, workers, and a Prometheus that scrapes them with our own files.

Time runs faster there: a minute of the rules takes two seconds, because the rules are copied with shorter times. All
else in them stays.
"""

import contextlib
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import alerts
import yaml

SECONDS_A_MINUTE = 2
PATIENCE = 90.0
# As quick as the bounds of the configuration allow.
QUICK = {
    "TRIBUTARY_SOURCE_VISIBILITY": "10s",
    "TRIBUTARY_SOURCE_WAIT": "1s",
    "TRIBUTARY_DEDUPE_LEASE": "10s",
    "TRIBUTARY_BATCH_LINGER": "50ms",
    "TRIBUTARY_DESTINATIONS_LAKE_REQUEST_TIMEOUT": "4s",
    "TRIBUTARY_SERVICE_LISTEN": "127.0.0.1:0",
    "TRIBUTARY_LOG_FORMAT": "json",
}


class Deployment:
    """A queue and a lake of its own, and workers. Its name is its job."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path, name: str, faults: str = "", **settings: str) -> None:
        self.stack, self.name = stack, f"tributary-{name}"
        self.folder = folder / name
        self.folder.mkdir()
        listen = "--sqs-listen 127.0.0.1:0 --lake-listen 127.0.0.1:0 --json".split()
        self.local = self.started("local", ["local", *listen, *faults.split()], {}, stdout=subprocess.PIPE)
        said = json.loads(self.local.stdout.readline())
        self.environment = QUICK | said["environment"] | settings
        self.workers: list[subprocess.Popen] = []
        self.listen: list[str] = []

    def started(self, what: str, arguments: list[str], environment: dict[str, str], **more: int) -> subprocess.Popen:
        """A process that ends with the test."""
        log = self.stack.enter_context((self.folder / f"{what}.log").open("w"))
        command = [os.environ["TRIBUTARY"], *arguments]
        return self.stack.enter_context(ending(subprocess.Popen(command, env=environment, stderr=log, **more)))

    def work(self) -> None:
        """One worker more, which says where it listens."""
        what = f"worker-{len(self.workers)}"
        self.workers.append(self.started(what, ["run"], self.environment))
        log = self.folder / f"{what}.log"
        started = soon(lambda: re.search(r'"listen":"([0-9.:]+)"', log.read_text()), f"{self.name} starts: {log}")
        self.listen.append(started.group(1))

    def send(self, *bodies: str) -> None:
        """Each body as a message."""
        queue, said = self.environment["TRIBUTARY_SOURCE_QUEUE_URL"], "\n".join(bodies)
        command = [os.environ["TRIBUTARY"], "enqueue", "-", "--queue-url", queue]
        subprocess.run(command, env=self.environment, input=said, text=True, check=True, capture_output=True)

    def cure(self) -> None:
        """The lake does as it should."""
        lake = self.environment["AWS_ENDPOINT_URL_CLOUDTRAIL_DATA"]
        urllib.request.urlopen(urllib.request.Request(f"{lake}/lake/faults", method="DELETE"), timeout=10).close()


class Prometheus:
    """The server, with infra/prometheus.yml but for the targets and the times."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path, targets: dict[str, list[str]]) -> None:
        folder.mkdir()
        for rules in ("rules.yml", "alerts.yml"):
            (folder / rules).write_text(faster((alerts.DASHBOARDS / rules).read_text()))
        config = yaml.safe_load((alerts.metric_names.ROOT / "infra/prometheus.yml").read_text())
        (job,) = config["scrape_configs"]
        config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [Path(file).name for file in config["rule_files"]]
        config["scrape_configs"] = [
            job | {"job_name": name, "static_configs": [{"targets": listen}]} for name, listen in targets.items()
        ]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.url = f"http://127.0.0.1:{free_port()}"
        command = [program(), f"--web.listen-address={self.url.removeprefix('http://')}"]
        command += [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        log = stack.enter_context((folder / "log").open("w"))
        stack.enter_context(ending(subprocess.Popen(command, stdout=log, stderr=log)))
        soon(self.is_ready, f"Prometheus starts: {folder}/log")

    def is_ready(self) -> bool:
        try:
            return urllib.request.urlopen(f"{self.url}/-/ready", timeout=5).status == 200
        except OSError:
            return False

    def get(self, path: str, **parameters: str) -> dict:
        """What the API answers; raises where it refuses."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def ask(self, expression: str) -> list[dict]:
        """The samples of an expression that are numbers."""
        found = self.get("query", query=expression)["result"]
        return [sample for sample in found if sample["value"][1] != "NaN"]


def faster(rules: str) -> str:
    """The rules with every time in them shortened: a minute takes `SECONDS_A_MINUTE`."""

    def shortened(match: re.Match) -> str:
        seconds = int(match.group(2)) * {"m": 60, "h": 3600}[match.group(3)]
        return f"{match.group(1)}{seconds * SECONDS_A_MINUTE // 60}s{match.group(4)}"

    return re.sub(r"(\[|for: )(\d+)([mh])(\]|$)", shortened, rules, flags=re.MULTILINE)


@contextlib.contextmanager
def stand_in(text: str):
    """Serves this text as /metrics, and gives its address."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802, the name is the library's
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Nobody wants to read it."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@contextlib.contextmanager
def ending(process: subprocess.Popen):
    """The process, killed at the end if it has not ended by then."""
    with process:
        try:
            yield process
        finally:
            process.kill()


def soon(look, what: str):
    """What `look` finds, once it finds something."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(0.1)
    raise TimeoutError(f"not within {PATIENCE:.0f} s: {what}")


def program() -> str:
    found = shutil.which("prometheus")
    if found is None:
        raise RuntimeError(alerts.CURE)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]
