"""The queries for users: valid Trino, within the documented columns, and right about a day of known events."""

import os
import re
import stat
import subprocess
import tempfile
import unittest
from pathlib import Path

import duckdb
import sqlglot
from lake import Store, mapped
from lake_events import ACTIVITY, AGAIN, AWS, INGESTED, RECORDS
from sqlglot import exp

QUERIES = Path(__file__).resolve().parents[2] / "queries"
FILES = {file.stem: file.read_text() for file in sorted(QUERIES.glob("*.sql"))}
DAY = ("2026-01-05 00:00:00", "2026-01-06 00:00:00")
# https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_StartQuery.html
STATEMENT_CHARS_MAX = 10_000

# The rows of each query for the day of `lake_events.py`: the first columns of each, or those named.
EXPECTED = {
    "console-login-without-mfa": (["eventTime", "principal", "address"], [("10:01", "AIDALICE", "203.0.113.7")]),
    "duplicate-uids": (["uid", "copies", "eventIDs"], [("snyk.io-org.edit-0", 2, "row-20, row-36")]),
    "event-by-uid": (
        ["eventID", "name", "request"],
        [("row-9", "PutBucketPolicy", {"bucketName": "audit", "policy": '{"Version": "1"}'})],
    ),
    "failed-logins-by-address": (
        ["address", "failures", "principals", "firstTime", "lastTime"],
        [("203.0.113.7", 2, 2, "10:04", "14:00"), ("198.51.100.2", 1, 1, "13:00", "13:00")],
    ),
    "ingestion-lag": (
        ["source", "events", "medianSeconds", "slowestSeconds"],
        [
            ("snyk.io", 13, 18 * 3600, 23 * 3600),
            ("signin.amazonaws.com", 4, 46_650, 46_740),
            ("s3.amazonaws.com", 4, 45_570, 46_200),
            ("kms.amazonaws.com", 1, 46_140, 46_140),
            ("ec2.amazonaws.com", 5, 44_400, 46_080),
            ("iam.amazonaws.com", 2, 44_400, 45_000),
            ("cloudformation.amazonaws.com", 1, 44_940, 44_940),
            ("autoscaling.amazonaws.com", 1, 44_880, 44_880),
            ("sts.amazonaws.com", 1, 43_740, 43_740),
            ("crowdstrike", 3, 10 * 3600, 11 * 3600),
            ("okta.system-log-events", 1, 9 * 3600, 9 * 3600),
        ],
    ),
    "latest-of-a-source": (
        ["eventTime", "name", "more"],
        [(f"{hour:02}:00", "org.edit", {"n": str(hour)}) for hour in range(11, 1, -1)],
    ),
    "moved-values": (
        ["eventTime", "uid", "moved", "principalIdFrom"],
        [
            ("10:11", "Decrypt-11", '{"sourceIPAddress":"lambda.amazonaws.com"}', None),
            ("10:10", "PutObject-10", '{"sourceIPAddress":"delivery.logs.amazonaws.com"}', "invokedBy"),
        ],
    ),
    "principals-across-sources": (
        ["principal", "sources", "names", "events"],
        [
            (
                "AIDALICE",
                7,
                "crowdstrike, ec2.amazonaws.com, iam.amazonaws.com, kms.amazonaws.com, s3.amazonaws.com, "
                "signin.amazonaws.com, sts.amazonaws.com",
                17,
            ),
            ("111122223333", 3, "autoscaling.amazonaws.com, cloudformation.amazonaws.com, iam.amazonaws.com", 3),
        ],
    ),
    "quiet-sources": (
        ["source", "events", "lastTime", "minutesQuiet"],
        [
            ("signin.amazonaws.com", 4, "10:04", 836),
            ("kms.amazonaws.com", 1, "10:11", 829),
            ("s3.amazonaws.com", 4, "10:22", 818),
            ("cloudformation.amazonaws.com", 1, "10:31", 809),
            ("autoscaling.amazonaws.com", 1, "10:32", 808),
            ("ec2.amazonaws.com", 5, "10:42", 798),
            ("iam.amazonaws.com", 2, "10:50", 790),
            ("sts.amazonaws.com", 1, "10:51", 789),
            ("snyk.io", 13, "11:00", 780),
            ("crowdstrike", 3, "13:00", 660),
            ("okta.system-log-events", 1, "14:00", 600),
        ],
    ),
    "role-grants": (
        ["eventTime", "name", "principal", "grantedTo", "granted"],
        [
            ("12:00", "grantUserRoles", "AIDALICE", "carol@example.com", "falcon_admin"),
            ("10:50", "AttachUserPolicy", "AIDALICE", "bob", "arn:aws:iam::aws:policy/X"),
        ],
    ),
    "root-activity": (
        ["eventTime", "name", "account", "address", "agent"],
        [("10:30", "CreateUser", "111122223333", "203.0.113.7", "console")],
    ),
    "s3-bucket-policy-changes": (
        ["eventTime", "name", "bucket"],
        [("10:22", "DeleteBucketLifecycle", "audit"), ("10:20", "PutBucketPolicy", "audit")],
    ),
    "security-group-changes": (
        ["eventTime", "name", "securityGroup"],
        [("10:41", "AuthorizeSecurityGroupIngress", "sg-1"), ("10:40", "CreateSecurityGroup", "web")],
    ),
    "unauthorised-calls": (
        ["eventTime", "name", "errorCode", "principal", "address"],
        [
            ("10:12", "RunInstances", "Client.UnauthorizedOperation", "AIDALICE", "203.0.113.7"),
            ("10:11", "Decrypt", "AccessDeniedException", "AIDALICE", "lambda.amazonaws.com"),
        ],
    ),
}


