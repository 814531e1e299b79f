"""The Terraform module is HCL, and says the same as the CloudFormation templates, which are tried for real.

No Terraform is to be had where these tests run. So what matters is compared: rights, queues, tables, the container, its
environment, scaling and alarms.
"""

import re
import unittest
from pathlib import Path

import hcl2

import template

FOLDER = Path(__file__).resolve().parents[2] / "infra/terraform"
# What Terraform calls the places of the templates.
PLACES = {
    "aws_sqs_queue.source[0].arn": "SourceQueue",
    "aws_sqs_queue.dead_letters.arn": "DeadLetterQueue",
    "aws_dynamodb_table.ledger[0].arn": "LedgerTable",
    "aws_dynamodb_table.leases[0].arn": "LeaseTable",
    "var.channel_arn": "Channel or ChannelArn",
    "var.stream_arn": "StreamArn",
    "var.stream_consumer_arn": "StreamConsumerArn",
    "var.stream_kms_key_arn": "StreamKmsKeyArn",
    "var.objects_kms_key_arn": "ObjectsKmsKeyArn",
    "var.kms_key_arn": "KmsKeyArn",
}
BUCKETS = {
    "${local.partition}": "${AWS::Partition}",
    "${var.overflow_bucket}": "${OverflowBucket}",
    "${var.overflow_prefix}": "${OverflowPrefix}",
    "${var.objects_bucket}": "${ObjectsBucket}",
    "${var.publish_log_bucket}": "${PublishLogBucket}",
    "${var.publish_log_prefix}": "${PublishLogPrefix}",
}
POLICIES = {"receive_from_queue", "receive_from_stream", "read_objects", "dedupe", "publish", "dead_letter", "prove"}
# Said in the module's page: the collector beside the worker is not part of it.
LEFT_OUT = {("aps:RemoteWrite", "PrometheusWorkspaceArn")}


def plain(value: object) -> object:
    """Without the quotes and marks that the parser keeps."""
    if isinstance(value, dict):
        return {plain(key): plain(one) for key, one in value.items() if not str(key).startswith("__")}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


def load() -> dict[str, dict]:
    """Everything of the module: blocks by type and name, locals and variables."""
    found: dict[str, dict] = {"resource": {}, "data": {}, "locals": {}, "variable": {}, "output": {}}
    for file in sorted(FOLDER.glob("*.tf")):
        with file.open() as text:
            parsed = plain(hcl2.load(text))
        for kind, into in found.items():
            for block in parsed.get(kind, []):
                for name, inner in block.items():
                    into.setdefault(name, {}).update(inner) if isinstance(inner, dict) else into.update({name: inner})
    return found


def statements(document: dict) -> list[dict]:
    dynamic = [block["statement"]["content"][0] for block in document.get("dynamic", [])]
    return document.get("statement", []) + dynamic


def place(resource: str) -> str:
    inner = re.fullmatch(r"\$\{(.+)\}", resource)
    if inner and inner.group(1) in PLACES:
        return PLACES[inner.group(1)]
    for name, other in BUCKETS.items():
        resource = resource.replace(name, other)
    return resource


def grants(document: dict) -> set[tuple[str, str]]:
    return {
        (action, place(resource))
        for statement in statements(document)
        for action in statement["actions"]
        for resource in statement["resources"]
    }


