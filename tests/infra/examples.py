"""Runs the examples of a page beside the real program. In: blocks marked `run`. Out: what the lake then holds.

The blocks of one language are one program, as a reader would put them together.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3

import npm
import pages

TRIBUTARY = os.environ.get("TRIBUTARY", "tributary")
# The SDK that the page tells to install.
PACKAGES = ["@aws-sdk/client-sqs@3.1169.0"]
FILES = {"python": "example.py", "js": "example.mjs", "sh": "example.sh"}
PATIENCE_SECONDS = 60


def programs(text: str) -> dict[str, str]:
    """The marked blocks of a page, by language."""
    found: dict[str, str] = {}
    for block in pages.blocks(text):
        if "run" in block.marks:
            found[block.language] = found.get(block.language, "") + block.text
    return found


def run(language: str, program: str, folder: Path, environment: dict[str, str]) -> None:
    """Runs one program to its end; fails with what it printed."""
    file = folder / FILES[language]
    file.write_text(program)
    command = {
        "python": [sys.executable, "-B", file.name],
        "js": ["node", file.name],
        "sh": ["bash", "-euo", "pipefail", file.name],
    }[language]
    if language == "js" and not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(npm.installed("examples", PACKAGES) / "node_modules")
    path = {"PATH": f"{Path(TRIBUTARY).parent}{os.pathsep}{os.environ['PATH']}"}
    ran = subprocess.run(command, cwd=folder, env=environment | path, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise AssertionError(f"the example in {language} failed:\n{ran.stdout}{ran.stderr}")


@contextmanager
def local() -> Iterator[dict[str, str]]:
    """A queue and a lake, on free ports; the variables that lead to them."""
    command = [TRIBUTARY, "local", "--sqs-listen", "127.0.0.1:0", "--lake-listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(command, env={}, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())["environment"]
        finally:
            process.terminate()


@contextmanager
def worker(environment: dict[str, str]) -> Iterator[None]:
    """A worker between that queue and that lake."""
    listen = {"TRIBUTARY_SERVICE_LISTEN": "127.0.0.1:0"}
    with subprocess.Popen([TRIBUTARY, "run"], env=environment | listen, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def settled(environment: dict[str, str]) -> dict[str, int]:
    """What the lake holds and the queues still do, once the queue of events is empty."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while waiting(environment["TRIBUTARY_SOURCE_QUEUE_URL"], environment) > 0:
        if time.monotonic() > deadline:
            raise AssertionError("the queue did not become empty")
        time.sleep(0.1)
    with urllib.request.urlopen(f"{environment['TRIBUTARY_LAKE_URL']}/lake/status", timeout=10) as answer:
        status = json.load(answer)
    return {
        "stored": status["stored"],
        "different": status["distinct_uids"],
        "dead letters": waiting(environment["TRIBUTARY_DEAD_LETTER_QUEUE_URL"], environment),
    }


def waiting(queue: str, environment: dict[str, str]) -> int:
    """Messages of a queue, seen and unseen."""
    client = boto3.client(
        "sqs",
        endpoint_url=environment["AWS_ENDPOINT_URL_SQS"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    numbers = client.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return sum(int(numbers[name]) for name in names)
