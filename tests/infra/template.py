"""What the CloudFormation templates must grant and keep. In: the decoded templates. Out: what is wrong.

cfn-lint knows what CloudFormation accepts; this knows what Tributary needs, and that it needs no more. Values are
followed through the nested stacks to the resource that they end at, so a wire that leads to the wrong one is found.
"""

import json
from pathlib import Path

from cfnlint.decode import decode

FOLDER = Path(__file__).resolve().parents[2] / "infra/cloudformation"
# The templates that nest the others: for workers on Fargate, and for workers in pods.
ROOT, PODS_ROOT = "tributary", "kubernetes"

# Everything the worker may do, each on one resource. A new call in the code needs a line here and in the template.
WORKER_GRANTS = {
    ("sqs:ReceiveMessage", "SourceQueue"),
    ("sqs:DeleteMessage", "SourceQueue"),
    ("sqs:ChangeMessageVisibility", "SourceQueue"),
    ("kinesis:ListShards", "StreamArn"),
    ("kinesis:DescribeStreamSummary", "StreamArn"),
    ("kinesis:GetShardIterator", "StreamArn"),
    ("kinesis:GetRecords", "StreamArn"),
    ("kinesis:SubscribeToShard", "StreamConsumerArn"),
    ("kms:Decrypt", "StreamKmsKeyArn"),
    ("dynamodb:GetItem", "LeaseTable"),
    ("dynamodb:Scan", "LeaseTable"),
    ("dynamodb:PutItem", "LeaseTable"),
    ("dynamodb:UpdateItem", "LeaseTable"),
    ("dynamodb:DeleteItem", "LeaseTable"),
    ("sqs:GetQueueAttributes", "DeadLetterQueue"),
    ("sqs:SendMessage", "DeadLetterQueue"),
    ("s3:GetObject", "arn:${AWS::Partition}:s3:::${OverflowBucket}/${OverflowPrefix}/*"),
    ("s3:PutObject", "arn:${AWS::Partition}:s3:::${OverflowBucket}/${OverflowPrefix}/*"),
    ("cloudtrail-data:PutAuditEvents", "Channel or ChannelArn"),
    ("dynamodb:PartiQLDelete", "LedgerTable"),
    ("dynamodb:PartiQLInsert", "LedgerTable"),
    ("dynamodb:PartiQLSelect", "LedgerTable"),
    ("dynamodb:PartiQLUpdate", "LedgerTable"),
    ("s3:GetObject", "arn:${AWS::Partition}:s3:::${PublishLogBucket}/${PublishLogPrefix}/*"),
    ("s3:PutObject", "arn:${AWS::Partition}:s3:::${PublishLogBucket}/${PublishLogPrefix}/*"),
    ("kms:Decrypt", "KmsKeyArn"),
    ("kms:GenerateDataKey", "KmsKeyArn"),
    ("s3:GetObject", "arn:${AWS::Partition}:s3:::${ObjectsBucket}/*"),
    ("s3:GetObjectVersion", "arn:${AWS::Partition}:s3:::${ObjectsBucket}/*"),
    ("s3:ListBucket", "arn:${AWS::Partition}:s3:::${ObjectsBucket}"),
    ("kms:Decrypt", "ObjectsKmsKeyArn"),
    ("aps:RemoteWrite", "PrometheusWorkspaceArn"),
}
PRODUCER_GRANTS = {
    ("sqs:SendMessage", "SourceQueue"),
    ("kms:Decrypt", "KmsKeyArn"),
    ("kms:GenerateDataKey", "KmsKeyArn"),
    ("kinesis:PutRecord", "StreamArn"),
    ("kinesis:PutRecords", "StreamArn"),
    ("kms:GenerateDataKey", "StreamKmsKeyArn"),
}
ENVIRONMENT = {
    "TRIBUTARY_SOURCE_QUEUE_URL": "SourceQueue",
    "TRIBUTARY_STREAM_ARN": "StreamArn",
    "TRIBUTARY_STREAM_LEASE_TABLE": "LeaseTable",
    "TRIBUTARY_STREAM_CONSUMER_ARN": "StreamConsumerArn",
    "TRIBUTARY_DEAD_LETTER_QUEUE_URL": "DeadLetterQueue",
    "TRIBUTARY_DESTINATIONS_LAKE_CHANNEL_ARN": "Channel or ChannelArn",
    "TRIBUTARY_DESTINATIONS_LAKE_REQUESTS_PER_SECOND": "RequestsPerSecond",
    "TRIBUTARY_LEDGER_KIND": "LedgerKind",
    "TRIBUTARY_LEDGER_TABLE": "LedgerTable",
    "TRIBUTARY_DEAD_LETTER_OVERFLOW": "s3://${OverflowBucket}/${OverflowPrefix}",
    "TRIBUTARY_OBJECTS_BUCKETS": "${ObjectsBucket}, ${OverflowBucket} or ObjectsBucket or OverflowBucket",
    "TRIBUTARY_PUBLISH_LOG_TO": "s3://${PublishLogBucket}/${PublishLogPrefix}",
}
# service.drain_timeout by default, and what Fargate allows at most.
DRAIN_SECONDS, STOP_SECONDS_MAX = 25, 120
# What is made only where somebody asks for it, by name: new customers of CloudTrail Lake cannot have it.
LAKE = {"AWS::CloudTrail::EventDataStore", "AWS::CloudTrail::Channel"}

