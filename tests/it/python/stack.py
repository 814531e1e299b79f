"""Makes a stack and hands out what it gives to others.

Input: url and ca of the account, the packaged template, name and parameters of the stack. Output: the stack's outputs,
what its task definition puts into the worker's environment, the names of the role's policies, whom the role trusts, and
credentials that have the rights of the worker and of a producer, and no others.
"""

import json
import sys

import boto3
from botocore.exceptions import ClientError

given = json.load(sys.stdin)


def client(service: str):
    return boto3.client(service, endpoint_url=given["url"], verify=given["ca"])


def make() -> dict:
    clouds = client("cloudformation")
    with open(given["packaged"]) as file:
        template = file.read()
    parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in given["parameters"].items()]
    clouds.create_stack(
        StackName=given["name"], TemplateBody=template, Parameters=parameters, Capabilities=["CAPABILITY_IAM"]
    )
    waiter = clouds.get_waiter("stack_create_complete")
    try:
        waiter.wait(StackName=given["name"], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    except Exception:
        for event in clouds.describe_stack_events(StackName=given["name"])["StackEvents"]:
            print(event["LogicalResourceId"], event["ResourceStatus"], event.get("ResourceStatusReason"), file=sys.stderr)
        raise
    (stack,) = clouds.describe_stacks(StackName=given["name"])["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def environment(outputs: dict) -> dict:
    """Nothing where workers are not tasks."""
    if "TaskDefinitionArn" not in outputs:
        return {}
    task = client("ecs").describe_task_definition(taskDefinition=outputs["TaskDefinitionArn"])["taskDefinition"]
    assert task["taskRoleArn"] == outputs["TaskRoleArn"], task
    worker = next(one for one in task["containerDefinitions"] if one["name"] == "tributary")
    return {variable["name"]: variable["value"] for variable in worker["environment"]}


def as_anybody(role: str) -> dict:
    """Credentials of a role, which from here on trusts everybody of the account."""
    trust = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    client("iam").update_assume_role_policy(RoleName=role.rpartition("/")[2], PolicyDocument=document)
    return client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]


def worker(role: str) -> dict:
    """The worker's role does not trust us before that is changed."""
    try:
        client("sts").assume_role(RoleArn=role, RoleSessionName="test")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied", error
    else:
        raise AssertionError("anybody can be the worker")
    return as_anybody(role)


def producer(policy: str) -> dict:
    iam, nobody = client("iam"), json.dumps({"Version": "2012-10-17", "Statement": []})
    name = f"producer-{given['name']}"
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=nobody)["Role"]["Arn"]
    iam.attach_role_policy(RoleName=name, PolicyArn=policy)
    return as_anybody(role)


outputs = make()
role = outputs["TaskRoleArn"]
policies = client("iam").list_role_policies(RoleName=role.rpartition("/")[2])["PolicyNames"]
trust = client("iam").get_role(RoleName=role.rpartition("/")[2])["Role"]["AssumeRolePolicyDocument"]
answer = {
    "outputs": outputs,
    "environment": environment(outputs),
    "policies": sorted(policies),
    "trust": trust["Statement"],
    "worker": worker(role),
    "producer": producer(outputs["ProducerPolicyArn"]),
}
print(json.dumps(answer, default=str))
