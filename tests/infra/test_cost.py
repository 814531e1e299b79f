"""docs/cost.md is what its tables and its arithmetic say, and the counting of requests counts right."""

import collections
import contextlib
import http.client
import http.server
import json
import re
import sys
import threading
import tomllib
import unittest
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
sys.path.insert(0, str(DOCS))

import cost  # noqa: E402, the path comes first
import count_requests  # noqa: E402
import counting_proxy  # noqa: E402

# Prices and counts that can be computed with in the head.
PRICES = {
    "region": "Nowhere",
    "prices": {
        name: {"what": name, "dollars": dollars, "unit": "unit", "date": "2026-01-01", "source": "https://example.com"}
        for name, dollars in {
            "sqs": 1.0,
            "kinesis_shard": 36.0,
            "kinesis_put_unit": 2.0,
            "kinesis_stream": 1.0,
            "kinesis_in": 3.0,
            "kinesis_out": 1.0,
            "dynamodb_write": 0.5,
            "dynamodb_storage": 730.0,
            "small": 1.8,
            "large": 18.0,
            "lake": 0.5,
            "s3_put": 4.0,
            "s3_storage": 1.0,
        }.items()
    },
    "valkey_nodes": [
        {"name": "small", "price": "small", "memory_gib": 1},
        {"name": "large", "price": "large", "memory_gib": 1_000},
    ],
}
COUNTS = {
    "sqs": [
        {
            "event_bytes": size,
            "events_per_message": packed,
            "send_requests": 300.0 / packed,
            "receive_requests": 200.0 / packed,
            "delete_requests": 100.0 / packed,
            "put_calls": 10.0,
        }
        for size in cost.EVENT_BYTES
        for packed in cost.EVENTS_PER_MESSAGE
    ],
    "dynamodb": {"write_units": 2_000, "item_bytes": 1_000},
    "valkey": {"bytes_per_id": 100},
    "publish_log": {"record_bytes": 1_000, "segment_bytes": 1_000_000},
}


class Page(unittest.TestCase):
    def test_the_page_is_the_computed_one(self) -> None:
        self.assertEqual((DOCS / "cost.md").read_text(), cost.page(), "run: python3 docs/cost.py > docs/cost.md")

    def test_every_value_has_its_place_in_the_template(self) -> None:
        prices, counts = (tomllib.loads((DOCS / name).read_text()) for name in ("prices.toml", "request-counts.toml"))
        template = (DOCS / "cost.template.md").read_text()
        self.assertEqual(set(cost.values(prices, counts)), set(re.findall(r"{(\w+)}", template)))

    def test_every_price_says_what_it_is_of_which_day_and_from_where(self) -> None:
        for name, price in tomllib.loads((DOCS / "prices.toml").read_text())["prices"].items():
            with self.subTest(name):
                self.assertEqual({"what", "dollars", "unit", "date", "source"}, set(price))
                self.assertRegex(price["date"], r"^(20\d\d-\d\d-\d\d|undated)$")
                self.assertRegex(price["source"], r"^https://([a-z0-9-]+\.)*(amazonaws|amazon)\.com/")

    def test_the_counts_are_written_as_they_are_read(self) -> None:
        text = (DOCS / "request-counts.toml").read_text()
        counts = {"heading": count_requests.HEADING} | tomllib.loads(text)
        self.assertEqual(text, count_requests.toml(counts))


class Arithmetic(unittest.TestCase):
    def setUp(self) -> None:
        self.costs = cost.Costs(PRICES, COUNTS)

    def test_sqs_is_billed_by_the_request(self) -> None:
        self.assertAlmostEqual(0.6, self.costs.sqs(1_000, 1))
        self.assertAlmostEqual(0.006, self.costs.sqs(1_000, 100))
        self.assertAlmostEqual(3.0, self.costs.sqs_single())

    def test_shards_are_bound_by_records_or_by_bytes(self) -> None:
        # 1,000 seconds of 1,000 records at a cent a second, and a million units.
        self.assertAlmostEqual(10.0 + 2.0, self.costs.kinesis_provisioned(1_000, 1))
        # 10^10 bytes at a MiB a second, and a tenth as many records of four units each.
        self.assertAlmostEqual(1e10 / 2**20 / 100 + 0.8, self.costs.kinesis_provisioned(10_000, 10))
        self.assertAlmostEqual(8.0, self.costs.kinesis_on_demand(2_000))

    def test_dynamodb_is_two_writes_and_a_little_storage(self) -> None:
        # A GB at a dollar an hour, for a window and the days that TTL takes.
        self.assertAlmostEqual(1.0 + 1 + 72, self.costs.dynamodb())
        self.assertAlmostEqual(23.0, self.costs.dynamodb(24) - self.costs.dynamodb(1))

    def test_valkey_takes_the_smallest_node_that_holds_a_window(self) -> None:
        holds = 0.75 * 2**30 / 3_600 / 100
        self.assertEqual("small", self.costs.valkey_node(holds * 0.999)["name"])
        self.assertEqual("large", self.costs.valkey_node(holds * 1.001)["name"])
        # Two nodes at 1.80 an hour for 3.6 million events.
        self.assertAlmostEqual(1.0, self.costs.valkey(1_000))
        # And as many events an hour as DynamoDB does for the price of the nodes.
        self.assertAlmostEqual(3.6 / 74 * 1e6 / 3_600, self.costs.valkey_pays_from())

    def test_the_lake_is_paid_by_the_byte(self) -> None:
        self.assertEqual([0.5, 1.0, 5.0], [self.costs.lake(size) for size in cost.EVENT_BYTES])

    def test_the_publish_log_is_puts_and_a_year(self) -> None:
        self.assertAlmostEqual(4.0 + 12.0, self.costs.publish_log())

    def test_the_listed_prices_give_what_was_computed_by_hand(self) -> None:
        prices = tomllib.loads((DOCS / "prices.toml").read_text())
        costs = cost.Costs(prices, COUNTS | {"dynamodb": {"write_units": 2_000, "item_bytes": 0}})
        self.assertAlmostEqual(1.25, costs.dynamodb())
        self.assertAlmostEqual(1.00, costs.lake(2_000))
        self.assertAlmostEqual(1.20, costs.sqs_single())
        self.assertAlmostEqual(0.24, costs.kinesis_on_demand(2_000))
        self.assertAlmostEqual(0.018, costs.kinesis_provisioned(1_000, 1), 3)

    def test_a_set_up_is_the_sum_of_its_parts(self) -> None:
        sums = self.costs.set_ups()
        self.assertAlmostEqual(0.6 + 74 + 1.0, sums["Fleet: SQS, DynamoDB, lake"][1])
        logged, unlogged = (next(sums[name] for name in sums if part in name) for part in ("publish log", "Valkey"))
        self.assertAlmostEqual(16.0, logged[0] - unlogged[0])

    def test_small_amounts_keep_two_digits(self) -> None:
        shown = [cost.dollars(amount) for amount in (0, 0.00123, 0.0456, 0.5, 29.2, 1234.5)]
        self.assertEqual(["$0", "$0.0012", "$0.046", "$0.50", "$29.20", "$1,234.50"], shown)


