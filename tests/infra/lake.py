"""What an event data store holds, in DuckDB: its columns as AWS documents them, and rows as Tributary's events become.

Where the columns are written down, and how nested JSON is stored in a map:
<https://docs.aws.amazon.com/awscloudtrail/latest/userguide/query-supported-event-schemas.html>
"""

import json
import os
import subprocess
from typing import Any

import duckdb
from sqlglot import exp

ACCOUNT = "111122223333"
CHANNEL = f"arn:aws:cloudtrail:eu-west-1:{ACCOUNT}:channel/1a2b3c4d-0000-4000-8000-000000000000"

# Activity from outside of AWS. AWS writes "errormssage" on that page and "errorMessage" on the one of the integration
# schema; no query may depend on which of them is true, so neither is here.
INTEGRATION = {
    "eventversion": "string",
    "eventcategory": "string",
    "eventtype": "string",
    "eventid": "string",
    "eventtime": "timestamp",
    "awsregion": "string",
    "recipientaccountid": "string",
    "addendum": "struct<reason:string,updatedfields:string,originaluid:string,originaleventid:string>",
    "metadata": "struct<ingestiontime:string,channelarn:string>",
    "eventdata": "struct<version:string,"
    "useridentity:struct<type:string,principalid:string,details:map<string,string>>,"
    "useragent:string,eventsource:string,eventname:string,eventtime:string,uid:string,"
    "requestparameters:map<string,string>,responseelements:map<string,string>,errorcode:string,"
    "sourceipaddress:string,recipientaccountid:string,additionaleventdata:map<string,string>>",
}
# CloudTrail's own events: the columns that are asked for.
AWS = {
    "eventid": "string",
    "eventtime": "timestamp",
    "eventsource": "string",
    "eventname": "string",
    "sourceipaddress": "string",
    "errorcode": "string",
    "useridentity": "struct<type:string,principalid:string,arn:string,accountid:string>",
}


class Store:
    """Two event data stores. Names of columns and of a struct's fields are the same in any case, as in Trino."""

    def __init__(self) -> None:
        self.database = duckdb.connect()
        for table, columns in (("eds", INTEGRATION), ("aws_eds", AWS)):
            listed = ", ".join(f"{name} {duckdb_type(text)}" for name, text in columns.items())
            self.database.execute(f"CREATE TABLE {table} ({listed})")

    def add(self, event_data: dict[str, Any], ingested: str) -> None:
        """One row of `eds`: event data as it is sent, with what CloudTrail adds."""
        (known,) = self.database.execute("SELECT count(*) FROM eds").fetchone()
        self._insert(
            "eds",
            {
                "eventversion": "1.0",
                "eventcategory": "ActivityAuditLog",
                "eventtype": "ActivityLog",
                "eventid": f"row-{known + 1}",
                "eventtime": event_data["eventTime"].removesuffix("Z"),
                "awsregion": "eu-west-1",
                "recipientaccountid": ACCOUNT,
                "metadata": {"ingestiontime": ingested, "channelarn": CHANNEL},
                "eventdata": lowered(event_data),
            },
            INTEGRATION,
        )

    def add_aws(self, **columns: Any) -> None:
        """One row of `aws_eds`."""
        self._insert("aws_eds", columns, AWS)

    def _insert(self, table: str, row: dict[str, Any], columns: dict[str, str]) -> None:
        values = [stored(row.get(name), exp.DataType.build(text, dialect="hive")) for name, text in columns.items()]
        typed = ", ".join(f"CAST(? AS {duckdb_type(text)})" for text in columns.values())
        self.database.execute(f"INSERT INTO {table} VALUES ({typed})", values)


def duckdb_type(text: str) -> str:
    return exp.DataType.build(text, dialect="hive").sql("duckdb")


def stored(value: Any, kind: exp.DataType) -> Any:
    """A value as a column of this type holds it: all fields of a struct, and text in a map."""
    if value is None:
        return None
    if kind.is_type(exp.DataType.Type.STRUCT):
        return {field.name: stored(value.get(field.name), field.args["kind"]) for field in kind.expressions}
    if kind.is_type(exp.DataType.Type.MAP):
        texts = [item if isinstance(item, str) else json.dumps(item) for item in value.values()]
        return {"key": list(value), "value": texts}
    return value


def lowered(event_data: dict[str, Any]) -> dict[str, Any]:
    """Names of fields as columns have them; what stands in a map keeps its own."""
    identity = {name.lower(): value for name, value in event_data["userIdentity"].items()}
    return {name.lower(): value for name, value in event_data.items()} | {"useridentity": identity}


def mapped(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The event data that Tributary would send for each of these events: its own answer, not ours."""
    explain = [os.environ["TRIBUTARY"], "explain", "-", "--json", "--account", ACCOUNT]
    ran = subprocess.run(explain, input=json.dumps(events), capture_output=True, text=True, check=False)
    answers = json.loads(ran.stdout)
    for answer in answers:
        if answer["verdict"] != "publish":
            raise AssertionError(f"the fixture has an event that is not published: {answer}")
    return [answer["event_data"] for answer in answers]
