import pytest
from fake_clock import FakeClock

from gateway.config.routes import Routes, Timeouts, Webhook
from gateway.providers.allowed_origins import AllowedOrigins
from gateway.providers.http_client import HttpClient, NotConfigured, Origin
from tests.example_routes import a_provider, a_route, some_routes
from tests.providers.raw_upstream import answering, listening, whole

ENVIRON = {"HOOK": "https://hooks.example:8443/T0/B0?x=1"}
WRITTEN = Webhook(name="written", url="http://127.0.0.1:7/hook")
NAMED = Webhook(name="named", url_env="HOOK")


def routes_of(*base_urls: str, **fields: object) -> Routes:
    providers = {url: a_provider(name=f"p{at}", base_url=url) for at, url in enumerate(base_urls)}
    route = a_route(timeouts=Timeouts(first_token_s=1, idle_s=1, total_s=30))
    return some_routes(route, providers=providers, **fields)


@pytest.mark.parametrize(
    ("wanted", "allowed"),
    [
        pytest.param("https://api.openai.com/v1", True, id="a provider"),
        pytest.param("https://api.openai.com/another/path", True, id="another path of it: the origin is what counts"),
        pytest.param("http://api.openai.com/v1", False, id="the same host without TLS"),
        pytest.param("https://api.openai.com:444/v1", False, id="another port of it"),
        pytest.param("https://api.openai.com.evil.example/v1", False, id="a name that begins like it"),
        pytest.param("https://evil.example/api.openai.com", False, id="a path that looks like it"),
        pytest.param("https://api.openai.com@evil.example/v1", False, id="a user name that looks like it"),
        pytest.param("http://127.0.0.1:7/hook", True, id="a webhook whose URL is written down"),
        pytest.param("https://hooks.example:8443/else", True, id="a webhook whose URL is in a variable"),
        pytest.param("https://hooks.example/T0/B0", False, id="another port of that webhook"),
        pytest.param("unix:/run/worker.sock", True, id="litellm's worker"),
        pytest.param("unix:/var/run/docker.sock", False, id="another socket of this machine"),
        pytest.param("http://169.254.169.254/latest/meta-data", False, id="the cloud's metadata"),
        pytest.param("http://127.0.0.1:8080/admin", False, id="the gateway itself"),
        pytest.param("http://[::1]:7/hook", False, id="this machine by another address"),
    ],
)
def test_where_connections_may_go(wanted: str, allowed: bool) -> None:
    counted: list[None] = []
    origins = AllowedOrigins(FakeClock(), lambda: counted.append(None))
    origins.replace(
        routes_of("https://api.openai.com/v1", webhooks={"w": WRITTEN, "n": NAMED}), ENVIRON, "/run/worker.sock"
    )

    assert origins.permits(Origin.of(wanted)) is allowed
    assert len(counted) == (0 if allowed else 1)


def test_before_there_is_a_configuration_nothing_is_allowed() -> None:
    assert not AllowedOrigins(FakeClock()).permits(Origin.of("https://api.openai.com/v1"))


def test_what_a_reload_takes_away_is_allowed_for_as_long_as_an_attempt_may_last() -> None:
    clock = FakeClock()
    origins = AllowedOrigins(clock)
    before, after = Origin.of("https://before/v1"), Origin.of("https://after/v1")

    origins.replace(routes_of("https://before/v1"), {})
    assert (origins.permits(before), origins.permits(after)) == (True, False)
    origins.replace(routes_of("https://after/v1"), {})
    assert (origins.permits(before), origins.permits(after)) == (True, True)
    clock.advance(29.9)
    origins.replace(routes_of("https://after/v1"), {})
    assert origins.permits(before), "new dates of the same configuration change nothing"
    clock.advance(0.2)
    assert (origins.permits(before), origins.permits(after)) == (False, True)


async def test_each_new_connection_is_checked_and_a_kept_one_is_not() -> None:
    allowed = True
    asked: list[Origin] = []

    def permits(origin: Origin) -> bool:
        asked.append(origin)
        return allowed

    client = HttpClient(permits=permits)
    async with listening(answering(whole(b"{}"))) as upstream:
        pool = client.pool(Origin.of(upstream.url()))
        for _ in range(3):
            connection = await pool.acquire()
            connection.start(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
            await connection.wait_head()
            await connection.read(100)
            connection.finish()
        assert len(asked) == 1
        allowed = False
        await pool.acquire()
        with pytest.raises(NotConfigured, match=r"127\.0\.0\.1 is not in the configuration"):
            await pool.acquire()
        assert upstream.connections == 1
    client.close()


async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    client = HttpClient()
    async with listening(answering(whole(b"{}"))) as upstream:
        connection = await client.pool(Origin.of(upstream.url())).acquire()
        assert connection.transport is not None
        assert connection.transport.get_extra_info("peername") == ("127.0.0.1", upstream.port)
        connection.discard()
    client.close()
