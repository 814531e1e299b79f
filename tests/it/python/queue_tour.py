"""A producer and a consumer on the local queue, with boto3, which verifies the digest of every body itself.

Reads {"endpoint"} from standard input. No waiting on the clock: what has to pass is passed by visibility 0.
"""

import hashlib
import json
import struct
import sys
import threading
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

given = json.load(sys.stdin)
config = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
sqs = boto3.client("sqs", endpoint_url=given["endpoint"], config=config)
errors = sqs.exceptions


def refused(expected, call):
    """`expected` is a modelled exception class, or a code."""
    try:
        call()
    except ClientError as error:
        if isinstance(expected, str):
            assert error.response["Error"]["Code"] == expected, error.response
        else:
            assert isinstance(error, expected), error.response
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        return error
    raise AssertionError(f"{expected} did not come")


def receive(url, count=10, **more):
    return sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=count, **more).get("Messages", [])


def counts(url):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return tuple(int(attributes[name]) for name in names)


def attributes_digest(attributes):
    """SQS's own recipe, written down a second time."""
    md5 = hashlib.md5()
    for name in sorted(attributes):
        attribute = attributes[name]
        for text in (name, attribute["DataType"]):
            md5.update(struct.pack("!I", len(text.encode())) + text.encode())
        binary = attribute.get("BinaryValue")
        value = attribute["StringValue"].encode() if binary is None else binary
        md5.update((b"\1" if binary is None else b"\2") + struct.pack("!I", len(value)) + value)
    return md5.hexdigest()


# Queues
events = sqs.get_queue_url(QueueName="events")["QueueUrl"]
dead = sqs.get_queue_url(QueueName="events-dlq")["QueueUrl"]
assert events == given["endpoint"] + "/000000000000/events"
assert sorted(sqs.list_queues()["QueueUrls"]) == [events, dead]
assert sqs.list_queues(QueueNamePrefix="events-")["QueueUrls"] == [dead]
policy = json.loads(sqs.get_queue_attributes(QueueUrl=events, AttributeNames=["All"])["Attributes"]["RedrivePolicy"])
dead_arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
assert policy == {"deadLetterTargetArn": dead_arn, "maxReceiveCount": 5}
own = sqs.create_queue(QueueName="own", Attributes={"VisibilityTimeout": "60"})["QueueUrl"]
assert sqs.create_queue(QueueName="own", Attributes={"VisibilityTimeout": "60"})["QueueUrl"] == own
assert sqs.create_queue(QueueName="own")["QueueUrl"] == own
refused(errors.QueueNameExists, lambda: sqs.create_queue(QueueName="own", Attributes={"VisibilityTimeout": "61"}))
refused("InvalidParameterValue", lambda: sqs.create_queue(QueueName="own.fifo"))
refused("InvalidParameterValue", lambda: sqs.create_queue(QueueName="a/b"))
refused(errors.InvalidAttributeName, lambda: sqs.create_queue(QueueName="x", Attributes={"Surprise": "1"}))
refused(errors.InvalidAttributeValue, lambda: sqs.create_queue(QueueName="x", Attributes={"VisibilityTimeout": "43201"}))
gone = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": dead_arn + "x", "maxReceiveCount": 1})}
refused("InvalidParameterValue", lambda: sqs.create_queue(QueueName="x", Attributes=gone))
missing = refused(errors.QueueDoesNotExist, lambda: sqs.get_queue_url(QueueName="missing"))
assert missing.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"
refused(errors.QueueDoesNotExist, lambda: receive(own + "x"))
refused(errors.UnsupportedOperation, lambda: sqs.list_dead_letter_source_queues(QueueUrl=dead))

