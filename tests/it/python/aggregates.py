"""Aggregates as AWS's aggregator for Python makes them.

In: [[{"partition_key", "explicit_hash_key" (or null), "data" (base64)}, ...], ...] on standard input. Out: for each list
{"aggregate" (base64), "hash_keys" (decimal, one for each record)}.
"""

import base64
import hashlib
import json
import sys

from aws_kinesis_agg.aggregator import RecordAggregator


def hash_key(record):
    explicit = record["explicit_hash_key"]
    if explicit is not None:
        return explicit
    return str(int(hashlib.md5(record["partition_key"].encode()).hexdigest(), 16))


def aggregated(records):
    aggregator = RecordAggregator()
    for record in records:
        data = base64.b64decode(record["data"])
        full = aggregator.add_user_record(record["partition_key"], data, record["explicit_hash_key"])
        assert full is None, "does not fit into one aggregate"
    _, _, aggregate = aggregator.clear_and_get().get_contents()
    return {"aggregate": base64.b64encode(aggregate).decode(), "hash_keys": [hash_key(record) for record in records]}


print(json.dumps([aggregated(records) for records in json.load(sys.stdin)]))
