"""What happened to a request is shown attempt by attempt; what was said is not kept, and the page says so."""

from datetime import timedelta
from pathlib import Path

from viewed_gateway import HOSTILE, TUNED, a_row, on_luna, viewed

from gateway.ledger.entry import Entry
from gateway.reasons import FailureKind, Outcome, Reason, UsageSource

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
MOVED = "req-moved"


def moved(ago: timedelta = MINUTE) -> list[Entry]:
    """A request whose primary took two seconds to fail, and whose fallback then answered in one."""
    return [
        a_row(
            ago, request_id=MOVED, outcome=Outcome.FAILED, failure=FailureKind.OVERLOADED, status=503,
            model_answered=None, duration_ms=2000.0, input_tokens=0, output_tokens=0, cached_input_tokens=0,
            cost_nanousd=0,
        ),
        on_luna(
            ago - 2 * SECOND, request_id=MOVED, reason=Reason.OVERLOADED, prompt_version="9f8e7d6c", ttft_ms=400.0,
            stream=True, tags={"feature": "search"}, key="web", team="support",
        ),
    ]  # fmt: skip


async def test_the_list_has_a_line_for_each_request(tmp_path: Path, empty_ledger: Path) -> None:
    rows = [
        a_row(3 * MINUTE, request_id="plain"),
        *moved(),
        a_row(2 * MINUTE, request_id="cut", outcome=Outcome.INTERRUPTED, usage_source=UsageSource.INTERRUPTED),
        a_row(4 * MINUTE, request_id="free", cost_nanousd=None, price_version=None),
        a_row(5 * MINUTE, request_id="watch", kind="probe"),
    ]
    async with viewed(tmp_path, empty_ledger, rows) as gateway:
        page = await gateway.get("/ui/requests")
        probes = await gateway.get("/ui/requests?kind=probe")
    times = [page.row(f"{ago} min ago") for ago in (1, 2, 3, 4)]
    assert times == [
        "1 min ago reply fallback luna luna-1 answered after 1 failure overloaded, 503 2 1,350 $0.000495 3.00 s 2.40 s",
        "2 min ago reply primary reply · base-1 broke off 1 1,350 $0.000495 1.00 s –",
        "3 min ago reply primary reply · base-1 answered 1 1,350 $0.000495 1.00 s –",
        "4 min ago reply primary reply · base-1 answered 1 1,350 unpriced 1.00 s –",
    ]
    assert "watch" not in page.html
    assert probes.row("5 min ago")


NARROWED = {
    "route=alone": ["other"],
    "outcome=failed": [MOVED],
    "reason=overloaded": [MOVED],
    "target=luna": [MOVED],
    "target=luna&route=alone": [],
    "route=%00%27--": [],
}


async def test_the_list_can_be_narrowed(tmp_path: Path, empty_ledger: Path) -> None:
    rows = [*moved(), a_row(MINUTE, request_id="plain"), a_row(2 * MINUTE, request_id="other", route="alone")]
    async with viewed(tmp_path, empty_ledger, rows) as gateway:
        for asked, found in NARROWED.items():
            page = await gateway.get(f"/ui/requests?{asked}")
            links = page.links("/ui/requests/")
            assert [link.removeprefix("/ui/requests/").partition("?")[0] for link in links] == found, asked
            assert found or "No such request." in page.text


async def test_pages_have_addresses_that_go_on(tmp_path: Path, empty_ledger: Path) -> None:
    rows = [a_row(MINUTE + number * SECOND, request_id=f"r{number:03}") for number in range(120)]
    async with viewed(tmp_path, empty_ledger, rows) as gateway:
        path, seen = "/ui/requests?route=reply", []
        while path:
            page = await gateway.get(path)
            seen += [link.removeprefix("/ui/requests/").partition("?")[0] for link in page.links("/ui/requests/")]
            path = next(iter(page.links("/ui/requests?route=reply&before=")), "")
    assert seen == [f"r{number:03}" for number in range(120)]


