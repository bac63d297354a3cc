import subprocess
import sys
from datetime import date
from pathlib import Path

import orjson
import pytest

from gateway.providers.litellm_map import LitellmMap, bundled_map

ROWS = {
    "gpt-x": {"litellm_provider": "openai", "deprecation_date": "2027-01-14"},
    "ft:gpt-x": {"litellm_provider": "openai", "deprecation_date": "2027-02-01"},
    "azure/gpt-x": {"litellm_provider": "azure", "deprecation_date": "2027-04-14"},
    "azure/us/gpt-x": {"litellm_provider": "azure", "deprecation_date": "2027-04-15"},
    "1024-x-1024/gpt-x": {"litellm_provider": "openai", "deprecation_date": "2027-01-14"},
    "together_ai/org/m": {"litellm_provider": "together_ai", "deprecation_date": "2026-10-22"},
    "gemini-x": {"litellm_provider": "vertex_ai-language-models", "deprecation_date": "2026-12-01"},
    "gemini/gemini-x": {"litellm_provider": "gemini", "deprecation_date": "2026-12-02"},
    "vertex_ai/claude-x": {"litellm_provider": "vertex_ai-anthropic_models", "deprecation_date": "2026-12-03"},
    "claude-x": {"litellm_provider": "anthropic", "deprecation_date": "2026-12-04"},
    "eu.anthropic.claude-x": {"litellm_provider": "bedrock_converse", "deprecation_date": "2026-12-05"},
    "bedrock/us-east-1/x": {"litellm_provider": "bedrock", "deprecation_date": "2026-12-06"},
    "gpt-y": {"litellm_provider": "openai", "deprecation_date": "soon"},
    "gpt-z": {"litellm_provider": "openai", "deprecation_date": None},
    "gpt-n": {"litellm_provider": "openai", "deprecation_date": 20270114},
    "gpt-w": {"litellm_provider": "openai"},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "map.json"
    path.write_bytes(orjson.dumps(ROWS))
    return path


@pytest.mark.parametrize(
    ("model", "day"),
    [
        pytest.param(("openai", "gpt-x"), date(2027, 1, 14), id="a key without a prefix is OpenAI's"),
        pytest.param(("openai", "ft:gpt-x"), date(2027, 2, 1), id="the fine-tunes of a base have a row of their own"),
        pytest.param(("azure", "gpt-x"), date(2027, 4, 14), id="a prefix is a kind"),
        pytest.param(("azure", "us/gpt-x"), None, id="the price of a region is no model"),
        pytest.param(("openai", "1024-x-1024/gpt-x"), None, id="nor is the size of a picture"),
        pytest.param(("together", "org/m"), date(2026, 10, 22), id="elsewhere ids have slashes"),
        pytest.param(("openai", "gemini-x"), None, id="another vendor's row without a prefix"),
        pytest.param(("vertex", "gemini-x"), date(2026, 12, 1), id="which is Google's"),
        pytest.param(("gemini", "gemini-x"), date(2026, 12, 2), id="of two APIs"),
        pytest.param(("vertex", "claude-x"), date(2026, 12, 3), id="where others' models have a prefix"),
        pytest.param(("anthropic", "claude-x"), date(2026, 12, 4), id="their maker's own row has none"),
        pytest.param(("bedrock", "eu.anthropic.claude-x"), date(2026, 12, 5), id="an inference profile"),
        pytest.param(("bedrock", "bedrock/us-east-1/x"), None, id="the price of a region is no model there either"),
        pytest.param(("openai", "gpt-y"), None, id="a day that is none"),
        pytest.param(("openai", "gpt-n"), None, id="a number is no day"),
        pytest.param(("openai", "gpt-z"), None, id="null"),
        pytest.param(("openai", "gpt-w"), None, id="no such field"),
    ],
)
def test_the_dates_of_a_map(model: tuple[str, str], day: date | None, file: Path) -> None:
    assert LitellmMap(file).dates().get(model) == day


def test_one_reading_is_enough_for_prices_and_dates(file: Path) -> None:
    read = LitellmMap(file)
    assert read.read().keys() == ROWS.keys()
    file.unlink()
    assert read.dates()["openai", "gpt-x"] == date(2027, 1, 14)


def test_dates_are_read_once(file: Path) -> None:
    read = LitellmMap(file)
    first = read.dates()
    file.unlink()
    assert read.dates() is first


def test_without_litellm_nothing_is_known() -> None:
    assert LitellmMap(None).read() == {}
    assert LitellmMap(None).dates() == {}


def test_the_bundled_map_has_dates_of_many_models() -> None:
    dates = bundled_map().dates()
    assert dates["openai", "ft:gpt-4o-mini-2024-07-18"] == date(2027, 1, 14)
    assert len(dates) > 200
    assert not any("/" in model for kind, model in dates if kind in ("openai", "azure"))


def test_nothing_is_read_before_somebody_asks_and_kinds_without_rows_never_do() -> None:
    script = (
        "from gateway.config.routes import Provider, Routes, Target\n"
        "from gateway.lifecycle.calendar import Calendar\n"
        "from gateway.providers.litellm_map import bundled_map\n"
        "def asks(kind):\n"
        "    provider = Provider(name='p', kind=kind, base_url='http://127.0.0.1:9')\n"
        "    target = Target(name='primary', role='primary', provider=provider, model='gpt-4o-2024-08-06')\n"
        "    return Calendar(Routes(config_hash='x', routes={}, providers={})).dates_of(target)\n"
        "assert asks('sandbox').origin is None and asks('vllm').origin is None\n"
        "assert bundled_map()._dates is None\n"
        "assert asks('openai').shutdown\n"
        "assert bundled_map()._dates\n"
        "import sys; assert 'litellm' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
