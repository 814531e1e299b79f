#!/usr/bin/env python3
"""Counts the requests that events are billed for. In: the built program. Out: docs/request-counts.toml, written anew.

    python3 docs/count_requests.py target/release/tributary

For each event size and number of events per message it starts `tributary local`, sends events with `tributary
enqueue`, and lets `tributary run` carry them into the lake. Between the program and each endpoint stands a proxy that
counts calls by action and the chunks of 64 KiB that SQS bills. Only the standard library is used.

With --dynamodb it counts the requests of a ledger in a local server that speaks DynamoDB, in a table that it makes
anew; with --valkey those of one in Valkey or Redis, which must be empty and is emptied again; with --publish-log the
bytes of a record. Then nothing else is counted, and the rest of the file stays as it was.
"""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import tomllib
import urllib.parse

from counting_proxy import Proxy, count_dynamodb, count_puts, count_sqs

COUNTS = pathlib.Path(__file__).resolve().with_name("request-counts.toml")
EVENT_BYTES = (1_000, 2_000, 10_000)
EVENTS_PER_MESSAGE = (1, 10, 100)
CHANNEL = "arn:aws:cloudtrail:us-east-1:111122223333:channel/01234567-89ab-cdef-0123-456789abcdef"
TABLE = "tributary-ledger-counted"
PATIENCE_SECONDS = 300


def event(number: int, size: int) -> bytes:
    """A lake event of exactly so many bytes, as one line without its end."""
    fields = {
        "version": "1.0",
        "userIdentity": {"type": "User", "principalId": "p-1"},
        "eventSource": "app.example.com",
        "eventName": "CreateThing",
        "eventTime": "2026-01-31T12:00:00Z",
        "UID": f"counted-{number:09}",
        "recipientAccountId": CHANNEL.split(":")[4],
        "requestParameters": {"filling": ""},
    }
    bare = len(json.dumps(fields, separators=(",", ":")))
    fields["requestParameters"]["filling"] = "x" * (size - bare)
    return json.dumps(fields, separators=(",", ":")).encode()


@contextlib.contextmanager
def running(command: list[str], environment: dict[str, str], **options):
    """A child that is told to stop, and waited for, when the block ends."""
    child = subprocess.Popen(command, env=environment, **options)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(60)


class Part:
    """What the worker uses besides queue and lake: here nothing. The others count between `start` and `report`."""

    environment: dict[str, str] = {}

    def start(self) -> None: ...

    def report(self, _events: int) -> dict[str, float]:
        return {}


