"""What the chart's tests render: real Helm, from its wheel, on values that people would write.

``python -m tests.helm.chart_cases`` writes tests/helm/golden/ anew.
"""

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "helm"
GOLDEN = Path(__file__).parent / "golden"
RELEASE, NAMESPACE = "understudy", "llm"

Values = dict[str, Any]
Object = dict[str, Any]

# Everybody must say these two.
LEAST: Values = {
    "image": {"repository": "registry.example.com/understudy"},
    "keys": {"existingSecret": "understudy-keys"},
}
ROUTES = """\
version: 1
providers:
  openai: {kind: openai, api_key_env: OPENAI_API_KEY}
fallbacks:
  luna: {provider: openai, model: gpt-6-luna, prompt: {instructions_file: "prompts/{route}.md"}}
defaults: {provider: openai, fallbacks: [luna]}
routes:
  forum-reply: ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4
"""
OWN_CONFIG: Values = {"routes": ROUTES, "files": {"prompts/forum-reply.md": "You answer forum posts.\n"}}
POSTGRESQL: Values = {"kind": "postgresql", "postgresql": {"existingSecret": "understudy-database"}}


def over(*layers: Values) -> Values:
    """Lay values over each other, the last on top."""
    merged: Values = {}
    for layer in layers:
        for key, value in layer.items():
            below = merged.get(key)
            merged[key] = over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


CASES: dict[str, Values] = {
    "trial": LEAST,
    "sqlite": over(
        LEAST,
        {
            "config": OWN_CONFIG,
            "providerKeys": {"fromSecrets": ["openai"]},
            "database": {"sqlite": {"size": "20Gi", "storageClass": "fast"}},
            "ingress": {
                "enabled": True,
                "className": "nginx",
                "annotations": {"nginx.ingress.kubernetes.io/proxy-buffering": "off"},
                "hosts": ["gateway.example.com"],
                "tls": [{"secretName": "gateway-tls", "hosts": ["gateway.example.com"]}],
            },
        },
    ),
    "postgresql": over(
        LEAST,
        {
            "replicas": 3,
            "config": OWN_CONFIG,
            "database": POSTGRESQL,
            "providerKeys": {"fromSecrets": ["openai"]},
            "monitoring": {"enabled": True, "labels": {"release": "kube-prometheus-stack"}},
        },
    ),
    "live": over(
        LEAST,
        {
            "replicas": 2,
            "keys": {"callerKey": "", "pepperKey": "GATEWAY_KEY_PEPPER", "observerKey": "OBSERVER_KEY"},
            "config": {**OWN_CONFIG, "reload": "live"},
            "database": POSTGRESQL,
            "journal": {"persistence": False},
            "migration": {"mode": "initContainer"},
            "providerKeys": {"filesFromSecret": "provider-keys"},
            "monitoring": {"enabled": True, "monitor": "PodMonitor", "rules": False, "dashboards": False},
            "terminationGracePeriodSeconds": 120,
        },
    ),
    "everything-on": over(
        LEAST,
        {
            "image": {"digest": "sha256:" + "a" * 64, "pullSecrets": ["registry"], "pullPolicy": "Always"},
            "keys": {"pepperKey": "GATEWAY_KEY_PEPPER", "observerKey": "OBSERVER_KEY", "callerPins": True},
            "rateLimits": {"existingSecret": "understudy-redis"},
            "config": {
                **OWN_CONFIG,
                "extraSources": [
                    {"configMap": {"name": "packs", "items": [{"key": "a", "path": "packs/a/pack.json"}]}}
                ],
            },
            "database": POSTGRESQL,
            "journal": {"size": "5Gi", "storageClass": "fast", "accessMode": "ReadWriteOncePod"},
            "autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 9, "behavior": {"scaleDown": {}}},
            "podDisruptionBudget": {"maxUnavailable": None, "minAvailable": 2},
            "providerKeys": {"fromSecrets": ["openai", "anthropic"], "filesFromSecret": "provider-keys"},
            "listenAddress": "::",
            "service": {"type": "LoadBalancer", "port": 8080, "annotations": {"a": "b"}},
            "ingress": {"enabled": True, "hosts": ["gateway.example.com"], "paths": ["/v1", "/ui"]},
            "httpRoute": {
                "enabled": True,
                "annotations": {"a": "b"},
                "parentRefs": [{"name": "public", "namespace": "gateways"}],
                "hostnames": ["gateway.example.com"],
            },
            "networkPolicy": {
                "enabled": True,
                "ingressFrom": [{"namespaceSelector": {"matchLabels": {"team": "support"}}}],
                "extraEgress": [{"ports": [{"port": 8000}], "to": [{"podSelector": {"matchLabels": {"app": "vllm"}}}]}],
            },
            "stopping": {"drainSeconds": 100, "lingerSeconds": 10, "preStopSeconds": 5},
            "settings": {
                "logLevel": "debug",
                "logRequests": "errors",
                "uiActions": True,
                "keyResidency": "eu",
                "headerSeconds": 5,
                "bodySeconds": 60,
                "maxConnections": 500,
                "otlpEndpoint": "http://collector:4318",
            },
            "monitoring": {
                "enabled": True,
                "gatewayUrl": "https://gateway.example.com",
                "dashboardAnnotations": {"grafana_folder": "Understudy"},
            },
            "serviceAccount": {"annotations": {"a": "b"}},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
            ],
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "llm", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "priorityClassName": "high",
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}},
            "annotations": {"a": "b"},
            "podAnnotations": {"c": "d"},
            "podLabels": {"e": "f"},
            "metricsPort": 9464,
            "extraEnv": [{"name": "OTEL_TRACES_SAMPLER", "value": "always_off"}],
            "extraEnvFrom": [{"configMapRef": {"name": "more"}}],
            "extraVolumes": [{"name": "more", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
            "extraInitContainers": [{"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"}],
        },
    ),
    "everything-off": over(
        LEAST,
        {
            "config": {"existingConfigMap": "routes"},
            "database": {**POSTGRESQL, "sqlite": {"keep": False}},
            "journal": {"persistence": False},
            "migration": {"mode": "none"},
            "podDisruptionBudget": {"enabled": False},
            "serviceAccount": {"create": False},
            "resources": {"requests": None, "limits": None},
        },
    ),
}


