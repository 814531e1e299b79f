"""The scaling policy is one that Application Auto Scaling takes, with the numbers that the template gives.

moto is the judge: it knows the API's rules, and that a service has to exist before it can scale.
"""

import unittest

import boto3
import botocore
from moto import mock_aws

import template

GIVEN = {
    "ClusterName": "cluster",
    "ServiceName": "service",
    "SourceQueueName": "events",
    "MinTasks": 1,
    "MaxTasks": 4,
    "BacklogPerTask": 10000,
}


@mock_aws
class Scaling(unittest.TestCase):
    def setUp(self) -> None:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "eu-central-1"}
        self.scaling = boto3.client("application-autoscaling", **keys)
        ecs = boto3.client("ecs", **keys)
        ecs.create_cluster(clusterName="cluster")
        ecs.register_task_definition(family="worker", containerDefinitions=[{"name": "a", "image": "a", "memory": 1}])
        ecs.create_service(cluster="cluster", serviceName="service", taskDefinition="worker", desiredCount=1)
        resources = template.load()["scaling"]["Resources"]
        self.target = filled(resources["Target"]["Properties"])
        self.policy = filled(resources["BacklogPolicy"]["Properties"])
        del self.policy["ScalingTargetId"]
        self.where = {name: self.target[name] for name in ("ServiceNamespace", "ResourceId", "ScalableDimension")}

    def test_the_service_is_found_and_the_policy_taken(self) -> None:
        self.scaling.register_scalable_target(**self.target)
        self.scaling.put_scaling_policy(**self.where, **self.policy)
        (policy,) = self.scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]
        tracking = policy["TargetTrackingScalingPolicyConfiguration"]
        self.assertEqual(10000, tracking["TargetValue"])
        self.assertGreater(tracking["ScaleInCooldown"], tracking["ScaleOutCooldown"])
        metrics = tracking["CustomizedMetricSpecification"]["Metrics"]
        (result,) = [one for one in metrics if one["ReturnData"]]
        self.assertEqual({one["Id"] for one in metrics} - {result["Id"]}, set(result["Expression"].split(" / ")))

    def test_another_service_and_a_metric_without_a_name_are_refused(self) -> None:
        with self.assertRaises(botocore.exceptions.ClientError):
            self.scaling.register_scalable_target(**self.target | {"ResourceId": "service/cluster/other"})
        self.scaling.register_scalable_target(**self.target)
        metrics = self.policy["TargetTrackingScalingPolicyConfiguration"]["CustomizedMetricSpecification"]["Metrics"]
        del metrics[0]["Id"]
        with self.assertRaises(botocore.exceptions.ParamValidationError):
            self.scaling.put_scaling_policy(**self.where, **self.policy)


def filled(value: object) -> object:
    """With the parameters in their places."""
    if isinstance(value, list):
        return [filled(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "Ref" in value:
        return GIVEN.get(value["Ref"], value["Ref"])
    if "Fn::Sub" in value:
        text = value["Fn::Sub"]
        for name, given in GIVEN.items():
            text = text.replace("${%s}" % name, str(given))
        return text
    return {key: filled(one) for key, one in value.items()}