class DynamoDb(Part):
    """A table in a server that speaks DynamoDB."""

    def __init__(self, url: str) -> None:
        self.upstream = urllib.parse.urlsplit(url).netloc
        self.proxy = Proxy(url, count_dynamodb)
        self.environment = {
            "TRIBUTARY_LEDGER_KIND": "dynamodb",
            "TRIBUTARY_LEDGER_TABLE": TABLE,
            "AWS_ENDPOINT_URL_DYNAMODB": self.proxy.url,
        }

    def call(self, action: str, asked: dict) -> dict:
        """One call outside the count. Local servers ask for a signature and do not check it."""
        connection = http.client.HTTPConnection(self.upstream, timeout=30)
        scope = "any/20260101/us-east-1/dynamodb/aws4_request"
        headers = {
            "X-Amz-Target": f"DynamoDB_20120810.{action}",
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Date": "20260101T000000Z",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
        }
        connection.request("POST", "/", json.dumps(asked), headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{action} answered {answer.status}: {text[:200]!r}")
        return json.loads(text)

    def start(self) -> None:
        with contextlib.suppress(RuntimeError):
            self.call("DeleteTable", {"TableName": TABLE})
        self.call(
            "CreateTable",
            {
                "TableName": TABLE,
                "KeySchema": [{"AttributeName": "key", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "key", "AttributeType": "S"}],
                "BillingMode": "PAY_PER_REQUEST",
            },
        )
        self.proxy.counts.clear()

    def report(self, events: int) -> dict[str, float]:
        items = self.call("Scan", {"TableName": TABLE, "Limit": 100})["Items"]
        counts = self.proxy.counts
        return {
            "calls": per_thousand(counts["calls"], events),
            "write_units": per_thousand(counts["write units"], events),
            "item_bytes": round(sum(map(item_bytes, items)) / max(1, len(items))),
        }


def item_bytes(item: dict) -> int:
    """An item's size as DynamoDB counts it, without lists and sets; a number at its most, a map with its overhead."""
    sizes = {
        "S": lambda value: len(value.encode()),
        "N": lambda _: 21,
        "B": lambda value: len(value) * 3 // 4,
        "M": lambda value: 3 + len(value) + item_bytes(value),
    }
    return sum(
        len(name) + sum(sizes.get(kind, lambda _: 1)(value) for kind, value in typed.items())
        for name, typed in item.items()
    )


class Valkey(Part):
    """A server that speaks the Redis protocol: one script call is one round trip at most."""

    def __init__(self, place: str) -> None:
        host, _, port = place.rpartition(":")
        self.address = (host, int(port))
        self.environment = {"TRIBUTARY_LEDGER_KIND": "valkey", "TRIBUTARY_LEDGER_URL": f"redis://{place}"}

    def call(self, *words: str) -> str:
        """One command whose answer is a simple string, a number or a bulk string."""
        with socket.create_connection(self.address, timeout=30) as connection:
            sent = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
            connection.sendall(f"*{len(words)}\r\n{sent}".encode())
            reader = connection.makefile("rb")
            head = reader.readline().decode().strip()
            if head.startswith("$"):
                return reader.read(int(head[1:])).decode()
            if head.startswith("-"):
                raise RuntimeError(head)
            return head[1:]

    def start(self) -> None:
        if self.call("DBSIZE") != "0":
            raise RuntimeError("the Valkey server is not empty; give one that may be written to")
        self.used = self.used_bytes()
        self.call("CONFIG", "RESETSTAT")

    def used_bytes(self) -> int:
        return int(re.search(r"used_memory:(\d+)", self.call("INFO", "memory")).group(1))

    def report(self, events: int) -> dict[str, float]:
        stats = self.call("INFO", "commandstats")
        calls = sum(int(calls) for calls in re.findall(r"cmdstat_(?:evalsha|eval|fcall):calls=(\d+)", stats))
        entries = int(self.call("DBSIZE"))
        report = {
            "round_trips": per_thousand(calls, events),
            "bytes_per_id": round((self.used_bytes() - self.used) / max(1, entries)),
        }
        self.call("FLUSHDB")
        return report


class PublishLog(Part):
    """A publish log in a folder: how long a record is."""

    def __init__(self, folder: str) -> None:
        self.folder = pathlib.Path(folder)
        self.environment = {"TRIBUTARY_PUBLISH_LOG_TO": folder}

    def report(self, events: int) -> dict[str, float]:
        written = sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())
        if written == 0:
            raise RuntimeError("the worker wrote no publish log")
        return {"record_bytes": round(written / events)}


def per_thousand(count: float, events: int) -> float:
    return round(count * 1_000 / events, 2)


