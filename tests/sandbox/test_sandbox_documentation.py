import re
import subprocess
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from programs import required

from gateway.sandbox.app import ENDPOINTS
from gateway.sandbox.catalogue import default_catalogue
from gateway.sandbox.retirement import STYLES
from tests.sandbox_server import RunningSandbox

TEXT = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
COMMANDS = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_every_command_of_the_page_works_in_its_order(sandbox: RunningSandbox) -> None:
    required("curl")
    answers = []
    for command in COMMANDS:
        script = "set -e\n" + command.replace("http://127.0.0.1:8081", sandbox.url)
        answers.append(
            subprocess.run(["bash", "-c", script], capture_output=True, check=True, timeout=30).stdout.decode()
        )
    listed, asked, retired, restored, bill, elsewhere, media, refused, jobs, trained, died, adjusted, faulty = answers
    assert '"shutdown_date"' in listed
    assert "Hi there" in asked
    assert "400 Bad Request" in retired
    assert "model_decommissioned" in retired
    assert '"retired_as":null' in restored
    assert '"attempt_id":"my-call-1"' in bill
    assert '"reasoning_tokens":32' in elsewhere
    assert '"object":"embedding"' in elsewhere
    assert '"object":"text_completion"' in elsewhere
    assert '"flagged":true' in media
    assert '"b64_json":"iVBORw0KGgo' in media
    assert '{"text":"Good morning","usage":' in media
    assert "Unsupported value: 'temperature' does not support 0.2" in refused
    assert "422 Unprocessable" in refused
    assert '"object":"fine_tuning.job"' in jobs
    assert '"has_more":true' in jobs
    assert '"purpose":"fine-tune"' in jobs
    assert '"content":"Rule 7 is secret."' in trained
    assert '"status":"succeeded"' in trained
    assert "404 Not Found" in died
    assert '"output":"5.00"' in adjusted
    assert "retry-after: 2" in faulty
    assert '"finish_reason":"' not in faulty


def test_the_page_names_every_way_to_die() -> None:
    assert [style for style in STYLES if f"`{style}`" not in TEXT] == []


def test_the_page_lists_every_model_at_its_price_and_every_endpoint() -> None:
    listed = {
        model: tuple(map(Decimal, prices.split(" / ")))
        for model, prices in re.findall(r"^\| `([^`]+)`.* \| ([\d. /]+) \|$", TEXT, re.MULTILINE)
    }
    for model in default_catalogue(datetime(2026, 11, 24, tzinfo=UTC)):
        assert f"`{model.id}`" in TEXT
        if model.fault is None and any(model.kind in endpoint.kinds for endpoint in ENDPOINTS):
            assert listed.pop(model.id) == (model.price.input, model.price.cached_input, model.price.output)
    assert listed == {}
    assert re.findall(r"^\| `POST /v1(/\S+)` \|", TEXT, re.MULTILINE) == [endpoint.path for endpoint in ENDPOINTS]
