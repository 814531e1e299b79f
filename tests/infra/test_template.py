"""The CloudFormation templates are valid and least privilege, and the checks that say so find planted faults."""

import copy
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import yaml

import template


class Templates(unittest.TestCase):
    def setUp(self) -> None:
        self.templates = template.load()

    def test_cfn_lint_has_nothing_to_say(self) -> None:
        self.assertEqual((0, ""), cfn_lint(*sorted(template.FOLDER.glob("*.yaml"))))

    def test_cfn_lint_runs_and_finds_a_planted_fault(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            planted = Path(folder, "planted.yaml")
            text = (template.FOLDER / "service.yaml").read_text()
            planted.write_text(text.replace("StopTimeout: 45", "StopTimeout: soon"))
            status, report = cfn_lint(planted)
        self.assertNotEqual(0, status)
        self.assertIn("E3012", report)

    def test_the_templates_grant_and_keep_what_is_needed_and_no_more(self) -> None:
        self.assertEqual([], template.problems(self.templates))

    def test_every_planted_fault_is_found(self) -> None:
        for expected, plant in FAULTS.items():
            with self.subTest(expected):
                planted = copy.deepcopy(self.templates)
                plant(planted)
                found = template.problems(planted)
                self.assertTrue(any(expected in problem for problem in found), found)


class Contents(unittest.TestCase):
    """What stands as text within the templates."""

    def test_the_dashboard_is_one_and_leaves_no_gap_whatever_is_there(self) -> None:
        for queue in (True, False):
            for ledger in (True, False):
                with self.subTest(queue=queue, ledger=ledger):
                    widgets = json.loads(dashboard(queue, ledger))["widgets"]
                    self.assertEqual([], overlaps(widgets))
                    self.assertEqual(8 if ledger else 7, len(widgets))

    def test_the_collector_scrapes_the_port_of_the_worker_and_tells_workers_apart(self) -> None:
        containers = template.load()["service"]["Resources"]["TaskDefinition"]["Properties"]["ContainerDefinitions"]
        (port,) = containers[0]["PortMappings"]
        (variable,) = containers[1]["Fn::If"][1]["Environment"]
        text, _ = variable["Value"]["Fn::Sub"]
        config = yaml.safe_load(text.replace("${!", "${"))
        (job,) = config["receivers"]["prometheus"]["config"]["scrape_configs"]
        self.assertEqual([f"127.0.0.1:{port['ContainerPort']}"], job["static_configs"][0]["targets"])
        self.assertEqual("instance", job["relabel_configs"][0]["target_label"])
        pipeline = config["service"]["pipelines"]["metrics"]
        for part in ("receivers", "processors", "exporters"):
            self.assertEqual(pipeline[part], list(config[part]))
        self.assertEqual(config["service"]["extensions"], list(config["extensions"]))


class Rules(unittest.TestCase):
    """Which parameters go together: CloudFormation asks before it makes anything."""

    def broken(self, **given: str) -> list[str]:
        root = template.load()["tributary"]
        values = {name: str(about.get("Default", "")) for name, about in root["Parameters"].items()} | given
        return [
            name
            for name, rule in root["Rules"].items()
            if holds(rule.get("RuleCondition", True), values)
            and not all(holds(one["Assert"], values) for one in rule["Assertions"])
        ]

    def test_what_makes_sense_is_allowed(self) -> None:
        channel = {"ChannelArn": "arn:channel"}
        for given in (
            {},
            {"MinTasks": "2", "MaxTasks": "4"},
            {"MinTasks": "0", "MaxTasks": "0"},
            {"LedgerKind": "memory"},
            {"StreamArn": "arn:stream", "StreamConsumerArn": "arn:consumer", "MinTasks": "2", "MaxTasks": "2"},
        ):
            with self.subTest(given):
                self.assertEqual([], self.broken(**channel, **given))
        self.assertEqual([], self.broken(MakeLake="true"))

    def test_what_makes_none_is_refused(self) -> None:
        channel = {"ChannelArn": "arn:channel"}
        for rule, given in (
            ("OneLake", {}),
            ("OneLake", channel | {"MakeLake": "true"}),
            ("MemoryIsForOneWorker", channel | {"LedgerKind": "memory", "MaxTasks": "2"}),
            ("OnlyAQueueScales", channel | {"StreamArn": "arn:stream", "MaxTasks": "2"}),
            ("OnlyAQueueHearsOfObjects", channel | {"StreamArn": "arn:stream", "ObjectsBucket": "logs"}),
            ("ConsumersBelongToAStream", channel | {"StreamConsumerArn": "arn:consumer"}),
            ("NoneIsNoRange", channel | {"MinTasks": "0"}),
        ):
            with self.subTest(rule, given=given):
                self.assertEqual([rule], self.broken(**given))


def holds(value: object, given: dict[str, str]) -> object:
    """What a function of CloudFormation's gives, as far as rules have them."""
    if not isinstance(value, dict):
        return value
    ((name, about),) = value.items()
    if name == "Ref":
        return given[about]
    parts = [holds(one, given) for one in about]
    functions = {
        "Fn::Equals": lambda: parts[0] == parts[1],
        "Fn::Contains": lambda: parts[1] in parts[0],
        "Fn::Not": lambda: not parts[0],
        "Fn::And": lambda: all(parts),
        "Fn::Or": lambda: any(parts),
    }
    return functions[name]()


def dashboard(queue: bool, ledger: bool) -> str:
    """The body as CloudFormation would put it together; names stand for themselves."""
    properties = template.load()["dashboard"]["Resources"]["Dashboard"]["Properties"]
    body, parts = properties["DashboardBody"]["Fn::Sub"]
    for name, given in (("Source", queue), ("Ledger", ledger)):
        chosen = parts[name]["Fn::If"][1 if given else 2]
        text = chosen["Fn::Sub"] if isinstance(chosen, dict) else chosen
        body = body.replace("${%s}" % name, text if isinstance(text, str) else text[0])
    return body


def overlaps(widgets: list[dict]) -> list[str]:
    """Widgets that lie on each other or leave the grid of 24 columns."""
    found, taken = [], {}
    for widget in widgets:
        title = widget["properties"].get("title", "text")
        if widget["x"] + widget["width"] > 24:
            found.append(f"{title}: leaves the grid")
        for x in range(widget["x"], widget["x"] + widget["width"]):
            for y in range(widget["y"], widget["y"] + widget["height"]):
                if taken.setdefault((x, y), title) != title:
                    found.append(f"{title}: lies on {taken[x, y]}")
    return sorted(set(found))


def cfn_lint(*files: Path) -> tuple[int, str]:
    """Its exit status and report, with informational rules on."""
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--include-checks", "I", "--template", *map(str, files)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def storage(templates: dict, name: str) -> dict:
    return templates["storage"]["Resources"][name]


def root(templates: dict) -> dict:
    return templates["tributary"]["Resources"]


def service(templates: dict) -> dict:
    return templates["service"]["Resources"]["Service"]["Properties"]


def policy(templates: dict, name: str) -> list[dict]:
    """The statements of one of the worker's policies."""
    return templates["roles"]["Resources"][name]["Properties"]["PolicyDocument"]["Statement"]


def notifications(templates: dict) -> dict:
    policy = storage(templates, "SourceQueuePolicy")["Properties"]["PolicyDocument"]
    return policy["Statement"][1]["Fn::If"][1]


def ledger(templates: dict) -> dict:
    return storage(templates, "LedgerTable")["Properties"]


def container(templates: dict, number: int = 0) -> dict:
    definition = templates["service"]["Resources"]["TaskDefinition"]["Properties"]
    return template.either(definition["ContainerDefinitions"][number])[0]


def given(templates: dict, stack: str, root: str = "tributary") -> dict:
    """What the root gives to a nested stack."""
    return templates[root]["Resources"][stack]["Properties"]["Parameters"]


def trust(templates: dict) -> list:
    """Who can be the worker: a condition, pods, tasks."""
    return templates["roles"]["Resources"]["TaskRole"]["Properties"]["AssumeRolePolicyDocument"]["Fn::If"]


FAULTS = {
    "may sqs:* on SourceQueue": lambda t: policy(t, "ReceiveFromQueue")[0].update(Action="sqs:*"),
    "may sqs:SendMessage on *": lambda t: policy(t, "DeadLetter")[0].update(Resource="*"),
    "may sqs:SendMessage on SourceQueue": lambda t: given(t, "Roles").update(
        DeadLetterQueueArn={"Fn::GetAtt": ["Storage", "Outputs.SourceQueueArn"]}
    ),
    "may not cloudtrail-data:PutAuditEvents": lambda t: t["roles"]["Resources"].pop("Publish"),
    "may not kinesis:GetRecords on StreamArn": lambda t: policy(t, "ReceiveFromStream")[0]["Action"].pop(),
    "may dynamodb:Scan on LedgerTable": lambda t: policy(t, "Dedupe")[0]["Action"].append("dynamodb:Scan"),
    "may dynamodb:PartiQLInsert on *": lambda t: policy(t, "Dedupe")[0].update(Resource="*"),
    "may s3:PutObject on arn:aws:s3:::all/*": lambda t: policy(t, "Prove")[0].update(Resource="arn:aws:s3:::all/*"),
    "may s3:DeleteObject on arn:${AWS::Partition}:s3:::${ObjectsBucket}/*": lambda t: policy(t, "ReadObjects")[0][
        "Action"
    ].append("s3:DeleteObject"),
    "may not s3:ListBucket": lambda t: policy(t, "ReadObjects").pop(1),
    "has a policy that is not": lambda t: t["roles"]["Resources"]["TaskRole"]["Properties"].update(
        ManagedPolicyArns=["x"]
    ),
    "a worker in a pod may not sqs:SendMessage on DeadLetterQueue": lambda t: given(t, "Roles", "kubernetes").update(
        DeadLetterQueueArn={"Fn::GetAtt": ["Storage", "Outputs.SourceQueueArn"]}
    ),
    "any service account": lambda t: trust(t)[1].update({"Fn::Sub": trust(t)[1]["Fn::Sub"].replace(":sub", ":amr")}),
    "tasks of any account": lambda t: trust(t)[2]["Statement"][0].pop("Condition"),
    "a producer may sqs:ReceiveMessage": lambda t: storage(t, "ProducerPolicy")["Properties"]["PolicyDocument"][
        "Statement"
    ][0]["Fn::If"][1].update(Action=["sqs:SendMessage", "sqs:ReceiveMessage"]),
    "new customers cannot": lambda t: root(t)["Lake"].pop("Condition"),
    "makes a channel": lambda t: t["storage"]["Resources"].update(
        Channel=t["lake"]["Resources"]["Channel"] | {"DeletionPolicy": "Retain"}
    ),
    "EventDataStore is deleted": lambda t: t["lake"]["Resources"]["EventDataStore"].pop("DeletionPolicy"),
    "SourceQueue is deleted": lambda t: storage(t, "SourceQueue").update(DeletionPolicy="Delete"),
    "DeadLetterQueue is deleted": lambda t: storage(t, "DeadLetterQueue").pop("UpdateReplacePolicy"),
    "DeadLetterQueue is not encrypted": lambda t: storage(t, "DeadLetterQueue")["Properties"].pop("KmsMasterKeyId"),
    "DeadLetterQueue can be reached without TLS": lambda t: storage(t, "DeadLetterQueuePolicy")["Properties"][
        "PolicyDocument"
    ]["Statement"][0].update(Effect="Allow"),
    "does not redrive": lambda t: storage(t, "SourceQueue")["Properties"].pop("RedrivePolicy"),
    "could expire": lambda t: storage(t, "SourceQueue")["Properties"].update(MessageRetentionPeriod=1209600),
    "for anybody's bucket": lambda t: notifications(t)["Condition"].pop("StringEquals"),
    "open to others than S3": lambda t: notifications(t).update(Principal="*"),
    "the ledger is deleted with the stack": lambda t: storage(t, "LedgerTable").update(DeletionPolicy="Delete"),
    "the lease table is deleted with the stack": lambda t: storage(t, "LeaseTable").pop("DeletionPolicy"),
    "the ledger can be deleted by hand": lambda t: ledger(t).pop("DeletionProtectionEnabled"),
    "partition key is not": lambda t: ledger(t)["AttributeDefinitions"][0].update(AttributeType="B"),
    "the ledger keeps what it should forget": lambda t: ledger(t)["TimeToLiveSpecification"].update(
        AttributeName="expiry"
    ),
    "the lease table keeps": lambda t: storage(t, "LeaseTable")["Properties"].update(
        TimeToLiveSpecification={"AttributeName": "expires", "Enabled": True}
    ),
    "cannot be restored": lambda t: ledger(t).pop("PointInTimeRecoverySpecification"),
    "not paid by the request": lambda t: ledger(t).pop("BillingMode"),
    "not encrypted with the account's key": lambda t: ledger(t).pop("SSESpecification"),
    "several workers may run with a ledger in memory": lambda t: t["tributary"]["Rules"].pop("MemoryIsForOneWorker"),
    "side by side with a ledger in memory": lambda t: service(t)["DeploymentConfiguration"].update(MaximumPercent=200),
    "is not taken back": lambda t: service(t)["DeploymentConfiguration"]["DeploymentCircuitBreaker"].pop("Rollback"),
    "sets back the number": lambda t: service(t).update(DesiredCount={"Ref": "MinTasks"}),
    "does not get LedgerTableArn": lambda t: given(t, "Roles").pop("LedgerTableArn"),
    "does not know Typo": lambda t: given(t, "Alarms").update(Typo=""),
    "scaling is not nested": lambda t: root(t).pop("Scaling"),
    "TRIBUTARY_LEDGER_TABLE is not": lambda t: container(t)["Environment"].pop(7),
    "TRIBUTARY_PUBLISH_LOG_TO is not": lambda t: container(t)["Environment"].pop(),
    "TRIBUTARY_TYPO is set": lambda t: container(t)["Environment"].append({"Name": "TRIBUTARY_TYPO", "Value": ""}),
    "TRIBUTARY_SOURCE_QUEUE_URL is not": lambda t: given(t, "Service").update(
        SourceQueueUrl={"Fn::GetAtt": ["Storage", "Outputs.DeadLetterQueueUrl"]}
    ),
    "before it has drained": lambda t: container(t).update(StopTimeout=25),
    "holds up tributary": lambda t: container(t)["LogConfiguration"]["Options"].pop("mode"),
    "tributary can write to its root": lambda t: container(t).pop("ReadonlyRootFilesystem"),
    "collector can write to its root": lambda t: container(t, 1).pop("LinuxParameters"),
    "without collector the worker ends": lambda t: container(t, 1).update(Essential=True),
}
