"""What the chart refuses, and whether its words say what to do."""

import re
from typing import Any

import helm_python
import pytest

from tests.helm.chart_cases import LEAST, POSTGRESQL, chart, objects, over

SHAPES: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelt value": ({"replicaCount": 3}, "additional properties 'replicaCount' not allowed"),
    "a misspelt value further down": (
        {"keys": {"existingSecretName": "x"}},
        "at '/keys': additional properties 'existingSecretName' not allowed",
    ),
    "a text for a number": ({"replicas": "three"}, "at '/replicas': got string, want integer"),
    "no replica": ({"replicas": 0}, "at '/replicas': minimum: got 0, want 1"),
    "another database": ({"database": {"kind": "mysql"}}, "must be one of 'sqlite', 'postgresql'"),
    "another way to reload": ({"config": {"reload": "hot"}}, "must be one of 'rollout', 'live'"),
    "another way to migrate": ({"migration": {"mode": "job"}}, "must be one of 'hook', 'initContainer', 'none'"),
    "another monitor": (
        {"monitoring": {"monitor": "Probe"}},
        "must be one of 'ServiceMonitor', 'PodMonitor', 'none'",
    ),
    "an address that only the pod could reach": (
        {"listenAddress": "127.0.0.1"},
        "at '/listenAddress': value must be one of '0.0.0.0', '::'",
    ),
    "a tag in the repository": (
        {"image": {"repository": "understudy:latest"}},
        "at '/image/repository': 'understudy:latest' does not match",
    ),
    "a digest that is none": ({"image": {"digest": "abc"}}, "at '/image/digest'"),
    "a size without a unit": ({"journal": {"size": "2000000000"}}, "at '/journal/size'"),
    "a share that is none": (
        {"podDisruptionBudget": {"maxUnavailable": "half"}},
        "/podDisruptionBudget/maxUnavailable",
    ),
    "a key in the values": ({"keys": {"GATEWAY_KEY": "s3cret"}}, "additional properties 'GATEWAY_KEY' not allowed"),
    "a database's URL in the values": (
        {"database": {"postgresql": {"url": "postgresql://u:p@h/d"}}},
        "additional properties 'url' not allowed",
    ),
    "a file outside the directory": ({"config": {"files": {"/etc/passwd": "x"}}}, "invalid propertyName '/etc/passwd'"),
    "a number where the environment takes texts": ({"extraEnv": [{"name": "A", "value": 1}]}, "at '/extraEnv/0/value'"),
    "a longer drain than the gateway takes": ({"stopping": {"drainSeconds": 9999}}, "maximum: got 9,999, want 3,600"),
    "a pepper in the values": ({"keys": {"pepper": "s3cret"}}, "additional properties 'pepper' not allowed"),
    "a Redis server's URL in the values": (
        {"rateLimits": {"url": "redis://:word@redis:6379"}},
        "additional properties 'url' not allowed",
    ),
    "no operator's key": ({"keys": {"adminKey": ""}}, "at '/keys/adminKey'"),
    "no time for a head to arrive": ({"settings": {"headerSeconds": 0}}, "minimum: got 0, want 1"),
    "more time for a body than the gateway takes": (
        {"settings": {"bodySeconds": 7200}},
        "maximum: got 7,200, want 3,600",
    ),
    "nobody may connect": ({"settings": {"maxConnections": 0}}, "at '/settings/maxConnections': minimum"),
    "an open door": ({"settings": {"open": True}}, "additional properties 'open' not allowed"),
    "a log level that is none": ({"settings": {"logLevel": "verbose"}}, "at '/settings/logLevel'"),
    "a path that does not begin with a slash": ({"ingress": {"paths": ["v1"]}}, "at '/ingress/paths/0'"),
    "nothing to route": ({"ingress": {"paths": []}}, "at '/ingress/paths': minItems"),
    "a port that is none": ({"service": {"port": 80_000}}, "at '/service/port'"),
    "a label that is no text": ({"podLabels": {"a": 1}}, "at '/podLabels/a': got number, want string"),
    "a part that is taken away": ({"stopping": None}, "missing property 'stopping'"),
    "a name that Kubernetes does not take": ({"keys": {"existingSecret": "My_Keys"}}, "at '/keys/existingSecret'"),
}

