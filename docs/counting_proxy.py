"""A proxy that counts the calls to an HTTP endpoint, and what AWS bills them as. Used by count_requests.py.

In: the endpoint's URL and one of the `count_` functions below. Out: a URL to call instead, and a `Counter`.
"""

import contextlib
import http.client
import http.server
import json
import socket
import threading
import urllib.parse
from collections import Counter

# What SQS bills as one request: https://aws.amazon.com/sqs/pricing/
CHUNK_BYTES = 65_536
# What the proxy says for itself.
OWN_HEADERS = {"connection", "content-length", "date", "server", "transfer-encoding"}


class Proxy:
    """Stands before one HTTP endpoint and tells `count` of each call: its action, request and answer."""

    def __init__(self, upstream: str, count) -> None:
        self.host = urllib.parse.urlsplit(upstream).netloc
        self.counts: Counter = Counter()
        lock = threading.Lock()
        proxy = self

        class Forward(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Headers and body leave in separate writes; without this the second waits for an acknowledgement.
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                self.upstream = http.client.HTTPConnection(proxy.host, timeout=60)
                self.upstream.connect()
                self.upstream.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def handle(self) -> None:
                # A client or a server that stops hangs up in the middle of a poll.
                with contextlib.suppress(ConnectionError, http.client.HTTPException):
                    super().handle()

            def finish(self) -> None:
                self.upstream.close()
                super().finish()

            def do_POST(self) -> None:
                request = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.upstream.request("POST", self.path, request, dict(self.headers))
                answer = self.upstream.getresponse()
                body = answer.read()
                action = self.headers.get("X-Amz-Target", self.path.split("?")[0]).rpartition(".")[2]
                with lock:
                    count(proxy.counts, action.strip("/"), request, body)
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in OWN_HEADERS:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Says nothing: the counts are the report."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Forward)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def count_sqs(counts: Counter, action: str, request: bytes, answer: bytes) -> None:
    """Calls by action and what they are billed as. A poll that brings nothing is a matter of time, not of events."""
    verb = next((verb for verb in ("Send", "Receive", "Delete") if action.startswith(verb)), None)
    if verb is None:
        counts["other calls"] += 1
        return
    payload = 0
    if verb == "Send":
        entries = json.loads(request).get("Entries", [])
        payload = sum(len(entry["MessageBody"].encode()) for entry in entries)
        counts["messages"] += len(entries)
    if verb == "Receive":
        messages = json.loads(answer).get("Messages", [])
        if not messages:
            counts["empty polls"] += 1
            return
        payload = sum(len(message["Body"].encode()) for message in messages)
    counts[f"{verb.lower()} calls"] += 1
    counts[f"{verb.lower()} requests"] += requests_billed(payload)


def requests_billed(payload_bytes: int) -> int:
    """As many requests as the payload has chunks, at least one."""
    return max(1, -(-payload_bytes // CHUNK_BYTES))


def count_puts(counts: Counter, action: str, _request: bytes, _answer: bytes) -> None:
    counts[action] += 1


def count_dynamodb(counts: Counter, action: str, request: bytes, _answer: bytes) -> None:
    """Calls, and write units for items of at most 1 KB: failed conditions are billed like writes that succeed."""
    asked = json.loads(request or b"{}")
    units = {
        "PutItem": 1,
        "UpdateItem": 1,
        "DeleteItem": 1,
        "ExecuteStatement": 1,
        "BatchExecuteStatement": len(asked.get("Statements", [])),
        "TransactWriteItems": 2 * len(asked.get("TransactItems", [])),
        "ExecuteTransaction": 2 * len(asked.get("TransactStatements", [])),
    }.get(action)
    if units is None:
        counts["other calls"] += 1
        return
    counts["calls"] += 1
    counts["write units"] += units