class Module(unittest.TestCase):
    def setUp(self) -> None:
        self.module = load()
        self.documents = self.module["data"]["aws_iam_policy_document"]
        self.templates = template.load()

    def test_the_worker_may_do_the_same(self) -> None:
        granted = set().union(*(grants(self.documents[name]) for name in POLICIES))
        self.assertEqual(template.WORKER_GRANTS - LEFT_OUT, granted)
        attached = str(self.module["resource"]["aws_iam_role_policy"]["task"]["for_each"])
        self.assertEqual(POLICIES, set(re.findall(r"aws_iam_policy_document\.(\w+)", attached)))

    def test_a_right_more_is_found(self) -> None:
        self.documents["publish"]["statement"][0]["actions"].append("cloudtrail:DeleteChannel")
        granted = set().union(*(grants(self.documents[name]) for name in POLICIES))
        self.assertNotEqual(template.WORKER_GRANTS - LEFT_OUT, granted)

    def test_a_producer_may_do_the_same(self) -> None:
        self.assertEqual(template.PRODUCER_GRANTS, grants(self.documents["producer"]))

    def test_only_tasks_of_this_account_are_the_worker(self) -> None:
        (statement,) = self.documents["trust"]["statement"]
        self.assertEqual(["ecs-tasks.amazonaws.com"], statement["principals"][0]["identifiers"])
        asked = {(one["test"], one["variable"]) for one in statement["condition"]}
        self.assertEqual({("StringEquals", "aws:SourceAccount"), ("ArnLike", "aws:SourceArn")}, asked)

    def test_queues_are_the_same(self) -> None:
        storage = self.templates["storage"]["Resources"]
        names = {
            "message_retention_seconds": "MessageRetentionPeriod",
            "max_message_size": "MaximumMessageSize",
            "receive_wait_time_seconds": "ReceiveMessageWaitTimeSeconds",
        }
        for ours, theirs in (("source", "SourceQueue"), ("dead_letters", "DeadLetterQueue")):
            queue, other = self.module["resource"]["aws_sqs_queue"][ours], storage[theirs]["Properties"]
            for name, property_name in names.items():
                self.assertEqual(other.get(property_name), queue.get(name), f"{ours}: {name}")
            self.assertIs(True, queue["lifecycle"][0]["prevent_destroy"])
            (denied, *_) = self.documents["source_queue" if ours == "source" else "dead_letter_queue"]["statement"]
            self.assertEqual(("Deny", "aws:SecureTransport"), (denied["effect"], denied["condition"][0]["variable"]))
        redrive = self.module["resource"]["aws_sqs_queue"]["source"]["redrive_policy"]
        self.assertIn("aws_sqs_queue.dead_letters.arn", redrive)
        self.assertRegex(redrive, r"maxReceiveCount\W+%d\b" % storage["SourceQueue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"])

    def test_tables_are_the_same(self) -> None:
        storage = self.templates["storage"]["Resources"]
        for ours, theirs in (("ledger", "LedgerTable"), ("leases", "LeaseTable")):
            table, other = self.module["resource"]["aws_dynamodb_table"][ours], storage[theirs]["Properties"]
            self.assertEqual(other["KeySchema"][0]["AttributeName"], table["hash_key"])
            self.assertEqual([{"name": table["hash_key"], "type": "S"}], table["attribute"])
            self.assertEqual((other["BillingMode"], True), (table["billing_mode"], table["deletion_protection_enabled"]))
            expires = other.get("TimeToLiveSpecification", {}).get("AttributeName")
            self.assertEqual(expires, table.get("ttl", [{}])[0].get("attribute_name"))
            self.assertIs(True, table["lifecycle"][0]["prevent_destroy"])

    def test_the_container_is_the_same(self) -> None:
        definition = self.templates["service"]["Resources"]["TaskDefinition"]["Properties"]
        other = definition["ContainerDefinitions"][0]
        task = self.module["resource"]["aws_ecs_task_definition"]["worker"]
        self.assertEqual((definition["Cpu"], definition["Memory"]), (str(task["cpu"]), str(task["memory"])))
        self.assertEqual(template.ENVIRONMENT.keys(), self.module["locals"]["environment"].keys())
        written = re.sub(r"\s+", "", task["container_definitions"])
        check = other["HealthCheck"]
        for part in (
            f"stopTimeout={other['StopTimeout']}",
            "readonlyRootFilesystem=true",
            'mode="%s"' % other["LogConfiguration"]["Options"]["mode"],
            'drop=["ALL"]',
            f"containerPort={other['PortMappings'][0]['ContainerPort']}",
            'command=["CMD","%s"]' % check["Command"][1],
            f"interval={check['Interval']}",
            f"timeout={check['Timeout']}",
            f"retries={check['Retries']}",
            f"startPeriod={check['StartPeriod']}",
        ):
            self.assertIn(part.replace("=", ":"), written.replace("=", ":"))

    def test_it_scales_by_the_same_metrics(self) -> None:
        policy = self.templates["scaling"]["Resources"]["BacklogPolicy"]["Properties"]
        theirs = policy["TargetTrackingScalingPolicyConfiguration"]
        (ours,) = self.module["resource"]["aws_appautoscaling_policy"]["backlog"][
            "target_tracking_scaling_policy_configuration"
        ]
        self.assertEqual(theirs["ScaleInCooldown"], ours["scale_in_cooldown"])
        self.assertEqual(theirs["ScaleOutCooldown"], ours["scale_out_cooldown"])
        expected = [metric_of_templates(one) for one in theirs["CustomizedMetricSpecification"]["Metrics"]]
        found = [metric_of_module(one) for one in ours["customized_metric_specification"][0]["metrics"]]
        self.assertEqual(expected, found)

    def test_the_alarms_are_the_same(self) -> None:
        expected = sorted(
            (one["MetricName"] if isinstance(one["MetricName"], str) else "errors", str(one["Threshold"]), one["Statistic"])
            for one in (r["Properties"] for r in self.templates["alarms"]["Resources"].values() if "Alarm" in r["Type"])
        )
        text = (FOLDER / "alarms.tf").read_text()
        found = re.findall(r'metric\s+= "([^"$]+?)-?(?:\$\{var\.name\})?"\n.*\n\s+statistic\s+= "(\w+)"\n.*\n.*\n\s+threshold\s+= (\d+)', text)
        self.assertEqual(expected, sorted((metric, threshold, statistic) for metric, statistic, threshold in found))

    def test_every_variable_is_explained_and_used(self) -> None:
        text = "".join(file.read_text() for file in FOLDER.glob("*.tf") if file.name != "variables.tf")
        for name, about in self.module["variable"].items():
            self.assertTrue(about["description"].endswith("."), name)
            self.assertRegex(text, r"\bvar\.%s\b" % name)


def metric_of_templates(one: dict) -> tuple:
    stat = one.get("MetricStat", {})
    metric = stat.get("Metric", {})
    dimensions = [dimension["Name"] for dimension in metric.get("Dimensions", [])]
    name = metric.get("Namespace"), metric.get("MetricName")
    return one["Id"], one["ReturnData"], one.get("Expression"), stat.get("Stat"), *name, dimensions


def metric_of_module(one: dict) -> tuple:
    (stat,) = one.get("metric_stat", [{}])
    (metric,) = stat.get("metric", [{}])
    dimensions = [dimension["name"] for dimension in metric.get("dimensions", [])]
    name = metric.get("namespace"), metric.get("metric_name")
    return one["id"], one["return_data"], one.get("expression"), stat.get("stat"), *name, dimensions
