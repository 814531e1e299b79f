"""Puts into the local lake with boto3 and checks that each error arrives as the error it is.

Reads {"endpoint", "channel", "account", "external_id"} from standard input; prints how many events it stored.
"""

import base64
import hashlib
import json
import sys
import urllib.error
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

given = json.load(sys.stdin)
client = boto3.client(
    "cloudtrail-data",
    endpoint_url=given["endpoint"],
    # botocore's own checks are off, so that the lake's are tested.
    config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
)
errors = client.exceptions
stored = 0


def event(**changes):
    data = {
        "version": "1.0",
        "userIdentity": {"type": "User", "principalId": "p"},
        "eventSource": "app.example.com",
        "eventName": "Do",
        "eventTime": "2026-11-20T10:11:12Z",
        "UID": "u",
        "recipientAccountId": given["account"],
    }
    data.update(changes)
    return json.dumps({key: value for key, value in data.items() if value is not None})


def put(entries, channel=given["channel"], **external):
    return client.put_audit_events(
        channelArn=channel, auditEvents=entries, **(external or {"externalId": given["external_id"]})
    )


def entry(data, id="1", **checksum):
    return {"id": id, "eventData": data, **checksum}


def admin(method, path, body=None):
    request = urllib.request.Request(given["endpoint"] + path, method=method, data=json.dumps(body).encode())
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def refused(expected, status, call):
    """`expected` is a modelled exception class, or the code of a common error."""
    try:
        call()
    except ClientError as error:
        code = expected if isinstance(expected, str) else expected.__name__
        assert error.response["Error"]["Code"] == code, error
        assert isinstance(expected, str) or isinstance(error, expected), error
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status, error.response
        assert error.response["Error"]["Message"], error.response
    else:
        raise AssertionError(f"{expected} did not come")


good = [entry(event())]
other = given["channel"][:-1] + "6"
refused(errors.InvalidChannelARN, 400, lambda: put(good, "arn:aws:cloudtrail:us-east-1:1:channel/x"))
refused(errors.ChannelNotFound, 400, lambda: put(good, other))
refused(errors.ChannelInsufficientPermission, 400, lambda: put(good, externalId="wrong"))
refused(errors.ChannelInsufficientPermission, 400, lambda: client.put_audit_events(channelArn=given["channel"], auditEvents=good))
refused(errors.DuplicatedAuditEventId, 400, lambda: put(good + good))
for code in ("ChannelUnsupportedSchema", "UnsupportedOperationException"):
    admin("PUT", "/lake/faults", {"refuse": code})
    refused(getattr(errors, code), 400, lambda: put(good))
for code, status in {"AccessDeniedException": 403, "NotAuthorized": 401, "InternalFailure": 500, "ServiceUnavailable": 503}.items():
    admin("PUT", "/lake/faults", {"refuse": code})
    refused(code, status, lambda: put(good))
admin("DELETE", "/lake/faults")
admin("PUT", "/lake/faults", {"throttle_per_second": 1})
put(good)
stored += 1
refused("ThrottlingException", 400, lambda: put(good))
admin("DELETE", "/lake/faults")

refused("ValidationError", 400, lambda: put([]))
refused("ValidationError", 400, lambda: put([entry(event(), id=str(n)) for n in range(101)]))
refused("ValidationError", 400, lambda: put([entry(event(), id="a.b")]))
refused("ValidationError", 400, lambda: put([entry(event(), id="")]))
refused("ValidationError", 400, lambda: put([entry(event(), id="a" * 129)]))
refused("ValidationError", 400, lambda: put(good, externalId="x"))
refused("ValidationError", 400, lambda: put(good, externalId="a b"))
refused("SerializationException", 400, lambda: put([{"id": "1"}]))
refused("RequestEntityTooLargeException", 413, lambda: put([entry("x" * 1_000_000)]))
try:
    urllib.request.urlopen(urllib.request.Request(given["endpoint"] + "/PutAuditEvents", data=b"{}"))
except urllib.error.HTTPError as error:
    assert error.code == 403 and error.headers["x-amzn-errortype"] == "MissingAuthenticationToken", error.headers
else:
    raise AssertionError("an unsigned put was answered")

data = event(UID="a \"quoted\" ü")
digest = base64.b64encode(hashlib.sha256(data.encode()).digest()).decode()
answer = put(
    [
        entry(data, "good", eventDataChecksum=digest),
        entry(data, "checksum", eventDataChecksum=digest[::-1]),
        entry(event(version=None), "missing"),
        entry(event(eventName=""), "empty"),
        entry(event(errorMessage="x" * 257), "long"),
        entry(event(requestParameters={"k": "x" * 100_000}), "parameters"),
        entry(event(additionalEventData={"k": "x" * 28_000}), "additional"),
        entry("no json", "json"),
        entry(event(eventTime="2026-11-20T10:11:12.000Z"), "time"),
        entry(event(sourceIPAddress="example.com"), "address"),
        entry(event(extra=1), "extra"),
        entry(event(recipientAccountId="999999999999"), "recipient"),
    ]
)
assert [entry["id"] for entry in answer["successful"]] == ["good"], answer
stored += 1
assert {failed["id"]: failed["errorCode"] for failed in answer["failed"]} == {
    "checksum": "InvalidChecksum",
    "missing": "FieldNotFound",
    "empty": "FieldNotFound",
    "long": "FieldTooLong",
    "parameters": "FieldTooLong",
    "additional": "FieldTooLong",
    "json": "InvalidData",
    "time": "InvalidData",
    "address": "InvalidData",
    "extra": "InvalidData",
    "recipient": "InvalidRecipient",
}, answer
for code in ("Throttling", "InternalFailure", "AccountNotSubscribed", "InvalidEventSource"):
    admin("PUT", "/lake/faults", {"fail_share": 1, "fail_code": code})
    assert put(good)["failed"][0]["errorCode"] == code
admin("DELETE", "/lake/faults")

# The answer against the service model that AWS publishes: members, types, lengths and patterns.
model = client.meta.service_model.operation_model("PutAuditEvents").output_shape
for name, entries in (("successful", answer["successful"]), ("failed", answer["failed"])):
    shape = model.members[name].member
    for one in entries:
        assert set(shape.required_members) <= set(one) <= set(shape.members), one
        for member, text in one.items():
            limits = shape.members[member].metadata
            assert limits.get("min", 0) <= len(text) <= limits.get("max", 10**9), (member, text)
print(stored)
