import json
import re
from itertools import pairwise
from typing import Any, get_args, get_origin

import jsonschema_rs
import pytest
import yaml

from gateway.config.loader import load
from gateway.config.reference import REFERENCE_PATH, SCHEMA_PATH, reference_yaml, schema_json
from gateway.config.schema import RoutesFile
from gateway.config.schema_routes import RouteKeys
from gateway.config.schema_types import Entry, unwrapped

REFERENCE = REFERENCE_PATH.read_text()


def test_the_generated_files_are_up_to_date() -> None:
    assert schema_json() == SCHEMA_PATH.read_text()
    assert reference_yaml() == REFERENCE


def test_the_reference_loads() -> None:
    assert list(load(REFERENCE_PATH, environ={"OPENAI_API_KEY": "k"}).routes.routes) == ["invoice-extract"]


def _entries(model: type[Entry]) -> set[type[Entry]]:
    found = {model}
    for field in model.model_fields.values():
        annotation = unwrapped(field.annotation)
        while get_origin(annotation) in (dict, tuple):
            inner = get_args(annotation)
            annotation = unwrapped(inner[1] if get_origin(annotation) is dict else inner[0])
        if isinstance(annotation, type) and issubclass(annotation, Entry):
            found |= _entries(annotation)
    return found


def test_every_key_is_in_the_reference_and_has_a_description() -> None:
    for model in _entries(RoutesFile):
        for key, field in model.model_fields.items():
            assert re.search(rf"^ *(# |- )?{key}:", REFERENCE, re.MULTILINE), f"{model.__name__}.{key}"
            assert field.description, f"{model.__name__}.{key}"


def test_every_live_key_stands_under_a_comment() -> None:
    lines = REFERENCE.splitlines()
    fields = {key for model in _entries(RoutesFile) for key in model.model_fields} | set(RouteKeys.model_fields)
    bare = [
        line
        for above, line in pairwise(lines)
        if (key := re.match(r" *(?:- )?([a-z_0-9]+):", line))
        and key[1] in fields
        and not above.lstrip().startswith("#")
    ]
    assert bare == []


def _plain(text: str) -> Any:
    # Editors read dates as text.
    loader = type("Loader", (yaml.SafeLoader,), {"yaml_implicit_resolvers": {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith("timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }})  # fmt: skip
    return yaml.load(text, Loader=loader)


def test_the_json_schema_accepts_the_reference_and_the_repositorys_own_file() -> None:
    validator = jsonschema_rs.validator_for(json.loads(schema_json()))
    validator.validate(_plain(REFERENCE))
    validator.validate(_plain((REFERENCE_PATH.parent / "routes.yaml").read_text()))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("version: 1\nroute: {}", id="an unknown key"),
        pytest.param("version: 2", id="another version"),
        pytest.param("version: 1\nproviders: {a: {kind: opnai}}", id="a kind that does not exist"),
        pytest.param("version: 1\nroutes: {a: {fallback_on: [never]}}", id="a failure word that does not exist"),
    ],
)
def test_the_json_schema_refuses(text: str) -> None:
    assert not jsonschema_rs.validator_for(json.loads(schema_json())).is_valid(_plain(text))
