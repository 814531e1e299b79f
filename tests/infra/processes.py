"""Runs the real binary beside a test. In: arguments and environment. Out: what it said, or a process that is ended."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

TRIBUTARY = os.environ.get("TRIBUTARY", "tributary")


def complaints(environment: dict[str, str]) -> str:
    """What the binary has against this environment; nothing if a worker would start with it."""
    ran = subprocess.run([TRIBUTARY, "check"], env=environment, capture_output=True, text=True, check=False)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


@contextmanager
def local(arguments: list[str]) -> Iterator[dict]:
    """`tributary local` with these arguments; what it says of itself."""
    command = [TRIBUTARY, *arguments, "--json"]
    with subprocess.Popen(command, env={}, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


@contextmanager
def worker(environment: dict[str, str]) -> Iterator[None]:
    """`tributary run` with this environment."""
    command = [TRIBUTARY, "run"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def lake_count(url: str) -> dict:
    ran = subprocess.run([TRIBUTARY, "lake", "count", "--json", "--url", url], env={}, capture_output=True, check=True)
    return json.loads(ran.stdout)