def carry(program: str, size: int, packed: int, events: int, part: Part) -> dict[str, float]:
    """Carries so many events from a queue to a lake and reports the calls."""
    base = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TRIBUTARY_"))}
    base |= {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_REGION": "us-east-1"}
    places = [program, "local", "--json", "--sqs-listen", "127.0.0.1:0", "--lake-listen", "127.0.0.1:0"]
    with running(places, base, stdout=subprocess.PIPE, text=True) as local:
        told = json.loads(local.stdout.readline())
        sqs, lake = Proxy(told["sqs_url"], count_sqs), Proxy(told["lake_url"], count_puts)
        queue = f"{sqs.url}/000000000000/events"
        base["AWS_ENDPOINT_URL_SQS"] = sqs.url
        with tempfile.NamedTemporaryFile(suffix=".ndjson") as file:
            file.writelines(event(number, size) + b"\n" for number in range(events))
            file.flush()
            enqueue = [program, "enqueue", "--events-per-message", str(packed), "--queue-url", queue, file.name]
            subprocess.run(enqueue, env=base, check=True, capture_output=True)
        worker = base | part.environment | {
            "AWS_ENDPOINT_URL_CLOUDTRAIL_DATA": lake.url,
            "TRIBUTARY_SOURCE_QUEUE_URL": queue,
            "TRIBUTARY_DEAD_LETTER_QUEUE_URL": f"{queue}-dlq",
            "TRIBUTARY_DESTINATIONS_LAKE_CHANNEL_ARN": CHANNEL,
            "TRIBUTARY_SERVICE_LISTEN": "127.0.0.1:0",
            "TRIBUTARY_LOG_FILTER": "warn",
        }
        part.start()
        with running([program, "run"], worker) as run:
            wait_for(run, lambda: stored(told["lake_url"]) >= events)
        if stored(told["lake_url"]) != events:
            raise RuntimeError("the lake holds more events than were sent: the counts are of no use")
        return {
            "event_bytes": size,
            "events_per_message": packed,
            "messages": per_thousand(sqs.counts["messages"], events),
            **{
                f"{verb}_{what}": per_thousand(sqs.counts[f"{verb} {what}"], events)
                for verb in ("send", "receive", "delete")
                for what in ("calls", "requests")
            },
            "put_calls": per_thousand(lake.counts["PutAuditEvents"], events),
        }


def stored(lake: str) -> int:
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(lake).netloc, timeout=30)
    connection.request("GET", "/lake/status")
    answer = json.load(connection.getresponse())
    connection.close()
    return answer["stored"]


def wait_for(worker: subprocess.Popen, is_there) -> None:
    """Looks until it is there, the worker has ended, or patience has."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while not is_there():
        if worker.poll() is not None or time.monotonic() > ends:
            raise RuntimeError("the events did not arrive")
        time.sleep(0.2)


def toml(counts: dict) -> str:
    """The file, from what it says; only the kinds of values that stand in it."""
    lines = [counts["heading"]]
    for name, table in counts.items():
        tables = table if isinstance(table, list) else [table]
        for one in tables if name != "heading" else []:
            lines.append(f"[[{name}]]" if isinstance(table, list) else f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in one.items()]
            lines.append("")
    return "\n".join(lines)


HEADING = """\
# What was counted while events were carried from a queue into the lake, per 1,000 events. Written by
# docs/count_requests.py, read by docs/cost.py. Sizes are bytes. `requests` are what SQS bills: a call, or one for
# each 64 KiB of its payload. `is_measured = false` marks an estimate that no run has replaced yet.
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("program", help="the built program, such as target/release/tributary")
    arguments.add_argument("--events", type=int, default=10_000, help="events of each run (10000)")
    one = arguments.add_mutually_exclusive_group()
    one.add_argument("--dynamodb", metavar="URL", help="count a ledger there, and nothing else")
    one.add_argument("--valkey", metavar="HOST:PORT", help="count a ledger there, and nothing else")
    one.add_argument("--publish-log", action="store_true", help="measure a publish log, and nothing else")
    asked = arguments.parse_args()
    counts = {"heading": HEADING} | tomllib.loads(COUNTS.read_text())
    told = subprocess.run([asked.program, "--version"], capture_output=True, text=True, check=True).stdout
    date = time.strftime("%Y-%m-%d")
    run = {"is_measured": True, "version": told.split()[-1], "date": date, "events": asked.events}
    with tempfile.TemporaryDirectory() as folder:
        parts = {
            "dynamodb": asked.dynamodb and DynamoDb(asked.dynamodb),
            "valkey": asked.valkey and Valkey(asked.valkey),
            "publish_log": asked.publish_log and PublishLog(folder),
        }
        for name, part in parts.items():
            if part:
                carry(asked.program, EVENT_BYTES[0], 1, asked.events, part)
                counts[name] = counts[name] | run | part.report(asked.events)
    if not any(parts.values()):
        sizes = [(size, packed) for size in EVENT_BYTES for packed in EVENTS_PER_MESSAGE]
        counts["sqs_run"] = run
        counts["sqs"] = [carry(asked.program, size, packed, asked.events, Part()) for size, packed in sizes]
    COUNTS.write_text(toml(counts))


if __name__ == "__main__":
    main()