@functools.cache
def chart() -> helm_python.Chart:
    return helm_python.Chart.load(CHART)


def texts(values: Values) -> dict[str, str]:
    """Render; return what each template became, by its path in the chart."""
    rendered = chart().render(values=values, name=RELEASE, namespace=NAMESPACE)
    return {path.removeprefix("understudy/templates/"): text for path, text in rendered.items()}


def objects_in(text: str) -> Iterator[Object]:
    return (document for document in yaml.load_all(text, yaml.CSafeLoader) if document)


def objects(values: Values) -> list[Object]:
    """Render; return the Kubernetes objects."""
    return [
        found for path, text in sorted(texts(values).items()) if path.endswith(".yaml") for found in objects_in(text)
    ]


@functools.cache
def case_objects(name: str) -> list[Object]:
    return objects(CASES[name])


def one(found: list[Object], kind: str, name: str | None = None) -> Object:
    """Return the only object of a kind, and a name where there are several."""
    matching = [o for o in found if o["kind"] == kind and name in (None, o["metadata"]["name"])]
    assert len(matching) == 1, [(o["kind"], o["metadata"]["name"]) for o in found]
    return matching[0]


def workload(found: list[Object]) -> Object:
    (only,) = [o for o in found if o["kind"] in ("Deployment", "StatefulSet")]
    return only


def gateway_container(found: list[Object]) -> Object:
    (container,) = workload(found)["spec"]["template"]["spec"]["containers"]
    return container


def is_hook(found: Object) -> bool:
    return "helm.sh/hook" in found["metadata"].get("annotations", {})


def golden_of(name: str) -> str:
    """Return a case's values and all that they become; rules and dashboards are compared with their files instead."""
    values = yaml.dump(json.loads(json.dumps(CASES[name])), Dumper=_Readable, sort_keys=False, width=118)
    parts = [f"# Values:\n{_commented(values, indent=2)}"]
    for path, text in sorted(texts(CASES[name]).items()):
        if text.strip() and path not in ("rules.yaml", "dashboards.yaml", "NOTES.txt"):
            parts.append(f"--- # {path}\n{text.strip()}\n")
    notes = texts(CASES[name])["NOTES.txt"].strip()
    return "".join([*parts, f"--- # NOTES.txt\n{_commented(notes)}"])


class _Readable(yaml.SafeDumper):
    """Writes texts of several lines as such."""


_Readable.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def _commented(text: str, indent: int = 0) -> str:
    return "".join(f"# {' ' * indent}{line}".rstrip() + "\n" for line in text.splitlines())


def write_golden() -> None:
    for name in CASES:
        (GOLDEN / f"{name}.yaml").write_text(golden_of(name), encoding="utf-8")


if __name__ == "__main__":
    write_golden()