Templates = dict[str, dict]


def load() -> Templates:
    """The templates of the folder, by name; refuses what cannot be decoded."""
    templates = {}
    for file in sorted(FOLDER.glob("*.yaml")):
        templates[file.stem], errors = decode(str(file))
        if errors:
            raise ValueError(f"{file}: {errors}")
    return templates


def problems(templates: Templates) -> list[str]:
    """Every problem at once; an empty list is a good set of templates."""
    found = wiring_problems(templates) + lake_problems(templates) + role_problems(templates)
    storage = templates["storage"]["Resources"]
    producer = storage["ProducerPolicy"]["Properties"]["PolicyDocument"]
    found += grant_problems("a producer", [producer], "storage", PRODUCER_GRANTS, templates)
    found += notification_problems(storage["SourceQueuePolicy"]["Properties"]["PolicyDocument"])
    found += queue_problems(storage)
    found += table_problems("the ledger", storage["LedgerTable"], "key", "expires")
    found += table_problems("the lease table", storage["LeaseTable"], "leaseKey", None)
    return found + container_problems(templates) + fleet_problems(templates)


def role_problems(templates: Templates) -> list[str]:
    """A worker that may do too much or too little, and a role that others can take."""
    roles = templates["roles"]["Resources"]
    documents = [one["Properties"]["PolicyDocument"] for one in roles.values() if one["Type"] == "AWS::IAM::Policy"]
    found = grant_problems("the worker", documents, "roles", WORKER_GRANTS, templates)
    in_pods = {"Channel or ChannelArn": "ChannelArn", "PrometheusWorkspaceArn": ""}
    expected = {(action, in_pods.get(resource, resource)) for action, resource in WORKER_GRANTS}
    nested_in_pods = templates | {ROOT: templates[PODS_ROOT]}
    found += grant_problems("a worker in a pod", documents, "roles", expected, nested_in_pods)
    properties = roles["TaskRole"]["Properties"]
    if properties.keys() & {"ManagedPolicyArns", "Policies"}:
        found.append("the worker's role has a policy that is not one of those below it")
    _, pods, tasks = properties["AssumeRolePolicyDocument"]["Fn::If"]
    (trust,) = json.loads(pods["Fn::Sub"])["Statement"]
    asked = trust.get("Condition", {}).get("StringEquals", {})
    if asked.get("${OidcProvider}:sub") != "system:serviceaccount:${ServiceAccount}" or len(asked) != 2:
        found.append("any service account of the cluster can be the worker")
    (trust,) = tasks["Statement"]
    if trust.get("Condition", {}).get("StringEquals") != {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}:
        found.append("tasks of any account can be the worker")
    return found


def wiring_problems(templates: Templates) -> list[str]:
    """Parameters that a nested stack wants and does not get, or gets and does not know; stacks that nobody nests."""
    found, nested = [], set()
    resources = [one for root in (ROOT, PODS_ROOT) for one in templates[root]["Resources"].values()]
    for resource in resources:
        file = Path(resource["Properties"]["TemplateURL"])
        nested.add(file.stem)
        wanted = templates[file.stem].get("Parameters", {})
        given = resource["Properties"].get("Parameters", {})
        needed = {one for one, about in wanted.items() if "Default" not in about}
        found += [f"{file} does not get {one}" for one in sorted(needed - given.keys())]
        found += [f"{file} does not know {one}" for one in sorted(given.keys() - wanted.keys())]
    found += [f"{one} is not nested" for one in sorted(templates.keys() - {ROOT, PODS_ROOT} - nested)]
    return found


def lake_problems(templates: Templates) -> list[str]:
    """A channel or event data store that is made without being asked for, or deleted with the stack."""
    found = []
    for file, template in templates.items():
        for name, resource in template["Resources"].items():
            if resource["Type"] in LAKE and file != "lake":
                found.append(f"{name}: makes a channel or event data store, which new customers cannot")
            if resource["Type"] in LAKE and not is_retained(resource):
                found.append(f"{name} is deleted with the stack")
    root = templates[ROOT]
    asked = root["Resources"]["Lake"].get("Condition") == "MakesLake"
    if not asked or root["Parameters"]["MakeLake"]["Default"] != "false":
        found.append("a lake is made without being asked for, which new customers cannot")
    return found


