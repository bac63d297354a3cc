"""What is found out before a row is uploaded: the rows themselves, the dates, and whether the provider is open."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from job_server import KEY, Fault, JobServer, running_job_server
from tuned_route import BASE, PRIMARY, SYSTEM, routes_yaml, row, write_dataset

from gateway.clock import SystemClock
from gateway.config.loader import load
from gateway.config.routes import Provider, Routes
from gateway.errors import ConfigError
from gateway.learning.datasets.building import EVALUATION, TRAIN
from gateway.learning.datasets.formats import FORMATS
from gateway.learning.tuning.job_client import ABSENT_FILE, JobClient
from gateway.learning.tuning.material import common_systems, material_of, tokens_trained_on, trained_systems
from gateway.learning.tuning.preflight import api_of, check_dates, check_open, default_base, planned
from gateway.providers.http_client import HttpClient
from gateway.providers.job_apis import JOB_APIS
from gateway.providers.openai_wire import Upstream

SFT = FORMATS["openai-sft"]
TODAY = date(2026, 11, 29)
CLOSED = {"error": {"message": f"not for you, {KEY}", "code": "training_not_available"}}


def routes_of(directory: Path, **changes: str) -> Routes:
    path = directory / "routes.yaml"
    path.write_text(routes_yaml("http://127.0.0.1:1/v1", **changes))
    return load(path, environ={"TUNING_KEY": KEY}).routes


# The rows.


def test_a_data_set_becomes_what_the_trainer_takes(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path / "set", 90)
    found = material_of(tmp_path / "set", SFT, BASE, "reply")
    assert found.manifest.dataset_hash == manifest.dataset_hash
    assert found.rows == len(manifest.rows(TRAIN)) == found.training.count(b"\n")
    assert found.validation_rows == len(manifest.rows(EVALUATION)) >= SFT.fewest_rows
    assert found.tokens == tokens_trained_on(found.training) > 20 * found.rows
    assert trained_systems(found.manifest) == (SYSTEM,)
    assert not set(found.training.split(b"\n")[:-1]) & set((found.validation or b"").split(b"\n")[:-1])


def test_a_system_message_of_few_rows_or_with_something_blacked_out_is_none_that_applications_send() -> None:
    systems = {"Answer kindly.": 20, "Answer [email].": 40, "": 30, "Be brief.": 3}
    assert common_systems(systems, 100, ["email"]) == ("Answer kindly.",)
    assert common_systems(systems, 101, []) == ("Answer [email].",)


def test_fewer_rows_to_validate_with_than_the_trainer_takes_stay_at_home(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path / "set", 30)
    assert 0 < len(manifest.rows(EVALUATION)) < SFT.fewest_rows
    assert material_of(tmp_path / "set", SFT, BASE, "reply").validation is None


UNFIT = [
    ("too few rows", 8, {}, "has 7 rows, and OpenAI, Azure wants 10"),
    (
        "tools that Bedrock has no place for",
        40,
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]},
        "has no training rows for bedrock",
    ),
]


@pytest.mark.parametrize(("rows", "changes", "said"), [row[1:] for row in UNFIT], ids=[row[0] for row in UNFIT])
def test_rows_that_the_trainer_would_refuse_are_refused_here(
    tmp_path: Path, rows: int, changes: dict[str, object], said: str
) -> None:
    write_dataset(tmp_path / "set", rows, **changes)
    form = FORMATS["bedrock"] if changes else SFT
    with pytest.raises(ConfigError, match=said):
        material_of(tmp_path / "set", form, BASE, "reply")


def test_another_route_s_rows_are_not_trained_on(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", 40, route="triage")
    with pytest.raises(ConfigError, match="is the data set of route 'triage', not of 'reply'"):
        material_of(tmp_path / "set", SFT, BASE, "reply")
    with pytest.raises(ConfigError, match="is the data set of route 'triage'"):
        material_of(tmp_path / "set", SFT, BASE, "triage", "acme")
    with pytest.raises(ConfigError, match="holds no data set"):
        material_of(tmp_path / "nothing", SFT, BASE, "reply")


def test_of_pairs_both_answers_count(tmp_path: Path) -> None:
    asked = row(1)["messages"]
    pair = {
        "input": {"messages": asked[:2]},
        "preferred_output": [asked[2]],
        "non_preferred_output": [{"role": "assistant", "content": "no"}],
    }
    alone = tokens_trained_on(json.dumps(row(1)).encode())
    assert tokens_trained_on(json.dumps(pair).encode()) == alone + 4 + 1


# The dates.

DATES = [
    ("the last training day itself", "last_training_day: 2026-11-29", None),
    ("the day after it", "last_training_day: 2026-11-28", "until 2026-11-28"),
    ("the last day of a base without one", "shutdown: 2026-11-30", None),
    ("the day of its end", "shutdown: 2026-11-29", "until 2026-11-28"),
    ("an end far away", "shutdown: 2027-11-30", None),
]


@pytest.mark.parametrize(("says", "refused"), [row[1:] for row in DATES], ids=[row[0] for row in DATES])
def test_a_base_is_trained_up_to_its_last_day(tmp_path: Path, says: str, refused: str | None) -> None:
    routes = routes_of(tmp_path, lifecycle=f"lifecycle:\n  lab:\n    {BASE}: {{{says}, source: us}}")
    lab = routes.providers["lab"]
    if refused is None:
        check_dates(routes, {}, lab, BASE, "reply", TODAY)
        return
    with pytest.raises(ConfigError) as error:
        check_dates(routes, {}, lab, BASE, "reply", TODAY)
    assert refused in str(error.value)
    assert "nothing was uploaded" in str(error.value)
    assert "gateway tune reply --on trl" in str(error.value), "it says where one can still train"
    assert "Where one can still train" in str(error.value)


def test_dates_that_ship_are_those_of_their_vendor(tmp_path: Path) -> None:
    routes = routes_of(tmp_path, kind="openai")
    lab = routes.providers["lab"]
    served_until, _ = check_dates(routes, {}, lab, BASE, "reply", TODAY)
    assert served_until == date(2027, 1, 14)
    with pytest.raises(ConfigError, match="Where one can still train"):
        check_dates(routes, {}, lab, BASE, "reply", date(2027, 1, 7))
    sandbox = routes_of(tmp_path)
    assert check_dates(sandbox, {}, sandbox.providers["lab"], BASE, "reply", date(2028, 1, 1)) == (None, [])


def test_a_short_life_is_warned_of_with_what_a_day_of_it_costs(tmp_path: Path) -> None:
    routes = routes_of(tmp_path)
    write_dataset(tmp_path / "set", 60)
    material = material_of(tmp_path / "set", SFT, BASE, "reply")
    lab = routes.providers["lab"]
    settings = {"epochs": None, "suffix": None, "today": TODAY}
    short = planned(routes, lab, BASE, "sft", material, served_until=date(2027, 1, 14), **settings)
    assert any("served for 46 days, not from 2027-01-14 on: $" in warning for warning in short.warnings)
    long = planned(routes, lab, BASE, "sft", material, served_until=date(2028, 1, 14), **settings)
    assert not any("served for" in warning for warning in long.warnings)
    assert long.epochs == 3
    assert long.estimate.tokens == 3 * material.tokens
    assert long.estimate.nanousd == 3 * material.tokens * 5_000


# The provider.


@pytest.fixture
def server() -> Iterator[JobServer]:
    with running_job_server() as running:
        yield running


async def opened(server: JobServer) -> None:
    provider = Provider(name="lab", kind=server.api.kind, base_url=server.base_url, api_key_env="TUNING_KEY")
    client = HttpClient()
    try:
        upstream = Upstream(provider, client, {"TUNING_KEY": KEY}, SystemClock())
        await check_open(JobClient(upstream, server.api, SystemClock()), provider, BASE, "sft", "reply", TODAY)
    finally:
        client.close()


async def test_an_open_provider_is_asked_for_a_job_of_no_file(server: JobServer) -> None:
    await opened(server)
    assert server.asked == ["GET /v1/fine_tuning/jobs?limit=1", "POST /v1/fine_tuning/jobs"]
    assert not server.jobs
    assert not server.files


REFUSALS = [
    ("a closed organisation", "POST", Fault(403, body=CLOSED), "takes no fine-tuning jobs .* any more"),
    ("one that may not even list them", "GET", Fault(403, body=CLOSED), "takes no fine-tuning jobs .* any more"),
    ("a key that may not train", "POST", Fault(403), "the key in TUNING_KEY may not train"),
    ("a wrong key", "GET", Fault(401), "the key in TUNING_KEY may not train"),
    ("a provider without jobs", "GET", Fault(404), "has no API for fine-tuning jobs"),
    (
        "a base that is not trained there",
        "POST",
        Fault(400, body={"error": {"message": "no", "code": "model_not_available"}}),
        f"does not train {BASE}",
    ),
]


@pytest.mark.parametrize(("method", "fault", "said"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
async def test_what_would_be_refused_is_found_out_before_anything_is_uploaded(
    server: JobServer, method: str, fault: Fault, said: str
) -> None:
    server.faults = {f"{method} /fine_tuning/jobs": [fault]}
    with pytest.raises(ConfigError, match=said) as error:
        await opened(server)
    assert KEY not in str(error.value)
    assert "nothing was uploaded" in str(error.value)
    assert not server.files


async def test_a_provider_that_makes_a_job_of_nothing_has_it_cancelled_at_once(server: JobServer) -> None:
    server.files[ABSENT_FILE] = ("x", b"")
    with pytest.raises(ConfigError, match=r"made a job .* it was cancelled at once"):
        await opened(server)
    assert server.asked[-1] == "POST /v1/fine_tuning/jobs/job-1/cancel"


@pytest.mark.parametrize("kind", ["mistral", "together"])
async def test_where_that_tells_nothing_it_is_not_asked(kind: str) -> None:
    with running_job_server(kind) as server:
        await opened(server)
        assert not any(path.startswith("POST") for path in server.asked)


ELSEWHERE = [
    ("amazon", "gateway dataset export reply --format bedrock"),
    ("words", "gateway tune reply --on trl"),
]


@pytest.mark.parametrize(("name", "said"), ELSEWHERE)
def test_who_trains_by_another_api_is_told_of_with_what_to_do(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        api_of(routes_of(tmp_path).providers[name], "reply")


def test_formats_of_the_table_are_formats() -> None:
    assert {api.format for api in JOB_APIS.values()} | {api.preferences for api in JOB_APIS.values()} <= set(FORMATS)


def test_what_is_trained_from_is_the_primary_s_base_at_a_vendor_of_its_kind(tmp_path: Path) -> None:
    routes = routes_of(tmp_path)
    primary, lab = routes.routes["reply"].primary, routes.providers["lab"]
    assert primary is not None
    assert primary.model == PRIMARY
    assert default_base(primary, lab) == BASE
    assert default_base(primary, routes.providers["words"]) is None
    assert default_base(None, lab) is None
