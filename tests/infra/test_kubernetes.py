"""The manifests are ones that Kubernetes takes, hold together, and start a worker.

There is no kustomize where these tests run: its files are read here, and what they join is checked piece by piece. KEDA's
own types have no schema here but for the part that is Kubernetes's: how fast to scale.
"""

import copy
import unittest
from pathlib import Path

import kubernetes_validate
import yaml

import processes
import template

FOLDER = Path(__file__).resolve().parents[2] / "infra/kubernetes"
NEWEST, OLDEST = "1.37", "1.30"
NAME = {"app.kubernetes.io/name": "tributary"}


def documents(folder: str) -> list[dict]:
    files = [file for file in sorted((FOLDER / folder).glob("*.yaml")) if file.name != "kustomization.yaml"]
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


def kustomization(folder: str) -> dict:
    return yaml.safe_load((FOLDER / folder / "kustomization.yaml").read_text())


def of_kind(folder: str, kind: str) -> dict:
    return next(one for one in documents(folder) if one["kind"] == kind)


def environment() -> dict[str, str]:
    (generated,) = kustomization("example")["configMapGenerator"]
    return dict(literal.split("=", 1) for literal in generated["literals"])


class Manifests(unittest.TestCase):
    def test_kubernetes_takes_each_of_them_old_and_new(self) -> None:
        for document in [*documents("base"), *documents("example"), autoscaler()]:
            for version in (OLDEST, NEWEST):
                with self.subTest(document["kind"], version=version):
                    kubernetes_validate.validate(document, version, strict=True)

    def test_the_schema_finds_planted_faults(self) -> None:
        for plant in (
            lambda pod: pod["containers"][0].update(readOnlyRootFilesystem=True),
            lambda pod: pod.update(terminationGracePeriodSeconds="45s"),
            lambda pod: pod["containers"][0]["livenessProbe"]["httpGet"].pop("port"),
        ):
            planted = copy.deepcopy(of_kind("base", "Deployment"))
            plant(planted["spec"]["template"]["spec"])
            with self.assertRaises(kubernetes_validate.ValidationError):
                kubernetes_validate.validate(planted, NEWEST, strict=True)

    def test_each_file_is_named_by_its_folder(self) -> None:
        for folder in ("base", "keda", "example"):
            files = {file.name for file in (FOLDER / folder).glob("*.yaml")} - {"kustomization.yaml"}
            about = kustomization(folder)
            named = [*about.get("resources", []), *about.get("components", [])]
            self.assertEqual(files, {one for one in named if one.endswith(".yaml")})
            for other in named:
                self.assertTrue((FOLDER / folder / other).exists(), other)

    def test_every_selector_finds_the_workers(self) -> None:
        deployment = of_kind("base", "Deployment")["spec"]
        pods = deployment["template"]
        self.assertEqual(NAME, pods["metadata"]["labels"])
        self.assertEqual(NAME, deployment["selector"]["matchLabels"])
        self.assertEqual(NAME, of_kind("base", "PodDisruptionBudget")["spec"]["selector"]["matchLabels"])
        self.assertEqual(NAME, of_kind("base", "NetworkPolicy")["spec"]["podSelector"]["matchLabels"])
        (spread,) = pods["spec"]["topologySpreadConstraints"]
        self.assertEqual(NAME, spread["labelSelector"]["matchLabels"])

    def test_the_pod_is_restricted_and_has_time_to_drain(self) -> None:
        pod = of_kind("base", "Deployment")["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        self.assertGreater(pod["terminationGracePeriodSeconds"], template.DRAIN_SECONDS)
        self.assertEqual((True, 65532), (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]))
        self.assertEqual({"type": "RuntimeDefault"}, pod["securityContext"]["seccompProfile"])
        locked = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        self.assertEqual(locked, container["securityContext"])
        enforced = of_kind("example", "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        self.assertEqual("restricted", enforced)

    def test_it_is_restarted_when_dead_and_not_when_it_waits(self) -> None:
        (container,) = of_kind("base", "Deployment")["spec"]["template"]["spec"]["containers"]
        self.assertEqual("/livez", container["livenessProbe"]["httpGet"]["path"])
        self.assertEqual("/readyz", container["readinessProbe"]["httpGet"]["path"])
        self.assertIn({"name": "metrics", "containerPort": 9464}, container["ports"])

    def test_the_example_fills_in_what_the_base_leaves_open(self) -> None:
        about = kustomization("example")
        pod = of_kind("base", "Deployment")["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        self.assertEqual(container["image"], about["images"][0]["name"])
        self.assertEqual(container["envFrom"][0]["configMapRef"]["name"], about["configMapGenerator"][0]["name"])
        account = of_kind("base", "ServiceAccount")["metadata"]["name"]
        self.assertEqual(pod["serviceAccountName"], account)
        (patch,) = about["patches"]
        self.assertEqual({"kind": "ServiceAccount", "name": account}, patch["target"])
        (operation,) = yaml.safe_load(patch["patch"])
        self.assertEqual(["eks.amazonaws.com/role-arn"], list(operation["value"]))
        trusted = template.load()["kubernetes"]["Parameters"]["ServiceAccount"]["Default"]
        self.assertEqual(f"{about['namespace']}:{account}", trusted)

    def test_a_worker_starts_with_what_the_example_gives_it(self) -> None:
        self.assertEqual("", processes.complaints(environment()))
        wrong = environment() | {"TRIBUTARY_LEDGER_TABLE": ""}
        self.assertIn("ledger.table", processes.complaints(wrong))

    def test_the_number_follows_the_queue_that_the_worker_reads(self) -> None:
        scaled = of_kind("keda", "ScaledObject")["spec"]
        self.assertEqual(of_kind("base", "Deployment")["metadata"]["name"], scaled["scaleTargetRef"]["name"])
        self.assertNotIn("replicas", of_kind("base", "Deployment")["spec"])
        (trigger,) = scaled["triggers"]
        self.assertIn(trigger["metadata"]["queueURLFromEnv"], environment())
        self.assertEqual(environment()["AWS_REGION"], trigger["metadata"]["awsRegion"])
        self.assertEqual(of_kind("keda", "TriggerAuthentication")["metadata"]["name"], trigger["authenticationRef"]["name"])
        share = int(environment()["TRIBUTARY_DESTINATIONS_LAKE_REQUESTS_PER_SECOND"])
        self.assertLessEqual(scaled["maxReplicaCount"] * share, 100)


def autoscaler() -> dict:
    """What KEDA makes of its object, as far as Kubernetes knows it."""
    scaled = of_kind("keda", "ScaledObject")["spec"]
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": scaled["scaleTargetRef"]["name"]},
        "minReplicas": scaled["minReplicaCount"],
        "maxReplicas": scaled["maxReplicaCount"],
        "behavior": scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
    }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "keda"},
        "spec": spec,
    }
