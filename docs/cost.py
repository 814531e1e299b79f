#!/usr/bin/env python3
"""Computes what a million events cost. In: the two tables and the template beside it. Out: docs/cost.md.

    python3 docs/cost.py > docs/cost.md

Needs Python 3.11 or later and nothing else. Every number on the page comes from prices.toml, from request-counts.toml
or from the constants below; a test computes the page again and compares.
"""

import math
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
MILLION = 1_000_000
GB = 1e9
HOURS_A_MONTH = 730
EVENT_BYTES = (1_000, 2_000, 10_000)
EVENTS_PER_MESSAGE = (1, 10, 100)
# The most that PutAuditEvents takes in one account and Region: docs.aws.amazon.com, CloudTrail quotas.
PUT_CALLS_PER_SECOND = 100
# A shard takes at most so much in a second, and a put is billed by units: Kinesis quotas and pricing.
SHARD_RECORDS, SHARD_BYTES, PUT_UNIT_BYTES = 1_000, 1 << 20, 25 << 10
# dedupe.window by default, and how long TTL may take to remove what has expired ("a few days").
WINDOW_HOURS, TTL_DELAY_HOURS = 1, 72
# The share of a node's memory that ids may fill; the rest is for replication, connections and a bad day.
NODE_SHARE = 0.75
# A node and its replica.
NODES = 2
RATES = (10, 100, 1_000, 10_000)
TYPICAL_RATE = 1_000
LOG_KEPT_MONTHS = 12
# The long poll of an idle queue: source.wait by default.
POLL_SECONDS = 20


class Costs:
    """Dollars for a million events of a size, unless a name says otherwise."""

    def __init__(self, prices: dict, counts: dict) -> None:
        self.prices = {name: price["dollars"] for name, price in prices["prices"].items()}
        self.nodes = prices["valkey_nodes"]
        self.counts = counts

    def row(self, size: int, packed: int) -> dict:
        """What was counted for events of this size, so many to a message."""
        wanted = (size, packed)
        return next(row for row in self.counts["sqs"] if (row["event_bytes"], row["events_per_message"]) == wanted)

    def sqs(self, size: int, packed: int) -> float:
        """Send, receive and delete in full batches, as counted."""
        row = self.row(size, packed)
        per_thousand = sum(row[f"{verb}_requests"] for verb in ("send", "receive", "delete"))
        return per_thousand * 1_000 / MILLION * self.prices["sqs"]

    def sqs_single(self) -> float:
        """One event a message, and one message a call: a queue that is nearly empty, or a producer without batches."""
        return 3 * self.prices["sqs"]

    def kinesis_provisioned(self, size: int, packed: int) -> float:
        """Shards that are full all the time."""
        records, record_bytes = MILLION / packed, size * packed
        hours = max(records / SHARD_RECORDS, records * record_bytes / SHARD_BYTES) / 3_600
        units = records * math.ceil(record_bytes / PUT_UNIT_BYTES)
        return hours * self.prices["kinesis_shard"] + units / MILLION * self.prices["kinesis_put_unit"]

    def kinesis_on_demand(self, size: int) -> float:
        """Without the stream's hours, which do not depend on events."""
        return size * MILLION / GB * (self.prices["kinesis_in"] + self.prices["kinesis_out"])

    def dynamodb(self, window_hours: float = WINDOW_HOURS) -> float:
        """Writes, and storage until TTL has removed the item."""
        ledger = self.counts["dynamodb"]
        writes = ledger["write_units"] * 1_000 / MILLION * self.prices["dynamodb_write"]
        months = (window_hours + TTL_DELAY_HOURS) / HOURS_A_MONTH
        return writes + ledger["item_bytes"] * MILLION / GB * months * self.prices["dynamodb_storage"]

    def valkey_node(self, rate: float, window_hours: float = WINDOW_HOURS) -> dict:
        """The smallest node that holds the ids of one window at so many events a second."""
        needed = rate * window_hours * 3_600 * self.counts["valkey"]["bytes_per_id"]
        return next(node for node in self.nodes if node["memory_gib"] * NODE_SHARE * 2**30 >= needed)

    def valkey_hour(self, rate: float) -> float:
        """A node and its replica for an hour."""
        return NODES * self.prices[self.valkey_node(rate)["price"]]

    def valkey(self, rate: float) -> float:
        """The nodes' hours over the events of an hour."""
        return self.valkey_hour(rate) / (rate * 3_600 / MILLION)

    def valkey_pays_from(self) -> float:
        """Events a second from which the smallest nodes cost less than DynamoDB."""
        return self.valkey_hour(0) / self.dynamodb() * MILLION / 3_600

    def lake(self, size: int) -> float:
        return size * MILLION / GB * self.prices["lake"]

    def publish_log(self) -> float:
        """Full segments, and a year of storage."""
        log = self.counts["publish_log"]
        size = log["record_bytes"] * MILLION
        puts = size / log["segment_bytes"] / 1_000 * self.prices["s3_put"]
        return puts + size / GB * LOG_KEPT_MONTHS * self.prices["s3_storage"]

    def publish_log_month(self) -> float:
        """The puts of one worker that closes a segment each minute, for a month."""
        return HOURS_A_MONTH * 60 / 1_000 * self.prices["s3_put"]

    def idle_month(self) -> float:
        """The polls of one worker at an empty queue, for a month."""
        return HOURS_A_MONTH * 3_600 / POLL_SECONDS / MILLION * self.prices["sqs"]

    def set_ups(self) -> dict[str, tuple[float, ...]]:
        """Whole set-ups, by event size."""
        dynamodb, valkey, log = self.dynamodb(), self.valkey(TYPICAL_RATE), self.publish_log()
        sums = {
            "One worker: SQS, ledger in memory, lake": lambda s: self.sqs(s, 1),
            "Fleet: SQS, DynamoDB, lake": lambda s: self.sqs(s, 1) + dynamodb,
            "Fleet, 10 events a message: SQS, DynamoDB, lake": lambda s: self.sqs(s, 10) + dynamodb,
            f"The same with Valkey instead, at {TYPICAL_RATE:,} events/s": lambda s: self.sqs(s, 10) + valkey,
            "The same, and a publish log in S3 that is kept for a year": lambda s: self.sqs(s, 10) + valkey + log,
            "For comparison: full Kinesis shards, DynamoDB, lake": lambda s: self.kinesis_provisioned(s, 1) + dynamodb,
        }
        return {name: tuple(rest(s) + self.lake(s) for s in EVENT_BYTES) for name, rest in sums.items()}


