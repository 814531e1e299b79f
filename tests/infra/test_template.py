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
            planted.write_text(FILE.read_text().replace("MaximumPercent: 100", "MaximumPercent: many"))
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


def cfn_lint(file: Path) -> tuple[int, str]:
    """Its exit status and report, with informational rules on and none ignored."""
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--include-checks", "I", "--template", str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def worker(resources: dict) -> list[dict]:
    return resources["TaskRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]


def container(resources: dict) -> dict:
    return resources["TaskDefinition"]["Properties"]["ContainerDefinitions"][0]
