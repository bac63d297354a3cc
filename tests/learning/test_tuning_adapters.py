"""An adapter on its way back: loaded, seen, asked once."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from job_server import running_job_server
from sandbox_server import RunningSandbox, fast_catalogue, running_sandbox
from tuned_route import BASE

from gateway.clock import SystemClock
from gateway.config.routes import Provider
from gateway.errors import ConfigError
from gateway.learning.tuning.adapters import Adapter, Served, load, read_adapter
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(catalogue=fast_catalogue(SystemClock().now())) as running:
        yield running


@pytest.fixture
async def upstream(sandbox: RunningSandbox) -> AsyncIterator[Upstream]:
    client = HttpClient()
    provider = Provider(name="own", kind="vllm", base_url=sandbox.base_url)
    yield Upstream(provider, client, {}, SystemClock())
    client.close()


def adapter_in(directory: Path, **known: str) -> Path:
    directory.mkdir(parents=True)
    (directory / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": BASE, "r": 16}))
    if known:
        (directory / "understudy.json").write_text(json.dumps(known))
    return directory


def test_a_directory_says_what_it_was_trained_on(tmp_path: Path) -> None:
    found = read_adapter(adapter_in(tmp_path / "a", dataset_hash="sha256:1", route="reply"))
    assert found == Adapter(str(tmp_path / "a"), BASE, 16, "sha256:1", "reply")
    assert read_adapter(adapter_in(tmp_path / "b")) == Adapter(str(tmp_path / "b"), BASE, 16)


def test_a_path_of_the_server_s_own_machine_is_taken_as_it_is() -> None:
    assert read_adapter(Path("/on/another/machine")) == Adapter("/on/another/machine")


def test_a_directory_without_an_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no adapter"):
        read_adapter(tmp_path)


async def test_an_adapter_is_loaded_listed_and_asked(
    sandbox: RunningSandbox, upstream: Upstream, tmp_path: Path
) -> None:
    adapter = read_adapter(adapter_in(tmp_path / "a"))
    assert await load(upstream, "reply-v2", adapter, SystemClock()) == Served("reply-v2", BASE)
    assert [row.asked for row in sandbox.sandbox.provider.bill.rows()] == ["reply-v2"]
    again = await load(upstream, "reply-v2", adapter, SystemClock())
    assert again == Served("reply-v2", BASE), "what is loaded already stays loaded"


async def test_another_adapter_under_the_same_name_is_refused(upstream: Upstream, tmp_path: Path) -> None:
    await load(upstream, "reply-v2", read_adapter(adapter_in(tmp_path / "a")), SystemClock())
    with pytest.raises(ConfigError, match="choose another with --name"):
        await load(upstream, "reply-v2", read_adapter(adapter_in(tmp_path / "b")), SystemClock())


async def test_a_directory_that_the_server_does_not_have_is_said_with_its_path(upstream: Upstream) -> None:
    with pytest.raises(ConfigError, match=r"the path is the server's own: /not/there"):
        await load(upstream, "reply-v2", Adapter("/not/there"), SystemClock())


async def test_a_server_that_loads_nothing_while_it_runs_is_told_how_to_be_started(tmp_path: Path) -> None:
    client = HttpClient()
    with running_job_server() as server:
        upstream = Upstream(Provider(name="own", kind="vllm", base_url=server.base_url), client, {}, SystemClock())
        with pytest.raises(
            ConfigError, match=r"own loads no adapters while it runs .*VLLM_ALLOW_RUNTIME_LORA_UPDATING"
        ):
            await load(upstream, "x", read_adapter(adapter_in(tmp_path / "a")), SystemClock())
        client.close()