def grant_problems(
    who: str, documents: list[dict], file: str, expected: set[tuple[str, str]], templates: Templates
) -> list[str]:
    """What is granted beyond the expected, and what is missing."""
    granted = set()
    for document in documents:
        for statement in [one for each in as_list(document["Statement"]) for one in either(each)]:
            granted |= {
                (action, target(resource, file, templates))
                for action in as_list(statement["Action"])
                for resource in as_list(statement["Resource"])
            }
    extra = [f"{who} may {action} on {resource}" for action, resource in sorted(granted - expected)]
    return extra + [f"{who} may not {action} on {resource}" for action, resource in sorted(expected - granted)]


def notification_problems(policy: dict) -> list[str]:
    """A queue that others than the one bucket may send to, in the name of S3."""
    statements = [one for each in policy["Statement"] for one in either(each)]
    allowed = [one for one in statements if one["Effect"] == "Allow"]
    if [one["Principal"] for one in allowed] != [{"Service": "s3.amazonaws.com"}]:
        return ["the queue is open to others than S3"]
    conditions = allowed[0].get("Condition", {})
    bucket = conditions.get("ArnEquals", {}).get("aws:SourceArn")
    account = conditions.get("StringEquals", {}).get("aws:SourceAccount")
    mine = {"Fn::Sub": "arn:${AWS::Partition}:s3:::${ObjectsBucket}"}, {"Ref": "AWS::AccountId"}
    return [] if (bucket, account) == mine else ["S3 may send to the queue for anybody's bucket"]


def queue_problems(resources: dict) -> list[str]:
    """Queues that a stack update could delete, that anybody could read over, or that lose what they hold too early."""
    found = []
    source, letters = resources["SourceQueue"], resources["DeadLetterQueue"]
    for name, queue in (("SourceQueue", source), ("DeadLetterQueue", letters)):
        if not is_retained(queue):
            found.append(f"{name} is deleted with the stack")
        if not queue["Properties"].keys() >= {"KmsMasterKeyId", "SqsManagedSseEnabled"}:
            found.append(f"{name} is not encrypted either way")
        policy = resources[f"{name}Policy"]["Properties"]
        denied = policy["PolicyDocument"]["Statement"][0]
        insecure = {"Bool": {"aws:SecureTransport": "false"}}
        if (policy["Queues"], denied["Effect"], denied.get("Condition")) != ([{"Ref": name}], "Deny", insecure):
            found.append(f"{name} can be reached without TLS")
    redrive = source["Properties"].get("RedrivePolicy", {})
    if redrive.get("deadLetterTargetArn") != {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}:
        found.append("the source queue does not redrive into the dead-letter queue")
    # SQS counts a moved message's age from its first day in the source queue.
    if letters["Properties"]["MessageRetentionPeriod"] <= source["Properties"]["MessageRetentionPeriod"]:
        found.append("a moved message could expire as soon as it arrives in the dead-letter queue")
    return found


def table_problems(what: str, table: dict, key: str, expires: str | None) -> list[str]:
    """A table that the worker cannot use, that forgets, or that costs money while nothing happens."""
    properties, found = table["Properties"], []
    if not is_retained(table):
        found.append(f"{what} is deleted with the stack")
    if properties.get("DeletionProtectionEnabled") is not True:
        found.append(f"{what} can be deleted by hand")
    keys = [(one["AttributeName"], one["KeyType"]) for one in properties["KeySchema"]]
    types = {one["AttributeName"]: one["AttributeType"] for one in properties["AttributeDefinitions"]}
    if keys != [(key, "HASH")] or types != {key: "S"}:
        found.append(f"{what}'s partition key is not `{key}`, a string")
    kept = {"AttributeName": expires, "Enabled": True} if expires else None
    if properties.get("TimeToLiveSpecification") != kept:
        found.append(f"{what} keeps what it should forget, or forgets what it should keep")
    if "PointInTimeRecoverySpecification" not in properties:
        found.append(f"{what} cannot be restored")
    if properties.get("BillingMode") != "PAY_PER_REQUEST":
        found.append(f"{what} is not paid by the request")
    if properties.get("SSESpecification") != {"SSEEnabled": True}:
        found.append(f"{what} is not encrypted with the account's key")
    return found