# Send, receive, delete
assert receive(own) == []
attributes = {
    "text": {"DataType": "String", "StringValue": "ü"},
    "number": {"DataType": "Number.int", "StringValue": "-7.5e3"},
    "bytes": {"DataType": "Binary", "BinaryValue": bytes(range(256))},
    "pre.fix": {"DataType": "String.x", "StringValue": "y"},
}
trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}
body = 'one "quoted" \\ \n\t ü €  𝄞'
sent = sqs.send_message(QueueUrl=own, MessageBody=body, MessageAttributes=attributes, MessageSystemAttributes=trace)
assert sent["MD5OfMessageBody"] == hashlib.md5(body.encode()).hexdigest()
assert sent["MD5OfMessageAttributes"] == attributes_digest(attributes)
assert sent["MD5OfMessageSystemAttributes"] == attributes_digest(trace)
[message] = receive(own, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"])
assert (message["Body"], message["MessageId"]) == (body, sent["MessageId"])
assert message["MessageAttributes"] == attributes
assert message["MD5OfMessageAttributes"] == attributes_digest(attributes)
system = message["Attributes"]
assert set(system) == {"SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "AWSTraceHeader"}
assert system["ApproximateReceiveCount"] == "1"
assert abs(int(system["SentTimestamp"]) / 1000 - time.time()) < 60
assert int(system["SentTimestamp"]) <= int(system["ApproximateFirstReceiveTimestamp"])
assert counts(own) == (0, 1, 0)
assert receive(own) == []

# Visibility, and handles that change
sqs.change_message_visibility(QueueUrl=own, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
refused(errors.MessageNotInflight, lambda: sqs.change_message_visibility(QueueUrl=own, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=9))
[again] = receive(own, AttributeNames=["ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp"], MessageAttributeNames=["pre.*", "text"])
assert again["ReceiptHandle"] != message["ReceiptHandle"]
assert again["Attributes"] == {"ApproximateReceiveCount": "2", "ApproximateFirstReceiveTimestamp": system["ApproximateFirstReceiveTimestamp"]}
assert set(again["MessageAttributes"]) == {"pre.fix", "text"}
assert again["MD5OfMessageAttributes"] == attributes_digest(again["MessageAttributes"])
sqs.delete_message(QueueUrl=own, ReceiptHandle=message["ReceiptHandle"])
assert counts(own) == (0, 1, 0), "an old handle deletes nothing"
refused("InvalidParameterValue", lambda: sqs.change_message_visibility(QueueUrl=own, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=9))
refused("InvalidParameterValue", lambda: sqs.change_message_visibility(QueueUrl=own, ReceiptHandle=again["ReceiptHandle"], VisibilityTimeout=43201))
refused(errors.ReceiptHandleIsInvalid, lambda: sqs.delete_message(QueueUrl=own, ReceiptHandle="garbage"))
refused(errors.ReceiptHandleIsInvalid, lambda: sqs.delete_message(QueueUrl=dead, ReceiptHandle=again["ReceiptHandle"]))
sqs.delete_message(QueueUrl=own, ReceiptHandle=again["ReceiptHandle"])
sqs.delete_message(QueueUrl=own, ReceiptHandle=again["ReceiptHandle"])
assert counts(own) == (0, 0, 0)

# What a message may be
refused(errors.InvalidMessageContents, lambda: sqs.send_message(QueueUrl=own, MessageBody="a\x01b"))
refused(errors.InvalidMessageContents, lambda: sqs.send_message(QueueUrl=own, MessageBody="a\ufffeb"))
refused("MissingParameter", lambda: sqs.send_message(QueueUrl=own, MessageBody=""))
sqs.send_message(QueueUrl=own, MessageBody="x" * 1_048_576)
refused("InvalidParameterValue", lambda: sqs.send_message(QueueUrl=own, MessageBody="x" * 1_048_577))
full = {"a": {"DataType": "String", "StringValue": "b"}}
sqs.send_message(QueueUrl=own, MessageBody="x" * (1_048_576 - 8), MessageAttributes=full)
refused("InvalidParameterValue", lambda: sqs.send_message(QueueUrl=own, MessageBody="x" * (1_048_576 - 7), MessageAttributes=full))
for name, attribute in (("AWS.x", full["a"]), ("a..b", full["a"]), ("x", {"DataType": "Float", "StringValue": "1"}), ("x", {"DataType": "Number", "StringValue": "one"}), ("x", {"DataType": "String", "StringValue": ""})):
    refused("InvalidParameterValue", lambda: sqs.send_message(QueueUrl=own, MessageBody="x", MessageAttributes={name: attribute}))
refused("InvalidParameterValue", lambda: sqs.send_message(QueueUrl=own, MessageBody="x", MessageDeduplicationId="1"))

# Purge
sqs.purge_queue(QueueUrl=own)
assert counts(own) == (0, 0, 0)
refused(errors.PurgeQueueInProgress, lambda: sqs.purge_queue(QueueUrl=own))

# Batches
def batch(bodies, **more):
    return [{"Id": str(n), "MessageBody": body, **more} for n, body in enumerate(bodies)]


sent = sqs.send_message_batch(QueueUrl=own, Entries=batch(["a", "bad\x02", *"cdefghij"]))
assert [entry["Id"] for entry in sent["Successful"]] == list("023456789"), sent
assert [(entry["Id"], entry["Code"], entry["SenderFault"]) for entry in sent["Failed"]] == [("1", "InvalidMessageContents", True)]
messages = receive(own, 10)
assert [message["Body"] for message in messages] == list("acdefghij")
handles = [message["ReceiptHandle"] for message in messages]
changed = sqs.change_message_visibility_batch(
    QueueUrl=own,
    Entries=[
        {"Id": "good", "ReceiptHandle": handles[0], "VisibilityTimeout": 90},
        {"Id": "long", "ReceiptHandle": handles[1], "VisibilityTimeout": 43201},
        {"Id": "bad", "ReceiptHandle": "garbage", "VisibilityTimeout": 1},
    ],
)
assert [entry["Id"] for entry in changed["Successful"]] == ["good"]
assert [(entry["Id"], entry["Code"]) for entry in changed["Failed"]] == [("long", "InvalidParameterValue"), ("bad", "ReceiptHandleIsInvalid")]
deleted = sqs.delete_message_batch(
    QueueUrl=own, Entries=[{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate([*handles, "garbage"])]
)
assert [entry["Id"] for entry in deleted["Successful"]] == list("012345678")
assert [(entry["Id"], entry["Code"]) for entry in deleted["Failed"]] == [("9", "ReceiptHandleIsInvalid")]
assert counts(own) == (0, 0, 0)
refused(errors.EmptyBatchRequest, lambda: sqs.send_message_batch(QueueUrl=own, Entries=[]))
refused(errors.TooManyEntriesInBatchRequest, lambda: sqs.send_message_batch(QueueUrl=own, Entries=batch("abcdefghijk")))
refused(errors.BatchEntryIdsNotDistinct, lambda: sqs.delete_message_batch(QueueUrl=own, Entries=[{"Id": "1", "ReceiptHandle": "x"}] * 2))
refused(errors.InvalidBatchEntryId, lambda: sqs.send_message_batch(QueueUrl=own, Entries=[{"Id": "a.b", "MessageBody": "x"}]))
refused(errors.BatchRequestTooLong, lambda: sqs.send_message_batch(QueueUrl=own, Entries=batch(["x" * 600_000] * 2)))
refused("InvalidParameterValue", lambda: receive(own, 11))
refused("InvalidParameterValue", lambda: receive(own, 0))
refused("InvalidParameterValue", lambda: receive(own, WaitTimeSeconds=21))

# A long poll is woken by what arrives
def long_poll(into):
    into.extend(boto3.client("sqs", endpoint_url=given["endpoint"], config=config).receive_message(QueueUrl=own, WaitTimeSeconds=20).get("Messages", []))


started, woken = time.monotonic(), [[], []]
polls = [threading.Thread(target=long_poll, args=(into,)) for into in woken]
for poll in polls:
    poll.start()
for text in ("first", "second"):
    sqs.send_message(QueueUrl=own, MessageBody=text)
for poll in polls:
    poll.join()
assert sorted(message["Body"] for into in woken for message in into) == ["first", "second"]
assert time.monotonic() - started < 15, "nobody was woken"

# Delay
sqs.send_message(QueueUrl=own, MessageBody="later", DelaySeconds=900)
assert counts(own) == (0, 2, 1)

# Redrive after the fifth receive, with the time of sending kept
sent = sqs.send_message(QueueUrl=events, MessageBody="poison", MessageAttributes=full)
for attempt in range(1, 6):
    [message] = receive(events, VisibilityTimeout=0, AttributeNames=["All"])
    assert message["Attributes"]["ApproximateReceiveCount"] == str(attempt)
assert receive(events) == []
assert (counts(events), counts(dead)) == ((0, 0, 0), (1, 0, 0))
[letter] = receive(dead, AttributeNames=["All"], MessageAttributeNames=["All"])
assert (letter["Body"], letter["MessageId"], letter["MessageAttributes"]) == ("poison", sent["MessageId"], full)
assert letter["Attributes"]["SentTimestamp"] == message["Attributes"]["SentTimestamp"]
assert letter["Attributes"]["DeadLetterQueueSourceArn"].endswith(":events")
sqs.set_queue_attributes(QueueUrl=events, Attributes={"RedrivePolicy": "", "VisibilityTimeout": "7"})
left = sqs.get_queue_attributes(QueueUrl=events, AttributeNames=["RedrivePolicy", "VisibilityTimeout"])["Attributes"]
assert left == {"VisibilityTimeout": "7"}

sqs.delete_queue(QueueUrl=own)
refused(errors.QueueDoesNotExist, lambda: sqs.send_message(QueueUrl=own, MessageBody="x"))
