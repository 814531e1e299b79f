"""Lease tables as the Kinesis Client Library (KCL) writes and reads them, for Java 1.x to 3.x.

It cannot run here, so its rules are written down a second time, from its source: what `DynamoDBLeaseSerializer` puts
into an item and takes out of it, and the conditional writes of `DynamoDBLeaseRefresher`, in the older form of expressions
(`Expected`, `AttributeUpdates`) that it uses. https://github.com/awslabs/amazon-kinesis-client

In: {"url", "table", "do": [[action, argument, ...], ...]} on standard input. Out: what each action answers, as JSON.
"""

import json
import re
import sys

import boto3

asked = json.load(sys.stdin)
client = boto3.client("dynamodb", endpoint_url=asked["url"], region_name="us-east-1")
TABLE = asked["table"]

SEQUENCE = "49590338271490256608559692538361571095921575989136588898"
LAST_HASH_KEY = str(2**128 - 1)
MIDDLE = 2**127


def lease(key, **attributes):
    """An item as `toDynamoRecord` makes it; `attributes` add to it or replace, None leaves one out."""
    item = {
        "leaseKey": {"S": key},
        "leaseCounter": {"N": "12"},
        "ownerSwitchesSinceCheckpoint": {"N": "1"},
        "checkpoint": {"S": SEQUENCE},
        "checkpointSubSequenceNumber": {"N": "0"},
    }
    item.update(attributes)
    return {name: value for name, value in item.items() if value is not None}


def hash_keys(first, last):
    return {"startingHashKey": {"S": str(first)}, "endingHashKey": {"S": str(last)}}


# One for each state that the library leaves a lease in, and for each generation of it.
LEASES = [
    # 1.x: no hash keys, no children, no kind.
    lease("shardId-000000000000", leaseOwner={"S": "java-1"}, parentShardId={"SS": ["shardId-000000000099"]}),
    # 2.x, in the middle of an aggregate.
    lease("shardId-000000000001", leaseOwner={"S": "java-2"}, checkpointSubSequenceNumber={"N": "17"},
          **hash_keys(0, MIDDLE - 1)),
    # 2.x: a checkpoint was prepared and not made. Its state is a number when the item is new, and bytes later on.
    lease("shardId-000000000002", leaseOwner={"S": "java-2"}, pendingCheckpoint={"S": SEQUENCE + "0"},
          pendingCheckpointSubSequenceNumber={"N": "0"}, pendingCheckpointState={"B": b"state"},
          **hash_keys(MIDDLE, LAST_HASH_KEY)),
    # 2.x: done, after a split.
    lease("shardId-000000000003", checkpoint={"S": "SHARD_END"},
          childShardIds={"SS": ["shardId-000000000004", "shardId-000000000005"]}, **hash_keys(0, LAST_HASH_KEY)),
    # 3.0: nobody's, with what the leader balances by.
    lease("shardId-000000000004", parentShardId={"SS": ["shardId-000000000003"]}, checkpoint={"S": "TRIM_HORIZON"},
          leaseCounter={"N": "0"}, ownerSwitchesSinceCheckpoint={"N": "0"}, throughputKBps={"N": "381.5625"},
          **hash_keys(0, 99)),
    # 3.5, in the middle of a hand-off from java-3 to java-4.
    lease("shardId-000000000005", entityType={"S": "LEASE"}, leaseOwner={"S": "java-4"},
          checkpointOwner={"S": "java-3"}, parentShardId={"SS": ["shardId-000000000003"]},
          throughputKBps={"N": "0.0"}, **hash_keys(100, LAST_HASH_KEY)),
    # 3.5, new: the time of AT_TIMESTAMP is in the configuration of the program.
    lease("shardId-000000000006", entityType={"S": "LEASE"}, checkpoint={"S": "AT_TIMESTAMP"}, leaseCounter={"N": "0"}),
    lease("shardId-000000000007", entityType={"S": "LEASE"}, checkpoint={"S": "LATEST"}, leaseCounter={"N": "0"}),
]

# Since 3.5 these may be in the same table.
OTHERS = [
    {"leaseKey": {"S": "Leader"}, "entityType": {"S": "LEADER"}, "ownerName": {"S": "java-3"}},
    {"leaseKey": {"S": "Migration3.0"}, "entityType": {"S": "CLIENT_VERSION_MIGRATION"}, "cv": {"S": "CLIENT_VERSION_3X"}},
    {"leaseKey": {"S": "TableMigration"}, "entityType": {"S": "TABLE_MIGRATION"}},
    {"leaseKey": {"S": "stream"}, "entityType": {"S": "STREAM"}},
    {"leaseKey": {"S": "java-3"}, "entityType": {"S": "WORKER_METRIC_STATS"}, "sts": {"M": {"C": {"L": [{"N": "12.5"}]}}}},
]

MULTI_STREAM = lease("111122223333:audit:1700000000:shardId-000000000000", streamName={"S": "111122223333:audit:1700000000"})


