"""What the CloudFormation template must grant and keep. In: the decoded template. Out: what is wrong.

cfn-lint knows what CloudFormation accepts; this knows what Tributary needs, and that it needs no more.
"""

# Everything the worker may do, each on one resource. A new call in the code needs a line here and in the template.
WORKER_GRANTS = {
    ("sqs:ReceiveMessage", "SourceQueue"),
    ("sqs:DeleteMessage", "SourceQueue"),
    ("sqs:ChangeMessageVisibility", "SourceQueue"),
    ("sqs:GetQueueAttributes", "DeadLetterQueue"),
    ("sqs:SendMessage", "DeadLetterQueue"),
    ("cloudtrail-data:PutAuditEvents", "ChannelArn"),
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
}
PRODUCER_GRANTS = {
    ("sqs:SendMessage", "SourceQueue"),
    ("kms:Decrypt", "KmsKeyArn"),
    ("kms:GenerateDataKey", "KmsKeyArn"),
}
ENVIRONMENT = {
    "TRIBUTARY_SOURCE_QUEUE_URL": "SourceQueue",
    "TRIBUTARY_DEAD_LETTER_QUEUE_URL": "DeadLetterQueue",
    "TRIBUTARY_DESTINATIONS_LAKE_CHANNEL_ARN": "ChannelArn",
    "TRIBUTARY_DESTINATIONS_LAKE_REQUESTS_PER_SECOND": "RequestsPerSecond",
    "TRIBUTARY_LEDGER_KIND": "LedgerKind",
    "TRIBUTARY_LEDGER_TABLE": "LedgerTable",
    "TRIBUTARY_OBJECTS_BUCKETS": "ObjectsBucket",
    "TRIBUTARY_PUBLISH_LOG_TO": "s3://${PublishLogBucket}/${PublishLogPrefix}",
}
# service.drain_timeout by default, and what Fargate allows at most.
DRAIN_SECONDS, STOP_SECONDS_MAX = 25, 120


def problems(template: dict) -> list[str]:
    """Every problem at once; an empty list is a good template."""
    resources = template["Resources"]
    found = [
        f"{name}: makes a channel or event data store, which new customers cannot"
        for name, resource in resources.items()
        if resource["Type"].startswith("AWS::CloudTrail::")
    ]
    worker = resources["TaskRole"]["Properties"]
    found += grant_problems("the worker", [p["PolicyDocument"] for p in worker["Policies"]], WORKER_GRANTS)
    if "ManagedPolicyArns" in worker:
        found.append("the worker has a managed policy, which grants more than its own")
    producer = resources["ProducerPolicy"]["Properties"]["PolicyDocument"]
    found += grant_problems("a producer", [producer], PRODUCER_GRANTS)
    found += notification_problems(resources["QueuePolicy"]["Properties"]["PolicyDocument"])
    found += queue_problems(resources) + ledger_problems(resources["LedgerTable"])
    return found + container_problems(resources) + fleet_problems(template)


def grant_problems(who: str, documents: list[dict], expected: set[tuple[str, str]]) -> list[str]:
    """What is granted beyond the expected, and what is missing."""
    granted = set()
    for document in documents:
        for statement in map(chosen, as_list(document["Statement"])):
            granted |= {
                (action, target(resource))
                for action in as_list(statement["Action"])
                for resource in as_list(statement["Resource"])
            }
    extra = [f"{who} may {action} on {resource}" for action, resource in sorted(granted - expected)]
    return extra + [f"{who} may not {action} on {resource}" for action, resource in sorted(expected - granted)]


def notification_problems(policy: dict) -> list[str]:
    """A queue that others than the one bucket may send to, in the name of S3."""
    allowed = [one for one in map(chosen, policy["Statement"]) if one["Effect"] == "Allow"]
    if [one["Principal"] for one in allowed] != [{"Service": "s3.amazonaws.com"}]:
        return ["the queue is open to others than S3"]
    conditions = allowed[0].get("Condition", {})
    bucket = target(conditions.get("ArnEquals", {}).get("aws:SourceArn"))
    account = target(conditions.get("StringEquals", {}).get("aws:SourceAccount"))
    if (bucket, account) != ("arn:${AWS::Partition}:s3:::${ObjectsBucket}", "AWS::AccountId"):
        return ["S3 may send to the queue for anybody's bucket"]
    return []