def fleet_problems(templates: Templates) -> list[str]:
    """Workers side by side that do not know of each other what they published; a number that is set back."""
    found = []
    rules = templates[ROOT].get("Rules", {}).values()
    in_memory = {"Fn::Equals": [{"Ref": "LedgerKind"}, "memory"]}
    rule = next((rule for rule in rules if rule.get("RuleCondition") == in_memory), {})
    asserted = [one["Assert"] for one in rule.get("Assertions", [])]
    if asserted != [{"Fn::Contains": [["0", "1"], {"Ref": "MaxTasks"}]}]:
        found.append("several workers may run with a ledger in memory")
    service = templates["service"]["Resources"]["Service"]["Properties"]
    deployment = service["DeploymentConfiguration"]
    if deployment["MaximumPercent"] != {"Fn::If": ["HasLedgerTable", 200, 100]}:
        found.append("a deployment may run old and new workers side by side with a ledger in memory")
    if deployment.get("DeploymentCircuitBreaker") != {"Enable": True, "Rollback": True}:
        found.append("a deployment that does not start is not taken back")
    if service["DesiredCount"] != {"Fn::If": ["Scales", {"Ref": "AWS::NoValue"}, {"Ref": "MinTasks"}]}:
        found.append("an update of the stack sets back the number of workers")
    return found


def container_problems(templates: Templates) -> list[str]:
    """A worker that is killed before it has drained, could write to its image, or is told the wrong places."""
    definition = templates["service"]["Resources"]["TaskDefinition"]["Properties"]
    containers = [one for each in definition["ContainerDefinitions"] for one in either(each)]
    worker, *others = containers
    found = [f"{one['Name']} can write to its root file system" for one in containers if not is_locked(one)]
    found += [f"without {one['Name']} the worker ends" for one in others if one["Essential"] is not False]
    found += [
        f"a log that is out of reach holds up {one['Name']}"
        for one in containers
        if one["LogConfiguration"]["Options"].get("mode") != "non-blocking"
    ]
    if not DRAIN_SECONDS < worker.get("StopTimeout", 30) <= STOP_SECONDS_MAX:
        found.append("the worker is killed before it has drained, or later than Fargate allows")
    given = {
        variable["Name"]: target(variable["Value"], "service", templates)
        for each in worker["Environment"]
        for variable in either(each)
    }
    found += [f"{name} is not set to {place}" for name, place in ENVIRONMENT.items() if given.get(name) != place]
    return found + [f"{name} is set, and nobody knows it" for name in sorted(given.keys() - ENVIRONMENT.keys())]


def is_retained(resource: dict) -> bool:
    return {resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy")} == {"Retain"}


def is_locked(container: dict) -> bool:
    dropped = container.get("LinuxParameters", {}).get("Capabilities", {}).get("Drop")
    return container.get("ReadonlyRootFilesystem") is True and dropped == ["ALL"]


def as_list(value: object) -> list:
    return value if isinstance(value, list) else [value]


def either(value: dict) -> list[dict]:
    """What stands behind a condition, whichever way it goes, but for nothing at all."""
    values = value["Fn::If"][1:] if "Fn::If" in value else [value]
    return [one for one in values if one != {"Ref": "AWS::NoValue"}]


def target(value: object, file: str, templates: Templates) -> str:
    """Where a value comes from in the end: a resource or a parameter of the root, by name; or the text of a Sub."""
    if not isinstance(value, dict):
        return str(value)
    if "Fn::Sub" in value:
        return str(value["Fn::Sub"])
    if "Fn::If" in value:
        ends = [target(one, file, templates) for one in value["Fn::If"][1:]]
        return " or ".join(dict.fromkeys(one for one in ends if one))
    if "Fn::GetAtt" in value:
        attribute = value["Fn::GetAtt"]
        parts = attribute if isinstance(attribute, list) else attribute.split(".", 1)
        return output(parts[0], parts[1], file, templates)
    return parameter(value["Ref"], file, templates) if "Ref" in value else str(value)


def output(name: str, attribute: str, file: str, templates: Templates) -> str:
    """The resource, or what an output of a nested stack comes from."""
    resource = templates[file]["Resources"][name]
    if resource["Type"] != "AWS::CloudFormation::Stack":
        return name
    nested = Path(resource["Properties"]["TemplateURL"]).stem
    return target(templates[nested]["Outputs"][attribute.removeprefix("Outputs.")]["Value"], nested, templates)


def parameter(name: str, file: str, templates: Templates) -> str:
    """A resource of this template, or what the root gives for the parameter."""
    if file == ROOT or name not in templates[file].get("Parameters", {}):
        return name
    for resource in templates[ROOT]["Resources"].values():
        if Path(resource["Properties"]["TemplateURL"]).stem == file:
            return target(resource["Properties"]["Parameters"].get(name), ROOT, templates)
    return name
