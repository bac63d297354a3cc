"""What docs/learning.md shows of routes.yaml loads, and the words it uses are those of the code."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.cli.metrics_reference import families
from gateway.config.loader import load
from gateway.config.schema_routes import RouteKeys

TEXT = (Path(__file__).parent.parent / "docs" / "learning.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda body: body.splitlines()[0])
def test_what_is_shown_of_routes_yaml_loads(tmp_path: Path, snippet: str) -> None:
    shown: dict[str, Any] = yaml.safe_load(snippet)
    routes: dict[str, Any] = {
        "version": 1,
        "providers": {"openai": {"kind": "openai", "api_key_env": "OPENAI_API_KEY"}},
        "fallbacks": {"luna": {"provider": "openai", "model": "gpt-6-luna"}},
        "defaults": {"provider": "openai", "fallbacks": ["luna"]},
        "routes": {"forum-reply": "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"},
    }
    for key, value in shown.items():
        place = routes["defaults"] if key in RouteKeys.model_fields and key != "fallbacks" else routes
        place[key] = value
    path = tmp_path / "routes.yaml"
    path.write_text(yaml.safe_dump(routes))
    load(path, environ={"OPENAI_API_KEY": "secret"})


def test_there_is_something_to_load() -> None:
    assert len(SNIPPETS) == 4


def test_the_metrics_it_names_are_there() -> None:
    named = set(re.findall(r"gateway_[a-z_]+(?=\{)", TEXT))
    assert named
    assert named <= {family.name for family in families()}
