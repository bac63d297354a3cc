import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.config.findings import InvalidRoutes
from gateway.config.loader import Loaded, load
from gateway.config.routes import Provider


def loaded(tmp_path: Path, entry: str, environ: dict[str, str] | None = None) -> Loaded:
    (tmp_path / "routes.yaml").write_text(
        f"version: 1\nproviders:\n  p: {entry}\nroutes: {{r: {{provider: p, primary: m}}}}\n"
    )
    return load(tmp_path / "routes.yaml", environ=environ or {})


def provider(tmp_path: Path, entry: str) -> Provider:
    return loaded(tmp_path, entry).routes.providers["p"]


@pytest.mark.parametrize(
    ("entry", "base_url", "elsewhere"),
    [
        pytest.param("{kind: openai}", "https://api.openai.com/v1", False, id="the vendor's own"),
        pytest.param("{kind: openai, base_url: 'https://api.openai.com/v1/'}", "https://api.openai.com/v1", False,
                     id="the vendor's own, written"),
        pytest.param("{kind: anthropic, base_url: 'https://proxy/claude'}", "https://proxy/claude", True, id="a proxy"),
        pytest.param("{kind: gemini, base_url: 'https://proxy'}", "https://proxy/v1beta", True, id="a bare host"),
        pytest.param("{kind: bedrock, region: us-east-1, identity: aws}",
                     "https://bedrock-runtime.us-east-1.amazonaws.com", False, id="of a region"),
        pytest.param("{kind: azure, base_url: 'https://w'}", "https://w/openai/v1", True, id="Azure's newest surface"),
        pytest.param("{kind: azure, base_url: 'https://w', api_version: '1'}", "https://w/openai", True,
                     id="Azure's dated surface"),
        pytest.param("{kind: azure, base_url: 'https://w/openai/v1', api_version: '1'}", "https://w/openai", True,
                     id="whichever surface was written"),
        pytest.param("{kind: azure, base_url: 'https://w/a/openai/deployments/d/chat/completions', api_version: '1'}",
                     "https://w/a/openai", True, id="even a deployment's"),
    ],
)  # fmt: skip
def test_the_address(entry: str, base_url: str, elsewhere: bool, tmp_path: Path) -> None:
    found = provider(tmp_path, entry)
    assert (found.base_url, found.is_elsewhere) == (base_url, elsewhere)


@pytest.mark.parametrize(
    ("entry", "fields"),
    [
        pytest.param(
            "{kind: vertex, project: acme-1, location: europe-west4, identity: google}",
            {"project": "acme-1", "location": "europe-west4", "identity": "google"},
            id="Google's",
        ),
        pytest.param(
            "{kind: azure, base_url: 'https://w', api_version: 2024-10-21-preview, identity: azure}",
            {"api_version": "2024-10-21-preview", "identity": "azure"},
            id="Azure's",
        ),
    ],
)
def test_what_a_cloud_needs_to_know(entry: str, fields: dict[str, Any], tmp_path: Path) -> None:
    found = loaded(tmp_path, entry)
    assert found.routes.providers["p"].model_dump(include=set(fields)) == fields
    assert not [warning for warning in found.warnings if warning.missing_secret], "an identity is as good as a key"


def test_without_a_key_the_warning_names_the_identity_that_would_do(tmp_path: Path) -> None:
    (warning,) = [
        each for each in loaded(tmp_path, "{kind: bedrock, region: us-east-1}").warnings if each.missing_secret
    ]
    assert str(warning).endswith(
        "providers.p: bedrock asks for a key; name it with api_key_env or api_key_file, or say identity: aws"
    )


@pytest.mark.parametrize("absent", ["azure.identity", "azure"])
def test_an_identity_whose_library_is_absent(absent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(InvalidRoutes) as refused:
        loaded(tmp_path, "{kind: azure, base_url: 'https://w', identity: azure}")
    assert str(refused.value) == (
        "routes.yaml:3: providers.p: identity azure needs a library that is not installed; "
        "install understudy-gateway[azure]"
    )