def queue_problems(resources: dict) -> list[str]:
    """Queues that a stack update could delete, or that lose what they hold too early."""
    found = []
    source, letters = resources["SourceQueue"], resources["DeadLetterQueue"]
    for name, queue in (("SourceQueue", source), ("DeadLetterQueue", letters)):
        if {queue.get("DeletionPolicy"), queue.get("UpdateReplacePolicy")} != {"Retain"}:
            found.append(f"{name} is deleted with the stack")
        if not queue["Properties"].keys() >= {"KmsMasterKeyId", "SqsManagedSseEnabled"}:
            found.append(f"{name} is not encrypted either way")
    redrive = source["Properties"].get("RedrivePolicy", {})
    if target(redrive.get("deadLetterTargetArn")) != "DeadLetterQueue":
        found.append("the source queue does not redrive into the dead-letter queue")
    # SQS counts a moved message's age from its first day in the source queue.
    if letters["Properties"]["MessageRetentionPeriod"] <= source["Properties"]["MessageRetentionPeriod"]:
        found.append("a moved message could expire as soon as it arrives in the dead-letter queue")
    return found


def ledger_problems(table: dict) -> list[str]:
    """A table that the ledger cannot use, that forgets, or that costs money while nothing happens."""
    properties, found = table["Properties"], []
    if {table.get("DeletionPolicy"), table.get("UpdateReplacePolicy")} != {"Retain"}:
        found.append("the ledger is deleted with the stack")
    if properties.get("DeletionProtectionEnabled") is not True:
        found.append("the ledger can be deleted by hand")
    keys = [(key["AttributeName"], key["KeyType"]) for key in properties["KeySchema"]]
    types = {one["AttributeName"]: one["AttributeType"] for one in properties["AttributeDefinitions"]}
    if keys != [("key", "HASH")] or types != {"key": "S"}:
        found.append("the ledger's partition key is not `key`, a string")
    if properties.get("TimeToLiveSpecification") != {"AttributeName": "expires", "Enabled": True}:
        found.append("the ledger keeps ids for ever")
    if properties.get("BillingMode") != "PAY_PER_REQUEST":
        found.append("the ledger is not paid by the request")
    if properties.get("SSESpecification") != {"SSEEnabled": True}:
        found.append("the ledger is not encrypted with the account's key")
    return found


def fleet_problems(template: dict) -> list[str]:
    """Workers side by side that do not know of each other what they published."""
    found = []
    rules = template.get("Rules", {}).values()
    in_memory = {"Fn::Equals": [{"Ref": "LedgerKind"}, "memory"]}
    rule = next((rule for rule in rules if rule["RuleCondition"] == in_memory), {})
    asserted = [one["Assert"] for one in rule.get("Assertions", [])]
    if asserted != [{"Fn::Contains": [["0", "1"], {"Ref": "DesiredCount"}]}]:
        found.append("several workers may run with a ledger in memory")
    deployment = template["Resources"]["Service"]["Properties"]["DeploymentConfiguration"]
    if deployment["MaximumPercent"] != {"Fn::If": ["HasLedgerTable", 200, 100]}:
        found.append("a deployment may run old and new workers side by side with a ledger in memory")
    return found


def container_problems(resources: dict) -> list[str]:
    """A worker that is killed before it has drained, could write to its image, or is told the wrong places."""
    (container,) = resources["TaskDefinition"]["Properties"]["ContainerDefinitions"]
    found = []
    if not DRAIN_SECONDS < container.get("StopTimeout", 30) <= STOP_SECONDS_MAX:
        found.append("the worker is killed before it has drained, or later than Fargate allows")
    if container.get("ReadonlyRootFilesystem") is not True:
        found.append("the worker can write to its root file system")
    given = {variable["Name"]: target(variable["Value"]) for variable in map(chosen, container["Environment"])}
    found += [f"{name} is not set to {place}" for name, place in ENVIRONMENT.items() if given.get(name) != place]
    return found


def as_list(value: object) -> list:
    return value if isinstance(value, list) else [value]


def chosen(value: dict) -> dict:
    """The statement behind a condition: what holds where the condition is true."""
    return value["Fn::If"][1] if "Fn::If" in value else value


def target(value: object) -> str:
    """The logical id that a Ref or GetAtt points to, or the text of a Sub; any other value as text."""
    if isinstance(value, dict):
        if "Ref" in value:
            return value["Ref"]
        if "Fn::Sub" in value:
            return value["Fn::Sub"]
        if "Fn::GetAtt" in value:
            attribute = value["Fn::GetAtt"]
            return (attribute if isinstance(attribute, list) else attribute.split("."))[0]
    return str(value)