def dollars(amount: float) -> str:
    """Two digits that count: cents, or less where there are none."""
    if amount == 0:
        return "$0"
    return f"${amount:,.2f}" if amount >= 0.1 else f"${amount:.{1 - math.floor(math.log10(amount))}f}"


def dollars_listed(amount: float) -> str:
    """As a price list has it: cents, and more digits where there are more."""
    return f"${amount:.2f}" if round(amount, 2) == amount else f"${amount:g}"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown; all columns but the first are numbers."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def by_size(label: str, values: list[float]) -> list[str]:
    return [label, *map(dollars, values)]


def sizes() -> list[str]:
    return [f"{size // 1_000} kB" for size in EVENT_BYTES]


def origin(name: str, section: dict) -> str:
    """Where the counts of a section come from."""
    if not section["is_measured"]:
        return f"- {name}: **estimated**, not measured yet."
    return f"- {name}: {section['events']:,} events with version {section['version']} on {section['date']}."


def source_section(costs: Costs) -> str:
    rows = [by_size("SQS, one event a message, one message a call", [costs.sqs_single()] * len(EVENT_BYTES))]
    for packed in EVENTS_PER_MESSAGE:
        name = f"SQS, {packed} event{'s' * (packed > 1)} a message, full calls"
        rows.append(by_size(name, [costs.sqs(size, packed) for size in EVENT_BYTES]))
    for packed in EVENTS_PER_MESSAGE:
        name = f"Kinesis, full shards, {packed} event{'s' * (packed > 1)} a record"
        rows.append(by_size(name, [costs.kinesis_provisioned(size, packed) for size in EVENT_BYTES]))
    on_demand = [costs.kinesis_on_demand(size) for size in EVENT_BYTES]
    stream = costs.prices["kinesis_stream"] * HOURS_A_MONTH
    rows.append(by_size(f"Kinesis on demand, besides ${stream:.2f} a month for the stream", on_demand))
    return table(["source", *sizes()], rows)


def counts_section(costs: Costs) -> str:
    heads = ["event, events a message", "messages", "send", "receive", "delete", "billed by SQS", "PutAuditEvents"]
    rows = []
    for row in costs.counts["sqs"]:
        calls = [row["messages"], row["send_calls"], row["receive_calls"], row["delete_calls"]]
        billed = sum(row[f"{verb}_requests"] for verb in ("send", "receive", "delete"))
        label = f"{row['event_bytes'] // 1_000} kB, {row['events_per_message']}"
        rows.append([label, *(f"{count:,.1f}" for count in (*calls, billed, row["put_calls"]))])
    return table(heads, rows)