async def test_one_request_is_told_attempt_by_attempt(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, [a_row(MINUTE), *moved()]) as gateway:
        link = (await gateway.get("/ui/requests?outcome=failed")).links(f"/ui/requests/{MOVED}")[0]
        page = await gateway.get(link)
        assert (await gateway.get(f"/ui/requests/{MOVED}")).text == page.text, "also without the attempt in the address"
    assert page.status == 200
    assert "Fallback luna answered within 3.0 s; before that one attempt failed (overloaded, 503)." in page.text
    assert f"1. primary {TUNED} at acme failed: overloaded, 503 · asked because it is the route’s primary" in page.text
    assert "2. fallback luna luna-1 at other answered · asked because the attempt before was turned away" in page.text
    assert "began 2.00 s in, took 1.00 s, first token after 400 ms" in page.text
    assert "with the prompt 9f8e7d6c" in page.text
    assert "as the provider counted" in page.text
    assert "by prices litellm-1.106.2" in page.text
    assert "chat.completions, streamed, with temperature, tools, key web, team support, feature=search" in page.text
    assert "replica replica-1, configuration 0123456789ab" in page.text
    assert '<rect class="lost" x="0.0" y="2" width="666.7"' in page.main, "both bars share one axis of three seconds"
    assert '<rect class="fallback" x="666.7" y="2" width="333.3"' in page.main
    assert '<line class="token" x1="800.0"' in page.main
    assert "Neither the messages nor the answer" in page.text


async def test_an_answer_that_broke_its_routes_contract_says_so(tmp_path: Path, empty_ledger: Path) -> None:
    rows = [a_row(MINUTE, request_id=f"r-{broken}", contract_broken=broken) for broken in (True, False, None)]
    async with viewed(tmp_path, empty_ledger, rows) as gateway:
        pages = [await gateway.get(f"/ui/requests/r-{broken}") for broken in (True, False, None)]
    assert ["breaks the route’s contract" in page.text for page in pages] == [True, False, False]


async def test_rehearsals_of_a_request_stand_apart(tmp_path: Path, empty_ledger: Path) -> None:
    rows = [a_row(MINUTE, request_id="taught"), on_luna(MINUTE - SECOND, request_id="taught", kind="rehearsal")]
    async with viewed(tmp_path, empty_ledger, rows) as gateway:
        page = await gateway.get("/ui/requests/taught")
    before, _, behind = page.text.partition("Asked again, to learn")
    assert "1. primary" in before
    assert "2. fallback luna" in behind


NOT_THERE = (
    ("/ui/requests/none-such", 404, "No such request."),
    ("/ui/requests/a%20b", 400, "No request’s id"),
    ("/ui/requests?id=a%3Cb", 400, "No request’s id"),
    ("/ui/requests?before=1", 400, "No such place"),
    ("/ui/requests/x?at=1", 400, "No such place"),
    ("/ui/requests?outcome=good", 400, "No such filter"),
    (f"/ui/requests?reason={HOSTILE}", 400, "No such filter"),
)


async def test_what_is_not_there_is_said(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, moved()) as gateway:
        for path, status, says in NOT_THERE:
            page = await gateway.get(path)
            assert page.status == status, path
            assert says in page.text
            assert "<script>alert" not in page.html


async def test_an_id_leads_to_its_request(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, moved()) as gateway:
        answer = await gateway.get(f"/ui/requests?id={MOVED}")
    assert (answer.status, answer.headers["location"]) == (303, f"/ui/requests/{MOVED}")


async def test_words_of_the_ledger_do_no_harm(tmp_path: Path, empty_ledger: Path) -> None:
    names = (
        "route", "target", "provider", "model_asked", "model_answered", "prompt_version", "price_version", "endpoint",
        "instance", "config_hash", "key", "team", "service_tier", "traits", "reason", "outcome", "failure", "kind",
        "usage_source",
    )  # fmt: skip
    hostile = a_row(MINUTE, request_id="hostile", tags={HOSTILE: HOSTILE}, **dict.fromkeys(names, HOSTILE))
    async with viewed(tmp_path, empty_ledger, [hostile]) as gateway:
        for path in ("/ui/requests?kind=all", "/ui/requests/hostile", f"/ui/requests?route={HOSTILE}&target={HOSTILE}"):
            page = await gateway.get(path)
            assert page.status == 200
            assert "<script>alert" not in page.html
            assert "<img" not in page.html
            assert " style=" not in page.html
    assert HOSTILE in (
        page.text + page.html.replace("&lt;", "<").replace("&gt;", ">").replace("&#34;", '"').replace("&#39;", "'")
    )


async def test_an_empty_ledger_and_one_that_is_away_say_what_to_do(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger) as gateway:
        page = await gateway.get("/ui/requests")
        assert "No request yet." in page.text
        assert "gateway try ROUTE" in page.text
        gateway.away()
        for path in ("/ui/requests?kind=all", "/ui/requests/some-id"):
            page = await gateway.get(path)
            assert page.status == 200
            assert "The database is away." in page.text