class Text(unittest.TestCase):
    def test_each_is_one_select_that_the_lake_takes(self) -> None:
        for name, text in FILES.items():
            with self.subTest(name):
                self.assertEqual([], complaints(text))

    def test_what_the_lake_does_not_take_is_found(self) -> None:
        query = "-- Who?\n-- Change: nothing.\nSELECT eventID FROM $EDS_ID WHERE eventTime >= '$FROM' AND eventTime < '$TO'"
        self.assertEqual([], complaints(query))
        for planted in [
            query.replace("-- Who?\n", ""),
            query + "; SELECT 1",
            query.replace("SELECT", "SELCT"),
            query.replace("$EDS_ID", "somewhere"),
            query.replace("eventID", "elemnt_at(eventID, 1)"),
            query.replace("$EDS_ID", "$EDS_ID FULL JOIN $AWS_EDS_ID ON true"),
            query + " AND eventTime > now() - INTERVAL '1' DAY",
            "-- Who?\n-- Change: nothing.\nDELETE FROM $EDS_ID",
            query + " -- " + "x" * STATEMENT_CHARS_MAX,
        ]:
            with self.subTest(planted[:90]):
                self.assertNotEqual([], complaints(planted))

    def test_the_page_has_a_row_for_each_file_with_its_question(self) -> None:
        page = (QUERIES / "README.md").read_text()
        rows = dict(re.findall(r"^\| \[([a-z0-9-]+)\.sql\]\(\1\.sql\) \| (.+?) \|$", page, re.MULTILINE))
        asked = {name: text.split("\n")[0].removeprefix("-- ") for name, text in FILES.items()}
        self.assertEqual(asked, rows)

    def test_the_command_of_the_page_sends_the_statement_with_nothing_left_to_fill_in(self) -> None:
        page = (QUERIES / "README.md").read_text()
        (command,) = re.findall(r"```sh\n(EDS_ID=.*?)```", page, re.DOTALL)
        with tempfile.TemporaryDirectory() as folder:
            aws = Path(folder) / "aws"
            aws.write_text('#!/bin/sh\nprintf "%s" "$4"\n')
            aws.chmod(aws.stat().st_mode | stat.S_IXUSR)
            environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
            ran = subprocess.run(["sh", "-euc", command], cwd=QUERIES.parent, env=environment,
                                 capture_output=True, text=True, check=True)
        self.assertTrue(ran.stdout.startswith("SELECT"), ran.stdout)
        self.assertIsInstance(sqlglot.parse_one(re.sub(r"FROM [0-9a-f-]{36}", "FROM eds", ran.stdout), read="trino"),
                              exp.Select)
        for name in ("$EDS_ID", "$AWS_EDS_ID", "$FROM", "$TO"):
            self.assertNotIn(name, ran.stdout)