TOGETHER: dict[str, tuple[dict[str, Any], str]] = {
    "no image": ({"image": {"repository": ""}}, "build it from the repository's Dockerfile, push it, and name it here"),
    "no keys": (
        {"keys": {"existingSecret": ""}},
        "create a Secret with GATEWAY_KEY and GATEWAY_ADMIN_KEY, and name it here",
    ),
    "nobody with a key": (
        {"keys": {"callerKey": ""}},
        "keys.callerKey and keys.pepperKey are both empty: nobody could call",
    ),
    "pins of a key that there is not": (
        {"keys": {"callerKey": "", "pepperKey": "PEPPER", "callerPins": True}},
        "keys.callerPins is a property of the callers' key",
    ),
    "a residency of a key that there is not": (
        {"keys": {"callerKey": "", "pepperKey": "PEPPER"}, "settings": {"keyResidency": "eu"}},
        "settings.keyResidency is a property of the callers' key",
    ),
    "an observer's key that nothing could know": (
        {"keys": {"observerKey": "OBSERVER_KEY"}},
        "keys.observerKey without keys.pepperKey",
    ),
    "Prometheus without a key": (
        {"keys": {"callerKey": "", "pepperKey": "PEPPER"}, "monitoring": {"enabled": True}},
        "monitoring.enabled, and nothing opens /metrics: set metricsPort, or put an observer's key",
    ),
    "one secret for two": (
        {"keys": {"pepperKey": "GATEWAY_KEY"}},
        "keys.callerKey and keys.pepperKey are both GATEWAY_KEY: one secret in two places",
    ),
    "a gateway for anybody": (
        {"extraEnv": [{"name": "GATEWAY_OPEN", "value": "true"}]},
        "give callers keys instead (keys.callerKey, keys.pepperKey)",
    ),
    "a secret among the variables": (
        {"extraEnv": [{"name": "GATEWAY_KEY_PEPPER", "value": "0123456789abcdef0123456789abcdef"}]},
        "extraEnv has GATEWAY_KEY_PEPPER as a text, and it is a secret: put it into a Secret (keys.pepperKey)",
    ),
    "SQLite with three replicas": ({"replicas": 3}, "replicas is 3 with SQLite: its file serves one replica"),
    "SQLite with an autoscaler": ({"autoscaling": {"enabled": True}}, "autoscaling.enabled with SQLite"),
    "SQLite with pods that overlap": (
        {"strategy": {"type": "RollingUpdate"}},
        "strategy.type is RollingUpdate with SQLite: two pods would write one file",
    ),
    "PostgreSQL without a URL": ({"database": {"kind": "postgresql"}}, "database.postgresql.existingSecret is empty"),
    "Recreate for a StatefulSet": (
        {"database": POSTGRESQL, "strategy": {"type": "Recreate"}},
        "with journal.persistence this is a StatefulSet",
    ),
    "OnDelete for a Deployment": (
        {"database": POSTGRESQL, "journal": {"persistence": False}, "strategy": {"type": "OnDelete"}},
        "without journal.persistence this is a Deployment",
    ),
    "a grace period shorter than the stop": (
        {"terminationGracePeriodSeconds": 34},
        "terminationGracePeriodSeconds is 34: the gateway would be killed while it stops; it needs 35",
    ),
    "a grace period that forgets preStop": (
        {"terminationGracePeriodSeconds": 40, "stopping": {"preStopSeconds": 10}},
        "it needs 45 (preStopSeconds 10 + drainSeconds 25 + 10)",
    ),
    "lingering beyond the drain": (
        {"stopping": {"drainSeconds": 4}},
        "stopping.lingerSeconds is 5, longer than stopping.drainSeconds (4)",
    ),
    "an autoscaler upside down": (
        {"database": POSTGRESQL, "autoscaling": {"enabled": True, "minReplicas": 7}},
        "autoscaling.minReplicas is 7, more than autoscaling.maxReplicas (6)",
    ),
    "an autoscaler with nothing to count by": (
        {"database": POSTGRESQL, "autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}},
        "autoscaling.enabled without resources.requests.cpu",
    ),
    "a budget that lets nobody go": (
        {"database": POSTGRESQL, "replicas": 3, "podDisruptionBudget": {"maxUnavailable": 0}},
        "podDisruptionBudget lets no pod go",
    ),
    "a budget of all of one replica": (
        {"podDisruptionBudget": {"maxUnavailable": None, "minAvailable": 1}},
        "podDisruptionBudget.minAvailable keeps 1 of 1 replicas: no node could ever be drained",
    ),
    "a budget of all that the autoscaler keeps": (
        {
            "database": POSTGRESQL,
            "autoscaling": {"enabled": True},
            "podDisruptionBudget": {"maxUnavailable": None, "minAvailable": 2},
        },
        "podDisruptionBudget.minAvailable keeps 2 of 2 replicas",
    ),
    "a budget whose share is rounded up to all": (
        {"database": POSTGRESQL, "replicas": 3, "podDisruptionBudget": {"maxUnavailable": None, "minAvailable": "67%"}},
        "podDisruptionBudget.minAvailable keeps 3 of 3 replicas",
    ),
    "a budget said twice": (
        {"database": POSTGRESQL, "replicas": 3, "podDisruptionBudget": {"minAvailable": 1}},
        "set one of them to null",
    ),
    "a budget that says nothing": ({"podDisruptionBudget": {"maxUnavailable": None}}, "neither minAvailable nor"),
    "two configurations": (
        {"config": {"existingConfigMap": "routes", "routes": "version: 1\n"}},
        "config.existingConfigMap is in the place of config.routes and config.files",
    ),
    "items of no ConfigMap": (
        {"config": {"existingItems": [{"key": "a", "path": "b"}]}},
        "config.existingItems belongs to config.existingConfigMap",
    ),
    "files that nothing names": ({"config": {"files": {"a.md": "x"}}}, "config.files without config.routes"),
    "a file's name for routes.yaml": (
        {"config": {"routes": "routes.yaml"}},
        "config.routes cannot be read: it takes the text of routes.yaml (--set-file config.routes=routes.yaml)",
    ),
    "routes.yaml that is no YAML": ({"config": {"routes": "version: [1"}}, "did not find expected ',' or ']'"),
    "some other YAML": ({"config": {"routes": "a: b"}}, "config.routes has no version"),
    "a file that would replace routes.yaml": (
        {"config": {"routes": "version: 1\n", "files": {"routes.yaml": "x"}}},
        "routes.yaml is no path for a file beside routes.yaml",
    ),
    "a file further up": (
        {"config": {"routes": "version: 1\n", "files": {"a/../../b": "x"}}},
        "a/../../b is no path for a file beside routes.yaml",
    ),
    "two files of one key": (
        {"config": {"routes": "version: 1\n", "files": {"a/b": "x", "a__b": "y"}}},
        "a/b and a__b would be one key of the ConfigMap",
    ),
    "more than a ConfigMap takes": (
        {"config": {"routes": "version: 1\n", "files": {"pack.json": "x" * 1_000_000}}},
        "put packs into the database (gateway pack push)",
    ),
    "a journal larger than its disk": (
        {"database": POSTGRESQL, "config": {"routes": "version: 1\nledger: {journal_mib: 4096}\n"}},
        "journal.size is 2Gi, and the journal alone may take 4096 MiB",
    ),
    "a disk smaller than the journal may grow": (
        {"database": {"sqlite": {"size": "1Gi"}}},
        "database.sqlite.size is 1Gi, and the journal alone may take 1024 MiB",
    ),
    "a variable that the chart sets": (
        {"extraEnv": [{"name": "GATEWAY_DRAIN_S", "value": "3"}]},
        "extraEnv has GATEWAY_DRAIN_S, which the chart sets itself",
    ),
    "metrics where callers are served": ({"metricsPort": 8080}, "metricsPort is 8080, where callers are served"),
    "metrics where the trial's sandbox listens": (
        {"metricsPort": 8081},
        "metricsPort is 8081, where the trial's sandbox listens",
    ),
    "an ingress to nowhere": ({"ingress": {"enabled": True}}, "ingress.enabled without ingress.hosts"),
    "a route of no Gateway": ({"httpRoute": {"enabled": True}}, "httpRoute.enabled without httpRoute.parentRefs"),
}


@pytest.mark.parametrize(("values", "words"), SHAPES.values(), ids=SHAPES)
def test_a_value_of_the_wrong_shape_is_refused_with_its_place(values: dict[str, Any], words: str) -> None:
    with pytest.raises(helm_python.HelmValuesError, match=re.escape(words)):
        objects(over(LEAST, values))


@pytest.mark.parametrize(("values", "words"), TOGETHER.values(), ids=TOGETHER)
def test_values_that_do_not_go_together_are_refused_with_the_way_out(values: dict[str, Any], words: str) -> None:
    with pytest.raises(helm_python.HelmRenderError) as refused:
        objects(over(LEAST, values))
    told = str(refused.value)
    assert words in told
    # One mistake, one sentence: nothing else is blamed with it.
    assert told.count("\n  - ") == 1


@pytest.mark.parametrize("name", sorted(chart().values))
def test_whatever_is_taken_away_is_missed_in_words(name: str) -> None:
    if name in ("terminationGracePeriodSeconds", "metricsPort"):
        assert objects(over(LEAST, {name: None}))
        return
    with pytest.raises(helm_python.HelmValuesError, match=f"missing property '{name}'"):
        objects(over(LEAST, {name: None}))


@pytest.mark.parametrize("ledger", ["", "null", "{}", "[]", "{journal_mib: null}"])
def test_a_strange_ledger_is_left_to_gateway_check(ledger: str) -> None:
    assert objects(over(LEAST, {"config": {"routes": f"version: 1\nledger: {ledger}\n"}}))


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(helm_python.HelmRenderError) as refused:
        objects({"replicas": 2, "terminationGracePeriodSeconds": 1})
    assert str(refused.value).count("\n  - ") == 4


def test_the_schema_and_the_commented_values_know_the_same() -> None:
    schema = chart().schema
    assert schema is not None
    assert known_to(schema, schema["definitions"]) == named_in(chart().values)


def known_to(schema: dict[str, Any], shared: dict[str, Any], at: str = "") -> set[str]:
    """Return every value that the schema lists, by its path; what it takes as it is has no paths further down."""
    if "$ref" in schema:
        schema = shared[schema["$ref"].removeprefix("#/definitions/")]
    if "properties" not in schema or schema == shared["probe"] or at == "/strategy" or at == "/resources":
        return {at}
    assert schema["additionalProperties"] is False, at
    return {
        path
        for key, part in schema["properties"].items()
        if key != "global"
        for path in known_to(part, shared, f"{at}/{key}")
    }


def named_in(values: Any, at: str = "") -> set[str]:
    """Return every value that values.yaml has, by its path, as far down as the schema lists them."""
    free = at.startswith(("/probes/", "/resources", "/podSecurityContext", "/securityContext"))
    if not isinstance(values, dict) or not values or free or at == "/monitoring/dashboardLabels":
        return {at}
    return {path for key, value in values.items() for path in named_in(value, f"{at}/{key}")}


def test_an_umbrella_charts_own_values_are_let_through() -> None:
    assert objects(over(LEAST, {"global": {"imageRegistry": "example.com"}}))
