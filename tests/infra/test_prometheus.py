"""A real Prometheus beside real workers: everything that we ask of it has an answer, and what breaks raises its alerts.

Each deployment has something else broken, or nothing. They break all at once, because most of the time is waiting.
"""

import contextlib
import json
import re
import tempfile
import threading
import time
import unittest
import uuid
from pathlib import Path

import alerts
import expressions
import metric_names
import stack

LONGEST = 150.0
# After everything has come that should: is there something that should not?
LINGER = 5.0
# No stream runs here. Numbers of a worker that reads one, as it would tell them.
OF_A_STREAM = """
tributary_shard_lag_seconds{shard="shardId-000000000000"} 3
tributary_shard_open_records{shard="shardId-000000000000"} 40
tributary_shard_checkpoint_age_seconds{shard="shardId-000000000000"} 2
tributary_leases_held 4
tributary_leases_taken_total{how="free"} 4
tributary_leases_lost_total 0
tributary_handoffs_total{direction="in"} 1
"""


class Watched(unittest.TestCase):
    """One world for all questions, because it takes a minute to build."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.exits = contextlib.ExitStack()
        cls.addClassCleanup(cls.exits.close)
        folder = Path(cls.exits.enter_context(tempfile.TemporaryDirectory()))
        cls.deployments = broken_deployments(cls.exits, folder)
        targets = {one.name: one.listen for one in cls.deployments.values()}
        targets["tributary-stream"] = [cls.exits.enter_context(stack.stand_in(OF_A_STREAM))]
        cls.prometheus = stack.Prometheus(cls.exits, folder / "prometheus", targets)
        soon_scraped(cls.prometheus, targets)
        cls.deployments["one worker of two is killed"].workers[1].kill()
        cls.deployments["all workers are killed"].workers[0].kill()
        cls.deployments["the queue is out of reach"].local.kill()
        cls.watch()

    @classmethod
    def watch(cls) -> None:
        """Keeps looking until everything was seen that is expected, and a little longer."""
        cls.without_data = {where: asks for where, asks in questions()}
        cls.raised: dict[str, dict[str, dict]] = {one.name: {} for one in cls.deployments.values()}
        expected = expected_alerts()
        until, stop = time.monotonic() + LONGEST, threading.Event()
        load = threading.Thread(target=keep_sending, args=(cls.deployments, stop))
        load.start()
        try:
            while time.monotonic() < until:
                cls.look()
                seen = all(expected[what] <= cls.raised[one.name].keys() for what, one in cls.deployments.items())
                if seen and not cls.without_data:
                    until = min(until, time.monotonic() + LINGER)
                time.sleep(1)
        finally:
            stop.set()
            load.join()

    @classmethod
    def look(cls) -> None:
        for where, asks in list(cls.without_data.items()):
            if cls.prometheus.ask(asks):
                del cls.without_data[where]
        for job, firing in cls.firing().items():
            cls.raised.setdefault(job, {}).update(firing)

    @classmethod
    def firing(cls) -> dict[str, dict[str, dict]]:
        """What each alert says, by job and name."""
        found: dict[str, dict[str, dict]] = {}
        for alert in cls.prometheus.get("alerts")["alerts"]:
            labels = alert["labels"]
            if alert["state"] == "firing":
                found.setdefault(labels.get("job", ""), {})[labels["alertname"]] = alert["annotations"]
        return found

    def test_every_panel_and_every_rule_finds_data(self) -> None:
        self.assertEqual({}, self.without_data)

    def test_prometheus_has_no_complaint_about_any_rule(self) -> None:
        rules = [rule for group in self.prometheus.get("rules")["groups"] for rule in group["rules"]]
        self.assertEqual(len(alerts.rules("alerts.yml")) + len(alerts.rules("rules.yml")), len(rules))
        self.assertEqual([], [rule["lastError"] for rule in rules if rule["health"] != "ok"])

    def test_what_breaks_raises_the_alerts_that_the_runbooks_name_and_no_others(self) -> None:
        expected = {self.deployments[what].name: names for what, names in expected_alerts().items()}
        missing = {job: names - self.raised[job].keys() for job, names in expected.items()}
        others = {job: raised.keys() - expected.get(job, set()) for job, raised in self.raised.items()}
        self.assertEqual(({}, {}), (without_nothing(missing), without_nothing(others)))

    def test_a_cure_takes_the_alert_back_without_anybody_else(self) -> None:
        denied = self.deployments["the lake denies every call"]
        denied.cure()
        stack.soon(lambda: denied.name not in self.firing(), "nothing is firing any more")

    def test_the_alerts_say_what_they_mean(self) -> None:
        said = [text for raised in self.raised.values() for notes in raised.values() for text in notes.values()]
        self.assertGreater(len(said), 20)
        for text in said:
            self.assertNotRegex(text, r"<no value>|<error|\{\{|%!")

    def test_the_workers_export_what_the_source_says(self) -> None:
        scraped = {name for name in self.prometheus.get("label/__name__/values") if name.startswith("tributary_")}
        known = metric_names.exported() | metric_names.PREPARED
        self.assertEqual(known, {metric_names.family(name, known) for name in scraped})


def broken_deployments(exits: contextlib.ExitStack, folder: Path) -> dict[str, stack.Deployment]:
    """By what is broken, in the words of docs/runbooks/README.md."""

    def deployment(name: str, faults: str = "", **settings: str) -> stack.Deployment:
        made = stack.Deployment(exits, folder, name, faults, **settings)
        made.work()
        return made

    nowhere = f"127.0.0.1:{stack.free_port()}"
    (folder / "no-folder").write_text("a file")
    log = {"TRIBUTARY_PUBLISH_LOG_TO": str(folder / "proof")}
    no_log = {"TRIBUTARY_PUBLISH_LOG_TO": str(folder / "no-folder/proof")}
    no_letters = {"TRIBUTARY_DEAD_LETTER_QUEUE_URL": f"http://{nowhere}/000000000000/letters"}
    no_ledger = {"TRIBUTARY_LEDGER_KIND": "valkey", "TRIBUTARY_LEDGER_URL": f"redis://{nowhere}"}
    silence = "--drop-reply-share 0.2 --seed 1"
    breaker = {"TRIBUTARY_BREAKER_DELIVERIES": "50", "TRIBUTARY_BREAKER_COOL_DOWN": "2s"}
    made = {
        "nothing": deployment("well", **log),
        "the lake denies every call": deployment("denied", "--refuse AccessDeniedException"),
        "the lake closes every connection": deployment("down", "--down"),
        "the lake stores events and does not answer": deployment("silent", silence),
        "the lake throttles every call": deployment("throttled", "--refuse ThrottlingException"),
        "the ledger is out of reach": deployment("ledger", **no_ledger),
        "the queue is out of reach": deployment("queue"),
        "the dead-letter queue is not there": deployment("letters", **no_letters),
        "the publish log cannot be written": deployment("log", **no_log),
        "most events are bad": deployment("bad", **breaker),
        "an event comes again with other content": deployment("forged"),
        "one worker of two is killed": deployment("one-killed"),
        "all workers are killed": deployment("all-killed"),
    }
    made["one worker of two is killed"].work()
    return made


def expected_alerts() -> dict[str, set[str]]:
    """What the table of the index says."""
    index = (alerts.RUNBOOKS / "README.md").read_text().partition("\n## What breaks")[2]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", index, flags=re.MULTILINE)[2:]
    return {what: set(re.findall(r"\[(Tributary\w+)\]", names)) for what, names in rows} | {"nothing": set()}


def soon_scraped(prometheus: stack.Prometheus, targets: dict[str, list[str]]) -> None:
    workers = sum(len(listen) for listen in targets.values())
    stack.soon(lambda: len(prometheus.ask("up == 1")) == workers, "every worker is scraped")


def keep_sending(deployments: dict[str, stack.Deployment], stop: threading.Event) -> None:
    """Load for everybody who still has a queue, each of the kind that shows what is broken."""
    deployments["an event comes again with other content"].send(event("same", "PutObject"))
    while not stop.is_set():
        for what, one in deployments.items():
            if what != "the queue is out of reach":
                one.send(*load(what))
        stop.wait(2)


def load(what: str) -> list[str]:
    good = good_events(20)
    match what:
        case "nothing":
            many = [f"[{','.join(good_events(20))}]" for _ in range(20)]
            return [*many, good[0], good[0], json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"})]
        case "most events are bad":
            return ["no JSON"] * 40 + good[:5]
        case "the dead-letter queue is not there":
            return ["no JSON", *good]
        case "an event comes again with other content":
            return [*good, event("same", "DeleteTrail")]
        case _:
            return good


def good_events(number: int) -> list[str]:
    return [event(str(uuid.uuid4()), "PutObject") for _ in range(number)]


def event(event_id: str, name: str) -> str:
    said = {"eventVersion": "1.11", "eventID": event_id, "eventName": name, "eventSource": "s3.amazonaws.com"}
    said |= {"eventTime": "2024-03-01T08:15:04Z", "awsRegion": "us-east-1", "recipientAccountId": "000000000000"}
    return json.dumps(said | {"userIdentity": {"type": "IAMUser", "principalId": "alice"}, "eventType": "AwsApiCall"})


def without_nothing(names: dict[str, set[str]]) -> dict[str, set[str]]:
    return {job: some for job, some in names.items() if some}


def questions() -> list[tuple[str, str]]:
    """Every expression of every panel and every recording rule, with where it stands."""
    found = [(rule["record"], rule["record"]) for rule in alerts.rules("rules.yml")]
    for file in sorted(alerts.DASHBOARDS.glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", []):
                where = f"{file.name}: {panel['title']}: {target['legendFormat']}"
                found.append((where, expressions.plain(target["expr"], window="10s")))
    return found