class Counting(unittest.TestCase):
    def test_sqs_bills_a_request_for_each_chunk_of_64_kib(self) -> None:
        billed = [counting_proxy.requests_billed(size) for size in (0, 1, 65_536, 65_537, 1_048_576)]
        self.assertEqual([1, 1, 1, 2, 16], billed)

    def test_calls_to_sqs_are_counted_by_verb_and_empty_polls_apart(self) -> None:
        counts = collections.Counter()
        batch = {"Entries": [{"MessageBody": "x" * 40_000}, {"MessageBody": "x" * 40_000}]}
        counting_proxy.count_sqs(counts, "SendMessageBatch", json.dumps(batch).encode(), b"{}")
        counting_proxy.count_sqs(counts, "ReceiveMessage", b"{}", json.dumps({"Messages": [{"Body": "x"}]}).encode())
        counting_proxy.count_sqs(counts, "ReceiveMessage", b"{}", b"{}")
        counting_proxy.count_sqs(counts, "DeleteMessageBatch", b"{}", b"{}")
        counting_proxy.count_sqs(counts, "GetQueueAttributes", b"{}", b"{}")
        expected = {"messages": 2, "send calls": 1, "send requests": 2, "receive calls": 1, "receive requests": 1}
        expected |= {"delete calls": 1, "delete requests": 1, "empty polls": 1, "other calls": 1}
        self.assertEqual(expected, dict(counts))

    def test_writes_to_dynamodb_are_counted_statement_by_statement(self) -> None:
        counts = collections.Counter()
        counting_proxy.count_dynamodb(counts, "BatchExecuteStatement", b'{"Statements": [{}, {}, {}]}', b"")
        counting_proxy.count_dynamodb(counts, "PutItem", b"{}", b"")
        counting_proxy.count_dynamodb(counts, "TransactWriteItems", b'{"TransactItems": [{}, {}]}', b"")
        counting_proxy.count_dynamodb(counts, "DescribeTable", b"{}", b"")
        self.assertEqual({"calls": 3, "write units": 8, "other calls": 1}, dict(counts))

    def test_an_item_is_as_large_as_its_names_and_values(self) -> None:
        self.assertEqual(3 + 4 + 7 + 21, count_requests.item_bytes({"key": {"S": "four"}, "expires": {"N": "1"}}))
        self.assertEqual(1 + 3 + 1 + 2 + 3, count_requests.item_bytes({"m": {"M": {"in": {"S": "abc"}}}}))

    def test_an_event_has_the_size_that_was_asked_for_and_an_id_of_its_own(self) -> None:
        events = [count_requests.event(number, 1_000) for number in (1, 2)]
        self.assertEqual([1_000, 1_000], [len(event) for event in events])
        self.assertEqual(2, len({json.loads(event)["UID"] for event in events}))

    def test_the_proxy_passes_calls_on_and_counts_them(self) -> None:
        with upstream() as url:
            proxy = counting_proxy.Proxy(url, lambda counts, *call: counts.update([call]))
            connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=10)
            for target, path in (("AmazonSQS.SendMessage", "/"), (None, "/PutAuditEvents?channelArn=any")):
                connection.request("POST", path, b"asked", {"X-Amz-Target": target} if target else {})
                answer = connection.getresponse()
                passed = (answer.status, answer.headers["X-Own"], answer.read())
                self.assertEqual((400, "kept", f"answered {path}".encode()), passed)
            connection.close()
        expected = {
            ("SendMessage", b"asked", b"answered /"): 1,
            ("PutAuditEvents", b"asked", b"answered /PutAuditEvents?channelArn=any"): 1,
        }
        self.assertEqual(expected, dict(proxy.counts))


@contextlib.contextmanager
def upstream():
    """An endpoint that refuses everything and says which path it was asked for."""

    class Refuse(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(400)
            self.send_header("X-Own", "kept")
            self.end_headers()
            self.wfile.write(f"answered {self.path}".encode())

        def log_message(self, *_: object) -> None: ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Refuse)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