def write(*which):
    kinds = {"leases": LEASES, "others": OTHERS, "multi-stream": [MULTI_STREAM]}
    for kind in which:
        for item in kinds[kind]:
            client.put_item(TableName=TABLE, Item=item)


def typed(item, name, kind):
    """As `safeGetString` and its sisters: absent is None, and what is of another type would be an error or a null."""
    if name not in item:
        return None
    (found, value), = item[name].items()
    assert found == kind, f"{name} is of type {found}, not {kind}"
    assert value not in ("", []), f"{name} is empty"
    return value


def read(key):
    """As `fromDynamoRecord` reads it, with what it demands."""
    item = client.get_item(TableName=TABLE, Key={"leaseKey": {"S": key}}, ConsistentRead=True)["Item"]
    known = {
        "owner": typed(item, "leaseOwner", "S"),
        "checkpoint_owner": typed(item, "checkpointOwner", "S"),
        "counter": int(typed(item, "leaseCounter", "N")),
        "switches": int(typed(item, "ownerSwitchesSinceCheckpoint", "N")),
        "checkpoint": typed(item, "checkpoint", "S"),
        "sub": int(typed(item, "checkpointSubSequenceNumber", "N")),
        "parents": sorted(typed(item, "parentShardId", "SS") or []),
        "children": sorted(typed(item, "childShardIds", "SS") or []),
        "pending": typed(item, "pendingCheckpoint", "S"),
        "kind": typed(item, "entityType", "S"),
        "throughput": typed(item, "throughputKBps", "N"),
    }
    first, last = typed(item, "startingHashKey", "S"), typed(item, "endingHashKey", "S")
    assert (first is None) == (last is None), "half of the hash keys"
    if first is not None:
        # HashKeyRangeForLease: decimal, the first not after the last.
        assert re.fullmatch(r"0|[1-9][0-9]*", first) and re.fullmatch(r"0|[1-9][0-9]*", last)
        assert 0 <= int(first) <= int(last) < 2**128, "the hash keys are no range"
    # ExtendedSequenceNumber takes digits or one of its words.
    words = {"LATEST", "SHARD_END", "TRIM_HORIZON", "AT_TIMESTAMP"}
    assert known["checkpoint"] in words or re.fullmatch(r"[0-9]+", known["checkpoint"]), "no checkpoint"
    assert known["kind"] in (None, "LEASE"), "no lease"
    return known


def put(value):
    return {"Value": value, "Action": "PUT"}


def change(key, expected, updates):
    try:
        client.update_item(TableName=TABLE, Key={"leaseKey": {"S": key}}, Expected=expected, AttributeUpdates=updates)
    except client.exceptions.ConditionalCheckFailedException:
        return False
    return True


def counted(counter):
    return {"leaseCounter": {"Value": {"N": str(counter)}}}


def take(key, counter, owner):
    """`takeLease`: the counter alone is expected."""
    return change(key, counted(counter), {
        "leaseCounter": put({"N": str(counter + 1)}),
        "leaseOwner": put({"S": owner}),
        "checkpointOwner": {"Action": "DELETE"},
        "ownerSwitchesSinceCheckpoint": {"Value": {"N": "1"}, "Action": "ADD"},
    })


def renew(key, counter, is_asked_for):
    """`renewLease`."""
    expected = counted(counter)
    if not is_asked_for:
        expected["checkpointOwner"] = {"Exists": False}
    return change(key, expected, {"leaseCounter": put({"N": str(counter + 1)})})


def hand_off(key, owner, to):
    """`initiateGracefulLeaseHandoff`: the counter does not move."""
    return change(key, {"leaseOwner": {"Value": {"S": owner}}, "checkpointOwner": {"Exists": False}}, {
        "leaseOwner": put({"S": to}),
        "checkpointOwner": put({"S": owner}),
    })


def evict(key, owner, checkpoint_owner):
    """`evictLease`: the worker that holds it lets go of it."""
    asked = {"Value": {"S": checkpoint_owner}} if checkpoint_owner else {"Exists": False}
    updates = {"checkpointOwner": {"Action": "DELETE"}, "leaseCounter": {"Value": {"N": "1"}, "Action": "ADD"}}
    if not checkpoint_owner:
        updates["leaseOwner"] = {"Action": "DELETE"}
    return change(key, {"leaseOwner": {"Value": {"S": owner}}, "checkpointOwner": asked}, updates)


def checkpoint(key, counter, sequence, sub):
    """`updateLease`."""
    updates = {
        "leaseCounter": put({"N": str(counter + 1)}),
        "checkpoint": put({"S": sequence}),
        "checkpointSubSequenceNumber": put({"N": str(sub)}),
        "ownerSwitchesSinceCheckpoint": put({"N": "0"}),
    }
    for name in ("pendingCheckpoint", "pendingCheckpointSubSequenceNumber", "pendingCheckpointState"):
        updates[name] = {"Action": "DELETE"}
    return change(key, counted(counter), updates)


ACTIONS = {action.__name__: action for action in (write, read, take, renew, hand_off, evict, checkpoint)}
print(json.dumps([ACTIONS[action](*arguments) for action, *arguments in asked["do"]]))
