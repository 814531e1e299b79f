"""Makes calls in somebody's name and prints for each how it ended.

Input: url and ca of the account, credentials, and calls: [service, method, arguments]. Output: a list of "done",
"denied" or another error code.
"""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

given = json.load(sys.stdin)
session = boto3.Session(
    aws_access_key_id=given["credentials"]["AccessKeyId"],
    aws_secret_access_key=given["credentials"]["SecretAccessKey"],
    aws_session_token=given["credentials"]["SessionToken"],
)


def say_http(request, **_) -> None:
    request.headers["x-forwarded-proto"] = "http"


def call(service: str, method: str, arguments: dict) -> str:
    config = Config(retries={"total_max_attempts": 1})
    client = session.client(service, endpoint_url=given["url"], verify=given["ca"], config=config)
    if given.get("without_tls"):
        # What a proxy says that has taken the TLS off.
        client.meta.events.register("before-send", say_http)
    try:
        getattr(client, method)(**arguments)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return "denied" if code.startswith("AccessDenied") else code
    return "done"


print(json.dumps([call(*one) for one in given["calls"]]))
