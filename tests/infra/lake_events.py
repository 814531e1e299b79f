"""One day's events for the queries: each is there because some query must show it, or must not."""

from typing import Any

USER = {"type": "IAMUser", "principalId": "AIDALICE", "arn": "arn:aws:iam::111122223333:user/alice"}
ROOT = {"type": "Root", "principalId": "111122223333", "accountId": "111122223333"}
SERVICE = {"type": "AWSService", "invokedBy": "delivery.logs.amazonaws.com"}
INGESTED = "2026-01-05T23:00:00"


def record(minute: int, source: str, name: str, **members: Any) -> dict[str, Any]:
    """A native CloudTrail record of 10 o'clock and so many minutes; its eventID is made of name and minute."""
    return {
        "eventVersion": "1.11",
        "eventTime": f"2026-01-05T10:{minute:02}:00Z",
        "eventSource": f"{source}.amazonaws.com",
        "eventName": name,
        "eventID": f"{name}-{minute}",
        "eventType": "AwsApiCall",
        "userIdentity": USER,
        "sourceIPAddress": "203.0.113.7",
        "recipientAccountId": "111122223333",
    } | members


def sign_in(minute: int, ends: str, **more: str) -> dict[str, Any]:
    ended = {"responseElements": {"ConsoleLogin": ends}, "additionalEventData": more}
    return record(minute, "signin", "ConsoleLogin", eventType="AwsConsoleSignIn", **ended)


def activity(hour: int, source: str, name: str, principal: str, **members: Any) -> dict[str, Any]:
    """An event in the integration schema."""
    kind, details = members.pop("kind", "User"), members.pop("details", {})
    return {
        "version": "1",
        "userIdentity": {"type": kind, "principalId": principal, "details": details},
        "eventSource": source,
        "eventName": name,
        "eventTime": f"2026-01-05T{hour:02}:00:00Z",
        "UID": f"{source}-{name}-{hour}",
    } | members


GRANTED = {"target_name": "carol@example.com", "roles": "falcon_admin"}
RECORDS = [
    sign_in(1, "Success", MFAUsed="No"),
    sign_in(2, "Success", MFAUsed="Yes"),
    sign_in(3, "Success", MFAUsed="No", SamlProviderArn="arn:aws:iam::111122223333:saml-provider/idp"),
    sign_in(4, "Failure", MFAUsed="No"),
    record(10, "s3", "PutObject", errorCode="AccessDenied", userIdentity=SERVICE,
           sourceIPAddress="delivery.logs.amazonaws.com"),
    record(11, "kms", "Decrypt", errorCode="AccessDeniedException", sourceIPAddress="lambda.amazonaws.com"),
    record(12, "ec2", "RunInstances", errorCode="Client.UnauthorizedOperation"),
    record(13, "ec2", "RunInstances", errorCode="Client.InvalidParameterValue"),
    record(20, "s3", "PutBucketPolicy", requestParameters={"bucketName": "audit", "policy": {"Version": "1"}}),
    record(21, "s3", "GetBucketPolicy", requestParameters={"bucketName": "audit"}),
    record(22, "s3", "DeleteBucketLifecycle", requestParameters={"bucketName": "audit"}),
    record(30, "iam", "CreateUser", userIdentity=ROOT, userAgent="console"),
    record(31, "cloudformation", "CreateStack", userIdentity=ROOT | {"invokedBy": "AWS Internal"}),
    record(32, "autoscaling", "Launch", userIdentity=ROOT, eventType="AwsServiceEvent"),
    record(40, "ec2", "CreateSecurityGroup", requestParameters={"groupName": "web"}),
    record(41, "ec2", "AuthorizeSecurityGroupIngress", requestParameters={"groupId": "sg-1"}),
    record(42, "ec2", "DescribeSecurityGroups"),
    record(50, "iam", "AttachUserPolicy", requestParameters={"userName": "bob", "policyArn": "arn:aws:iam::aws:policy/X"}),
    record(51, "sts", "AssumeRole", requestParameters={"roleArn": "arn:aws:iam::111122223333:role/reader"}),
]
ACTIVITY = [
    *(activity(hour, "snyk.io", "org.edit", "snyk-user", additionalEventData={"n": hour}) for hour in range(12)),
    activity(12, "crowdstrike", "grantUserRoles", "AIDALICE", details=GRANTED, sourceIPAddress="203.0.113.7"),
    activity(13, "crowdstrike", "userAuthenticate", "dave@example.com", errorCode="failed", sourceIPAddress="198.51.100.2"),
    activity(13, "crowdstrike", "twoFactorAuthenticate", "dave@example.com", sourceIPAddress="198.51.100.2"),
    activity(14, "okta.system-log-events", "user.session.start", "erin@example.com", errorCode="INVALID_CREDENTIALS",
             sourceIPAddress="203.0.113.7"),
]
# It came a second time, and the lake did not notice.
AGAIN = ACTIVITY[0]
AWS = [
    {"eventid": "aws-1", "eventtime": "2026-01-05 09:00:00", "eventsource": "ec2.amazonaws.com",
     "eventname": "StopInstances", "sourceipaddress": "203.0.113.7", "errorcode": None,
     "useridentity": {"type": "IAMUser", "principalid": "AIDALICE", "arn": USER["arn"], "accountid": "111122223333"}},
    {"eventid": "aws-2", "eventtime": "2026-01-05 09:30:00", "eventsource": "ec2.amazonaws.com",
     "eventname": "StopInstances", "sourceipaddress": "198.51.100.9", "errorcode": None,
     "useridentity": {"type": "IAMUser", "principalid": "AIDAFRANK", "arn": "arn:frank", "accountid": "111122223333"}},
]
