"""The CloudFormation template is valid and least privilege, and the checks that say so find planted faults."""

import copy
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from cfnlint.decode import decode

import template

FILE = Path(__file__).resolve().parents[2] / "infra/tributary.yaml"


class Template(unittest.TestCase):
    def setUp(self) -> None:
        self.template, errors = decode(str(FILE))
        self.assertEqual([], errors)

    def test_cfn_lint_has_nothing_to_say(self) -> None:
        self.assertEqual((0, ""), cfn_lint(FILE))

    def test_cfn_lint_runs_and_finds_a_planted_fault(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            planted = Path(folder, "planted.yaml")
            planted.write_text(FILE.read_text().replace("StopTimeout: 45", "StopTimeout: soon"))
            status, report = cfn_lint(planted)
        self.assertNotEqual(0, status)
        self.assertIn("E3012", report)

    def test_the_template_grants_and_keeps_what_is_needed_and_no_more(self) -> None:
        self.assertEqual([], template.problems(self.template))

    def test_every_planted_fault_is_found(self) -> None:
        faults = {
            "may sqs:* on SourceQueue": lambda r: worker(r)[0].update(Action="sqs:*"),
            "may sqs:SendMessage on *": lambda r: worker(r)[1].update(Resource="*"),
            "may not cloudtrail-data:PutAuditEvents": lambda r: worker(r).pop(2),
            "has a managed policy": lambda r: r["TaskRole"]["Properties"].update(ManagedPolicyArns=["x"]),
            "a producer may sqs:ReceiveMessage": lambda r: r["ProducerPolicy"]["Properties"]["PolicyDocument"][
                "Statement"
            ][0].update(Action=["sqs:SendMessage", "sqs:ReceiveMessage"]),
            "new customers cannot": lambda r: r.update(Channel={"Type": "AWS::CloudTrail::Channel"}),
            "SourceQueue is deleted": lambda r: r["SourceQueue"].update(DeletionPolicy="Delete"),
            "DeadLetterQueue is deleted": lambda r: r["DeadLetterQueue"].pop("UpdateReplacePolicy"),
            "DeadLetterQueue is not encrypted": lambda r: r["DeadLetterQueue"]["Properties"].pop("KmsMasterKeyId"),
            "does not redrive": lambda r: r["SourceQueue"]["Properties"].pop("RedrivePolicy"),
            "could expire": lambda r: r["SourceQueue"]["Properties"].update(MessageRetentionPeriod=1209600),
            "may dynamodb:Scan on LedgerTable": lambda r: worker(r)[3]["Fn::If"][1]["Action"].append("dynamodb:Scan"),
            "may dynamodb:PartiQLInsert on *": lambda r: worker(r)[3]["Fn::If"][1].update(Resource="*"),
            "may s3:PutObject on arn:aws:s3:::all/*": lambda r: worker(r)[4]["Fn::If"][1].update(
                Resource="arn:aws:s3:::all/*"
            ),
            "may s3:DeleteObject on arn:${AWS::Partition}:s3:::${ObjectsBucket}/*": lambda r: worker(r)[6]["Fn::If"][1][
                "Action"
            ].append("s3:DeleteObject"),
            "may not s3:ListBucket": lambda r: worker(r).pop(7),
            "for anybody's bucket": lambda r: notifications(r)["Condition"].pop("StringEquals"),
            "open to others than S3": lambda r: notifications(r).update(Principal="*"),
            "the ledger is deleted with the stack": lambda r: r["LedgerTable"].update(DeletionPolicy="Delete"),
            "the ledger can be deleted by hand": lambda r: ledger(r).pop("DeletionProtectionEnabled"),
            "partition key is not": lambda r: ledger(r)["AttributeDefinitions"][0].update(AttributeType="B"),
            "keeps ids for ever": lambda r: ledger(r)["TimeToLiveSpecification"].update(AttributeName="expiry"),
            "not paid by the request": lambda r: ledger(r).pop("BillingMode"),
            "not encrypted with the account's key": lambda r: ledger(r).pop("SSESpecification"),
            "side by side with a ledger in memory": lambda r: r["Service"]["Properties"][
                "DeploymentConfiguration"
            ].update(MaximumPercent=200),
            "TRIBUTARY_LEDGER_TABLE is not": lambda r: container(r)["Environment"].pop(5),
            "TRIBUTARY_PUBLISH_LOG_TO is not": lambda r: container(r)["Environment"].pop(),
            "before it has drained": lambda r: container(r).update(StopTimeout=25),
            "root file system": lambda r: container(r).pop("ReadonlyRootFilesystem"),
            "TRIBUTARY_SOURCE_QUEUE_URL is not": lambda r: container(r)["Environment"][0].update(
                Value={"Ref": "DeadLetterQueue"}
            ),
        }
        for expected, plant in faults.items():
            with self.subTest(expected):
                planted = copy.deepcopy(self.template)
                plant(planted["Resources"])
                found = template.problems(planted)
                self.assertTrue(any(expected in problem for problem in found), found)


    def test_a_ledger_in_memory_for_several_workers_is_found(self) -> None:
        expected = "several workers may run with a ledger in memory"
        for plant in (
            lambda rules: rules.clear(),
            lambda rules: rules["MemoryIsForOneWorker"]["Assertions"][0]["Assert"]["Fn::Contains"][0].append("2"),
        ):
            planted = copy.deepcopy(self.template)
            plant(planted["Rules"])
            self.assertEqual([expected], template.problems(planted))


def cfn_lint(file: Path) -> tuple[int, str]:
    """Its exit status and report, with informational rules on and none ignored."""
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--include-checks", "I", "--template", str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def worker(resources: dict) -> list[dict]:
    return resources["TaskRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]


def notifications(resources: dict) -> dict:
    return resources["QueuePolicy"]["Properties"]["PolicyDocument"]["Statement"][1]["Fn::If"][1]


def ledger(resources: dict) -> dict:
    return resources["LedgerTable"]["Properties"]


def container(resources: dict) -> dict:
    return resources["TaskDefinition"]["Properties"]["ContainerDefinitions"][0]