def ledger_section(costs: Costs) -> str:
    rows = [["memory, one worker alone", *["$0"] * len(RATES)]]
    rows.append(["DynamoDB on demand", *[dollars(costs.dynamodb())] * len(RATES)])
    rows.append(["Valkey, a node and its replica", *(dollars(costs.valkey(rate)) for rate in RATES)])
    rows.append(["which nodes", *(costs.valkey_node(rate)["name"] for rate in RATES)])
    return table(["ledger", *(f"{rate:,} events/s" for rate in RATES)], rows)


def packing_section(costs: Costs) -> str:
    rows = []
    for packed in EVENTS_PER_MESSAGE[1:]:
        pairs = [(costs.sqs(size, 1), costs.sqs(size, packed)) for size in EVENT_BYTES]
        saved = [f"{dollars(one - many)} of {dollars(one)}" for one, many in pairs]
        rows.append([f"{packed} events a message", *saved])
    return table(["saved against one event a message", *sizes()], rows)


def price_section(prices: dict) -> str:
    lines = ["| what | price | copy of | list |", "| --- | --- | --- | --- |"]
    for price in prices["prices"].values():
        listed = f"{dollars_listed(price['dollars'])} per {price['unit']}"
        lines.append(f"| {price['what']} | {listed} | {price['date']} | <{price['source']}> |")
    return "\n".join(lines)


def values(prices: dict, counts: dict) -> dict[str, str]:
    """What stands in the gaps of the template, by their names."""
    costs = Costs(prices, counts)
    ledger, valkey, log = counts["dynamodb"], counts["valkey"], counts["publish_log"]
    put_calls = max(row["put_calls"] for row in counts["sqs"])
    set_ups = [by_size(name, list(sums)) for name, sums in costs.set_ups().items()]
    origins = [
        origin("SQS and PutAuditEvents", counts["sqs_run"]),
        origin(f"DynamoDB, {ledger['calls']:,g} calls and {ledger['write_units']:,g} write units", ledger),
        origin(f"Valkey, {valkey['round_trips']:,g} script calls", valkey),
        origin("the length of a publish log's record", log),
    ]
    return {
        "region": prices["region"],
        "set_ups": table(["set-up", *sizes()], set_ups),
        "lake_kb": dollars(costs.lake(1_000)),
        "dynamodb": dollars(costs.dynamodb()),
        "sqs_single": dollars(costs.sqs_single()),
        "sqs_full": dollars(costs.sqs(EVENT_BYTES[0], 1)),
        "valkey_pays_from": f"{costs.valkey_pays_from():.0f}",
        "valkey_id_bytes": f"{valkey['bytes_per_id']:,}",
        "day_of_ids": dollars(costs.dynamodb(24) - costs.dynamodb(1)),
        "idle_month": dollars(costs.idle_month()),
        "poll_seconds": str(POLL_SECONDS),
        "sources": source_section(costs),
        "packed_at_most": f"{1_000 / costs.row(EVENT_BYTES[-1], EVENTS_PER_MESSAGE[-1])['messages']:.0f}",
        "packing": packing_section(costs),
        "ledgers": ledger_section(costs),
        "writes": f"{ledger['write_units'] / 1_000:g}",
        "item_bytes": f"{ledger['item_bytes']:,}",
        "window_hours": str(WINDOW_HOURS),
        "node_share": f"{NODE_SHARE:.0%}",
        "publish_log": dollars(costs.publish_log()),
        "publish_log_month": dollars(costs.publish_log_month()),
        "record_bytes": f"{log['record_bytes']:,}",
        "log_kept_months": str(LOG_KEPT_MONTHS),
        "counts": counts_section(costs),
        "put_calls": f"{put_calls * 1_000:,.0f}",
        "calls_a_second": str(PUT_CALLS_PER_SECOND),
        "events_a_second": f"{PUT_CALLS_PER_SECOND / put_calls * 1_000:,.0f}",
        "origins": "\n".join(origins),
        "prices": price_section(prices),
    }


def page() -> str:
    """The whole page."""
    prices, counts = (tomllib.loads((HERE / name).read_text()) for name in ("prices.toml", "request-counts.toml"))
    return (HERE / "cost.template.md").read_text().format_map(values(prices, counts))


if __name__ == "__main__":
    sys.stdout.write(page())
