"""The chart, rendered by real Helm: every object is what Kubernetes takes, and what the cases' golden files say."""

import json
from collections.abc import Iterable
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml

from tests.helm.chart_cases import (
    CASES,
    CHART,
    GOLDEN,
    LEAST,
    NAMESPACE,
    Object,
    case_objects,
    chart,
    gateway_container,
    golden_of,
    is_hook,
    objects,
    one,
    over,
    workload,
)

pytestmark = pytest.mark.rig

OLDEST, NEWEST = "1.29", kubernetes_validate.latest_version()
CUSTOM = {
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "PodMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
}
"""Kinds that clusters get from elsewhere: no schema of theirs is here."""


@pytest.mark.parametrize("name", CASES)
def test_helm_finds_nothing_to_mend(name: str) -> None:
    report = helm_python.lint(CHART, CASES[name], strict=True, namespace=NAMESPACE)
    assert report["errors"] == []
    assert [m for m in report["messages"] if m["severity"] > 1] == []


@pytest.mark.parametrize(("version", "names"), [(OLDEST, CASES), ("1.33", ["everything-on"]), (NEWEST, CASES)])
def test_every_object_is_one_that_kubernetes_takes(version: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        for found in case_objects(name):
            text = json.dumps(found, sort_keys=True)
            if text not in seen and found["kind"] not in CUSTOM:
                kubernetes_validate.validate(found, version, strict=True)
            seen.add(text)


def test_an_object_that_kubernetes_does_not_take_is_found() -> None:
    wrong = json.loads(json.dumps(workload(case_objects("trial"))))
    wrong["spec"]["template"]["spec"]["containers"][0]["readinessProb"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinessProb"):
        kubernetes_validate.validate(wrong, OLDEST, strict=True)


def test_the_oldest_kubernetes_that_is_tested_is_the_oldest_that_the_chart_allows() -> None:
    assert chart().metadata["kubeVersion"] == f">={OLDEST}.0-0"


@pytest.mark.parametrize("name", CASES)
def test_a_case_is_rendered_as_its_golden_file_says(name: str) -> None:
    assert (GOLDEN / f"{name}.yaml").read_text() == golden_of(name), "look, then: python -m tests.helm.chart_cases"


def test_no_golden_file_is_left_over() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_objects_of_others_kinds_have_the_shape_that_their_makers_ask_for(name: str) -> None:
    for found in case_objects(name):
        if found["kind"] not in CUSTOM:
            continue
        assert found["apiVersion"] == CUSTOM[found["kind"]]
        spec = found["spec"]
        if found["kind"] == "PrometheusRule":
            assert set(spec) == {"groups"}
        elif found["kind"] == "HTTPRoute":
            (rule,) = spec["rules"]
            assert set(rule) == {"matches", "timeouts", "backendRefs"}
            assert {match["path"]["type"] for match in rule["matches"]} == {"PathPrefix"}
            assert all(set(ref) == {"name", "port"} for ref in rule["backendRefs"])
        else:
            endpoints = "endpoints" if found["kind"] == "ServiceMonitor" else "podMetricsEndpoints"
            assert set(spec) == {"selector", endpoints}
            known = {"port", "path", "interval", "scrapeTimeout", "honorLabels", "authorization"}
            assert all(set(endpoint) <= known for endpoint in spec[endpoints])


@pytest.mark.parametrize("name", CASES)
def test_names_are_used_once_and_fit(name: str) -> None:
    names = [(found["kind"], found["metadata"]["name"]) for found in case_objects(name)]
    assert len(names) == len(set(names))
    assert all(len(of) <= 63 for _, of in names)
    assert {found["metadata"]["namespace"] for found in case_objects(name)} == {NAMESPACE}


@pytest.mark.parametrize("release", ["a", "x" * 53, "understudy", "my-understudy-2", "prod"])
def test_any_release_name_makes_names_that_kubernetes_takes(release: str) -> None:
    rendered = chart().render(values=CASES["everything-on"], name=release, namespace="n")
    for path, text in rendered.items():
        for found in yaml.load_all(text, yaml.CSafeLoader) if path.endswith(".yaml") else ():
            assert found is None or len(found["metadata"]["name"]) <= 63


# --- what every pod keeps ---


@pytest.mark.parametrize("name", CASES)
def test_no_pod_may_more_than_it_needs(name: str) -> None:
    for pod in pods(case_objects(name)):
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == security["fsGroup"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in own_containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@pytest.mark.parametrize("name", CASES)
def test_what_a_container_mounts_is_a_volume_of_its_pod(name: str) -> None:
    found = case_objects(name)
    claimed = [t["metadata"]["name"] for t in workload(found)["spec"].get("volumeClaimTemplates", [])]
    for pod in pods(found):
        volumes = [volume["name"] for volume in pod.get("volumes", [])] + claimed
        assert len(volumes) == len(set(volumes))
        for container in own_containers(pod):
            mounts = container.get("volumeMounts", [])
            assert {mount["name"] for mount in mounts} <= set(volumes)
            assert all("subPath" not in mount for mount in mounts), "what is mounted by a subPath never changes"


@pytest.mark.parametrize("name", CASES)
def test_selectors_find_the_gateways_pods_and_no_others(name: str) -> None:
    found = case_objects(name)
    labels = workload(found)["spec"]["template"]["metadata"]["labels"]
    others = [o["metadata"]["labels"] for o in found if o["kind"] == "Pod"]
    others += [o["spec"]["template"]["metadata"]["labels"] for o in found if o["kind"] == "Job"]
    for selector in selectors(found):
        assert selector.items() <= labels.items()
        assert not any(selector.items() <= other.items() for other in others)


@pytest.mark.parametrize("name", CASES)
def test_what_names_another_object_names_one_that_is_there(name: str) -> None:
    found = case_objects(name)
    there = {(o["kind"], o["metadata"]["name"]) for o in found}
    main = workload(found)
    pod = main["spec"]["template"]["spec"]
    for object_ in found:
        if object_["kind"] == "HorizontalPodAutoscaler":
            target = object_["spec"]["scaleTargetRef"]
            assert (target["kind"], target["name"]) == (main["kind"], main["metadata"]["name"])
            assert "replicas" not in main["spec"]
            (metric,) = object_["spec"]["metrics"]
            assert metric["containerResource"]["container"] == gateway_container(found)["name"]
            assert gateway_container(found)["resources"]["requests"]["cpu"]
        if object_["kind"] == "Ingress":
            for rule in object_["spec"]["rules"]:
                for path in rule["http"]["paths"]:
                    service = one(found, "Service", path["backend"]["service"]["name"])
                    assert path["backend"]["service"]["port"]["name"] in [p["name"] for p in service["spec"]["ports"]]
        if object_["kind"] == "HTTPRoute":
            for ref in object_["spec"]["rules"][0]["backendRefs"]:
                service = one(found, "Service", ref["name"])
                assert ref["port"] in [port["port"] for port in service["spec"]["ports"]]
    if main["kind"] == "StatefulSet":
        headless = one(found, "Service", main["spec"]["serviceName"])
        assert headless["spec"]["clusterIP"] == "None"
    for volume in pod["volumes"]:
        if claim := volume.get("persistentVolumeClaim"):
            assert ("PersistentVolumeClaim", claim["claimName"]) in there
    if CASES[name].get("serviceAccount", {}).get("create", True):
        assert ("ServiceAccount", pod["serviceAccountName"]) in there


def test_hooks_need_nothing_that_is_installed_after_them() -> None:
    found = case_objects("everything-on")
    later = {o["metadata"]["name"] for o in found if not is_hook(o)}
    job = one(found, "Job")
    pod = job["spec"]["template"]["spec"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert pod.get("serviceAccountName") not in later
    assert all("configMap" not in volume for volume in pod["volumes"])


# --- one value, one difference ---


def test_postgresql_has_a_disk_for_each_replica_unless_told_otherwise() -> None:
    kept, lost = case_objects("postgresql"), case_objects("live")
    assert workload(kept)["kind"] == "StatefulSet"
    (template,) = workload(kept)["spec"]["volumeClaimTemplates"]
    assert template["spec"]["resources"]["requests"]["storage"] == "2Gi"
    assert workload(kept)["spec"]["persistentVolumeClaimRetentionPolicy"]["whenScaled"] == "Retain"
    assert workload(lost)["kind"] == "Deployment"
    assert {"name": "state", "emptyDir": {"sizeLimit": "2Gi"}} in workload(lost)["spec"]["template"]["spec"]["volumes"]


def test_sqlite_is_one_pod_at_a_time_on_a_claim_that_outlives_the_release() -> None:
    found = case_objects("sqlite")
    assert workload(found)["spec"]["strategy"] == {"type": "Recreate"}
    assert workload(found)["spec"]["replicas"] == 1
    claim = one(found, "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert not [o for o in found if o["kind"] in ("Job", "PodDisruptionBudget", "HorizontalPodAutoscaler")]


def test_a_claim_of_ones_own_is_used_and_none_made() -> None:
    found = objects(over(LEAST, {"database": {"sqlite": {"existingClaim": "mine"}}}))
    assert not [o for o in found if o["kind"] == "PersistentVolumeClaim"]
    (volume,) = [v for v in workload(found)["spec"]["template"]["spec"]["volumes"] if v["name"] == "state"]
    assert volume["persistentVolumeClaim"] == {"claimName": "mine"}


@pytest.mark.parametrize(
    ("mode", "jobs", "containers"), [("hook", 1, []), ("initContainer", 0, ["migrate"]), ("none", 0, [])]
)
def test_postgresql_is_migrated_in_one_way(mode: str, jobs: int, containers: list[str]) -> None:
    found = objects(over(CASES["postgresql"], {"migration": {"mode": mode}}))
    assert len([o for o in found if o["kind"] == "Job"]) == jobs
    inits = workload(found)["spec"]["template"]["spec"].get("initContainers", [])
    assert [container["name"] for container in inits] == containers


def test_a_configuration_of_ones_own_ends_the_trial() -> None:
    def inits(name: str) -> list[str]:
        return [c["name"] for c in workload(case_objects(name))["spec"]["template"]["spec"].get("initContainers", [])]

    assert (inits("trial"), inits("sqlite"), inits("everything-off")) == (["sandbox"], [], [])


def test_pods_are_replaced_when_the_configuration_changes_and_left_alone_where_it_is_live() -> None:
    def template(*layers: dict[str, Any]) -> Object:
        found: Object = workload(objects(over(CASES["sqlite"], *layers)))["spec"]["template"]
        return found

    other = {"config": {"files": {"prompts/forum-reply.md": "You answer kindly.\n"}}}
    live = {"config": {"reload": "live"}}
    assert template() != template(other)
    assert template(live) == template(live, other)
    assert "checksum/config" not in template(live)["metadata"]["annotations"]
    # A new version of the chart that changes nothing else is no reason.
    assert (
        template()["metadata"]["annotations"]["checksum/config"]
        == (template({"podLabels": {"a": "b"}})["metadata"]["annotations"]["checksum/config"])
    )


def test_a_disruption_budget_is_there_where_it_can_be_kept() -> None:
    assert one(case_objects("postgresql"), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert one(case_objects("everything-on"), "PodDisruptionBudget")["spec"]["minAvailable"] == 2
    assert not [o for o in case_objects("trial") if o["kind"] == "PodDisruptionBudget"]


def test_the_grace_period_follows_from_how_long_stopping_takes() -> None:
    def grace_s(name: str) -> int:
        seconds: int = workload(case_objects(name))["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        return seconds

    assert (grace_s("trial"), grace_s("everything-on"), grace_s("live")) == (35, 115, 120)


def selectors(found: list[Object]) -> list[dict[str, str]]:
    """Return every selector that means the gateway's pods."""
    main = workload(found)
    chosen = [main["spec"]["selector"]["matchLabels"]]
    for spread in main["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
        chosen.append(spread["labelSelector"].get("matchLabels", chosen[0]))
    for object_ in found:
        spec = object_.get("spec", {})
        if object_["kind"] == "Service":
            chosen.append(spec["selector"])
        elif object_["kind"] in ("PodDisruptionBudget", "PodMonitor"):
            chosen.append(spec["selector"]["matchLabels"])
        elif object_["kind"] == "NetworkPolicy":
            chosen.append(spec["podSelector"]["matchLabels"])
    return chosen


def pods(found: list[Object]) -> list[Object]:
    templates = [o["spec"]["template"]["spec"] for o in found if o["kind"] in ("Deployment", "StatefulSet", "Job")]
    return templates + [o["spec"] for o in found if o["kind"] == "Pod"]


def own_containers(pod: Object) -> list[Object]:
    """Return the containers that the chart makes; the one of a case's values is named proxy."""
    return [c for c in [*pod["containers"], *pod.get("initContainers", [])] if c["name"] != "proxy"]