class Answers(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.store = Store()
        for event_data in mapped([*RECORDS, *ACTIVITY, AGAIN]):
            cls.store.add(event_data, INGESTED)
        for row in AWS:
            cls.store.add_aws(**row)

    def ask(self, text: str, since: str, until: str) -> tuple[list[str], list[tuple]]:
        """Column names, as DuckDB writes them, and rows."""
        statement = sqlglot.transpile(filled(text, since, until), read="trino", write="duckdb")[0]
        answer = self.store.database.execute(statement)
        return [column[0].lower() for column in answer.description], answer.fetchall()

    def test_every_query_gives_the_rows_of_that_day(self) -> None:
        for name, text in FILES.items():
            if name in COUNTED:
                continue
            with self.subTest(name):
                columns, expected = EXPECTED[name]
                names, rows = self.ask(text, *DAY)
                picked = [tuple(shown(row[names.index(column.lower())]) for column in columns) for row in rows]
                self.assertEqual(expected, picked)

    def test_the_hours_of_a_source_add_up_to_its_events(self) -> None:
        _, rows = self.ask(FILES["events-by-source-and-hour"], *DAY)
        by_source = {}
        for _, source, events, errors in rows:
            known = by_source.get(source, (0, 0, 0))
            by_source[source] = (known[0] + 1, known[1] + events, known[2] + errors)
        self.assertEqual((12, 13, 0), by_source["snyk.io"])
        self.assertEqual((1, 5, 2), by_source["ec2.amazonaws.com"])
        self.assertEqual((2, 3, 1), by_source["crowdstrike"])

    def test_a_timeline_has_what_happened_in_both_stores_in_order(self) -> None:
        names, rows = self.ask(FILES["timeline-of-an-address"], *DAY)
        self.assertEqual(["eventtime", "source", "name", "principal", "errorcode"], names)
        self.assertEqual((9, "StopInstances"), (rows[0][0].hour, rows[0][2]))
        self.assertEqual((14, "user.session.start"), (rows[-1][0].hour, rows[-1][2]))
        self.assertEqual(sorted(rows, key=lambda row: row[:3]), rows)
        # All records but two that services sent, one event each of AWS, Falcon and Okta.
        self.assertEqual(len(RECORDS) - 2 + 3, len(rows))

    def test_no_query_looks_outside_of_the_time_it_is_given(self) -> None:
        for name, text in FILES.items():
            for since, until in [("2025-01-01 00:00:00", DAY[0]), (DAY[1], "2027-01-01 00:00:00")]:
                with self.subTest(name, since=since):
                    self.assertEqual([], self.ask(text, since, until)[1])

    def test_a_column_that_does_not_exist_is_found_wherever_it_stands(self) -> None:
        for right, wrong in [
            ("eventTime", "eventTimes"),
            ("eventData.eventName", "eventData.eventNmae"),
            ("eventData.userIdentity.principalId", "eventData.userIdentity.principal"),
            ("eventData.eventSource", "eventSource"),
        ]:
            text = FILES["latest-of-a-source"]
            self.assertIn(right, text)
            with self.subTest(wrong), self.assertRaises(duckdb.BinderException):
                self.ask(text.replace(right, wrong), *DAY)


COUNTED = {"events-by-source-and-hour", "timeline-of-an-address"}


def filled(text: str, since: str, until: str) -> str:
    """The statement with everything filled in."""
    for name, value in [("$AWS_EDS_ID", "aws_eds"), ("$EDS_ID", "eds"), ("$FROM", since), ("$TO", until)]:
        text = text.replace(name, value)
    return text.replace("d44c481f-edb8-4aa6-91a3-5679baa2871f", "PutBucketPolicy-20")


def complaints(text: str) -> list[str]:
    """What AWS's rules for statements, and ours for these files, have against one."""
    found = []
    if not re.match(r"-- [A-Z][^\n]+\?\n-- Change: [^\n]+\n(-- [^\n]+\n)*[A-Z]", text):
        found.append("it does not begin with its question and what to change")
    if len(text) > STATEMENT_CHARS_MAX:
        found.append("it is longer than a statement may be")
    try:
        statements = sqlglot.parse(filled(text, *DAY), read="trino")
    except sqlglot.errors.ParseError as error:
        return [*found, f"it is no SQL: {error}"]
    if len(statements) != 1 or not isinstance(statements[0], (exp.Select, exp.Union)):
        return [*found, "it is not one SELECT"]
    (statement,) = statements
    for table in statement.find_all(exp.Table):
        if table.name not in {"eds", "aws_eds"}:
            found.append(f"there is no table {table.name}")
    # https://docs.aws.amazon.com/awscloudtrail/latest/userguide/query-limitations.html lists these joins alone.
    for join in statement.find_all(exp.Join):
        if join.side not in {"", "LEFT", "RIGHT"} or join.kind not in {"", "INNER", "OUTER"}:
            found.append(f"there is no {join.side} {join.kind} JOIN")
    if statement.find(exp.Interval):
        found.append("INTERVAL was not allowed for years, and nothing needs it")
    found += [f"there is no function {function.name}" for function in statement.find_all(exp.Anonymous)]
    return found


def shown(value: object) -> object:
    """A time as hours and minutes, a map as a dictionary, anything else as it is."""
    if hasattr(value, "strftime"):
        return value.strftime("%H:%M")
    return value
