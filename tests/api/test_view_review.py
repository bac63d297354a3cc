"""The review: a list of answers, one at a time, a mark that is kept, and everything said that somebody should know."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from viewed_gateway import ADMIN_KEY, HOSTILE, NOW, ROUTES, TUNED, Shown, ViewedGateway, viewed

from gateway.ledger.entry import new_attempt_id
from gateway.policy.inputs import input_id
from gateway.policy.splits import Split, split_of
from gateway.reasons import Label, Role
from gateway.store.captured import Captured, CapturedStore
from gateway.store.database import Database
from gateway.store.deletions import DeletionStore
from gateway.store.feedback import Feedback, FeedbackStore

pytestmark = pytest.mark.rig

CAPTURING: dict[str, Any] = {**ROUTES, "defaults": {**ROUTES["defaults"], "capture": {"share": 1}}}
MINUTE = timedelta(minutes=1)
CALL = {"id": "call_7", "type": "function", "function": {"name": "find", "arguments": '{"order": 4471}'}}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("find", "send")
]
BIDI = "a\u202eb\x07c"


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


def questions(split: Split) -> list[str]:
    """Questions that are kept for this, as their hash has it."""
    texts = (f"Where is order {number}?" for number in range(60))
    return [text for text in texts if split_of(asked(text)["messages"]) is split]


TO_TRAIN, TO_EVALUATE = questions(Split.TRAIN), questions(Split.EVALUATION)


def row(number: int, request: Mapping[str, Any] | None = None, answer: Any = "In the post.", **fields: Any) -> Captured:
    request = request or asked(TO_TRAIN[number])
    at = NOW - number * MINUTE
    message = {"role": "assistant", "content": answer} if answer is None or isinstance(answer, str) else answer
    given: dict[str, Any] = {
        "captured_id": str(UUID(int=1000 - number)), "route": "reply", "tenant": "", "role": Role.PRIMARY,
        "input_id": input_id(request["messages"], request.get("tools")), "request_id": f"req-{number}",
        "user_digest": None, "provider": "acme", "model": TUNED, "prompt_version": None, "redacted": {},
        "request": json.dumps(request), "answer": json.dumps(message), "captured_at": at,
        "expires_at": at + timedelta(days=30),
    }  # fmt: skip
    return Captured(**{**given, **fields})


def path(kept: Captured) -> str:
    return f"/ui/review/{kept.captured_id}"


@pytest.fixture
async def gateway(tmp_path: Path, empty_ledger: Path) -> AsyncIterator[ViewedGateway]:
    """With keys, with actions, and with routes that capture."""
    async with AsyncExitStack() as stack:
        served = viewed(tmp_path, empty_ledger, routes=CAPTURING, keyed=True, ui_actions=True)
        yield await stack.enter_async_context(served)


async def keep(gateway: ViewedGateway, *rows: Captured) -> None:
    database = await Database.open(f"sqlite:///{gateway.served.database}")
    assert await CapturedStore(database).add(rows) == ["kept"] * len(rows)
    await database.close()


async def marks(gateway: ViewedGateway, route: str = "reply", tenant: str = "") -> list[Feedback]:
    database = await Database.open(f"sqlite:///{gateway.served.database}")
    try:
        return await FeedbackStore(database).history(route, tenant)
    finally:
        await database.close()


async def sent(gateway: ViewedGateway, kept: Captured, **form: str) -> httpx.Response:
    return await gateway.served.client.post(path(kept), data=form, headers=dict(gateway.headers))


def form_in(page: Shown) -> dict[str, str]:
    """The form as a browser would send it back, unchanged."""
    inputs = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.main)
    boxes = re.findall(r'<textarea[^>]* name="(\w+)"[^>]*>\n(.*?)</textarea>', page.main, re.DOTALL)
    chosen = re.findall(r'name="label" value="(\w+)" checked', page.main)
    comment = re.findall(r'name="comment" value="([^"]*)"', page.main)
    found = [*inputs, *boxes, ("comment", comment[0]), *(("label", label) for label in chosen)]
    return {name: unescape(value) for name, value in found}


# What is said where there is nothing to show.


async def test_without_capture_it_says_what_to_write(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger) as gateway:
        page = await gateway.get("/ui/review")
        one = await gateway.get("/ui/review?route=reply")
    assert page.status == 200
    assert "No answer is kept to be reviewed." in page.text
    assert "capture: {share: 1, retention_days: 30}" in page.text
    assert "POST /v1/feedback" in page.text
    assert "Nothing is kept of reply." in one.text and "routes: reply: primary: …" in one.text


async def test_before_the_first_answer_it_says_how_to_get_one(gateway: ViewedGateway) -> None:
    page = await gateway.get("/ui/review")
    assert "Nothing is captured yet." in page.text
    assert 'gateway try ROUTE "Good morning"' in page.text
    assert "not marked (0)" in page.text


async def test_once_all_are_marked_it_says_what_to_run_next(gateway: ViewedGateway) -> None:
    rows = [row(number) for number in range(10)]
    await keep(gateway, *rows)
    for each in rows:
        answer = await sent(gateway, each, label="right", seen="")
        assert answer.status_code == 303, answer.text
    assert answer.headers["location"] == f"/ui/review?did=trains&was={rows[9].captured_id}"
    page = await gateway.get(answer.headers["location"])
    assert "All 10 answers are marked. 10 rows to train on: past the floor of 10, 40 short of a start." in page.text
    assert "Everything is looked at." in page.text
    assert page.text.count("gateway dataset build reply") == 2


async def test_without_its_database_it_says_so(gateway: ViewedGateway) -> None:
    kept = row(1)
    await keep(gateway, kept)
    gateway.away()
    page, one = await gateway.get("/ui/review"), await gateway.get(path(kept))
    typed = await sent(gateway, kept, label="wrong", content="What I typed.", seen="")
    assert (page.status, one.status, typed.status_code) == (200, 503, 503)
    assert "nothing can be reviewed without it" in page.text
    assert "What I typed." in typed.text


# The list


async def test_the_list_has_a_line_for_each_answer(gateway: ViewedGateway) -> None:
    by_luna = {"role": Role.FALLBACK, "provider": "other", "model": "luna-1"}
    rows = [
        row(1, answer="It is\n  on its way."),
        row(2, {**asked("Find order 4471", tools=TOOLS)}, {"role": "assistant", "content": None, "tool_calls": [CALL]}),
        row(3, route="alone", **by_luna),
    ]
    await keep(gateway, *rows)
    page = await gateway.get("/ui/review")
    assert page.row(TO_TRAIN[1]) == f"{TO_TRAIN[1]} It is on its way. reply primary reply · base-1 1 min ago"
    assert page.row("Find order") == "Find order 4471 calls find reply primary reply · base-1 2 min ago"
    assert page.row(TO_TRAIN[3]) == f"{TO_TRAIN[3]} In the post. alone fallback luna-1 3 min ago"
    assert "0 of 3 answers of 2 routes are marked." in page.text
    assert page.row("reply") == "reply 2 0 0 0 0 10 short of 10"
    narrow = await gateway.get("/ui/review?route=alone")
    assert "The one answer is not marked. 0 rows to train on: 10 short of the floor" in narrow.text
    assert narrow.links("/ui/review/") == [f"{path(rows[2])}?route=alone"]


async def test_a_tenants_variant_is_a_route_of_its_own(gateway: ViewedGateway) -> None:
    rows = [row(1), row(1, route="reply:globex", tenant="globex", captured_id=str(UUID(int=5)), request_id="theirs")]
    await keep(gateway, *rows)
    page = await gateway.get("/ui/review?route=reply:globex")
    assert page.links("/ui/review/") == [f"{path(rows[1])}?route=reply%3Aglobex"]
    refused = await sent(gateway, rows[1], label="right", seen="")
    assert (refused.status_code, "does not name reply:globex any more" in refused.text) == (409, True)
    assert await marks(gateway, "reply:globex", "globex") == []
    assert (await sent(gateway, rows[0], label="right", seen="")).status_code == 303
    assert [mark.tenant for mark in await marks(gateway)] == [""]


async def test_a_page_has_fifty_and_leads_on(gateway: ViewedGateway) -> None:
    await keep(gateway, *(row(number, asked(f"Number {number}.")) for number in range(51)))
    page = await gateway.get("/ui/review")
    assert len(page.links("/ui/review/")) == 50
    (older,) = page.links("/ui/review?before=")
    last = await gateway.get(older)
    assert [word for word in last.text.split() if word.endswith(".") and word[:-1].isdigit()] == ["50."]


async def test_an_address_that_names_nothing_is_refused(gateway: ViewedGateway, subtests: pytest.Subtests) -> None:
    for query in ("show=everything", "show=%00", "before=1", "before=' OR 1=1", f"before={'0' * 36}&show=wrong"):
        with subtests.test(query):
            assert (await gateway.get(f"/ui/review?{query}")).status == 400


async def test_nothing_that_callers_wrote_is_alive(gateway: ViewedGateway) -> None:
    calls = [
        {"id": HOSTILE, "type": "function", "function": {"name": HOSTILE, "arguments": json.dumps({"a": HOSTILE})}}
    ]
    messages = [
        {"role": "system", "content": HOSTILE},
        {"role": HOSTILE, "content": HOSTILE, "name": HOSTILE},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": HOSTILE, "tool_call_id": HOSTILE},
        {"role": "user", "content": [{"type": "text", "text": HOSTILE + BIDI}, {"type": HOSTILE}]},
    ]
    tools = [{"type": "function", "function": {"name": HOSTILE}}]
    answer = {"role": "assistant", "content": HOSTILE + BIDI, "tool_calls": calls}
    kept = row(1, {"messages": messages, "tools": tools}, answer, request_id="r", model=HOSTILE, prompt_version=HOSTILE)
    await keep(gateway, kept)
    for page in (await gateway.get("/ui/review"), await gateway.get(path(kept))):
        assert page.status == 200
        assert "<img" not in page.html
        assert "<script>" not in page.html
        assert "a\\u202eb\\x07c" in page.text
    assert "It holds what cannot be seen in a box: \\u202e, \\x07." in page.text
    assert re.findall(r"[\x07\u202e]", re.sub(r"<textarea.*?</textarea>", "", page.html, flags=re.DOTALL)) == []


DEEP = json.dumps({"tool_calls": [{"function": {"name": "find", "arguments": "[" * 950 + "]" * 950}}]})
NO_CONVERSATIONS = {
    "lists and nothing": ("[]", "{}"),
    "a number and a text": ('{"messages": 7}', '"text"'),
    "wrong types": ('{"messages": [7, null], "tools": {"a": 1}}', '{"content": {"a": 1}}'),
    "no messages": ('{"messages": []}', '{"tool_calls": [7, {"function": 8}]}'),
    "numbers": ('{"messages": [{"content": 1}], "tools": [{"function": 1}]}', '{"tool_calls": 7}'),
    "nested deeply": ("[" * 5000, '{"tool_calls": [{"function": {"arguments": "' + "[" * 5000 + '"}}]}'),
    "as deep as can be": ('{"messages": []}', DEEP),
}


async def test_what_is_no_conversation_is_shown_all_the_same(gateway: ViewedGateway, subtests: pytest.Subtests) -> None:
    for number, (what, (request, answer)) in enumerate(NO_CONVERSATIONS.items()):
        kept = replace(row(number), request=request, answer=answer)
        await keep(gateway, kept)
        with subtests.test(what):
            assert (await gateway.get(path(kept))).status == 200
    assert (await gateway.get("/ui/review")).status == 200


# One answer


async def test_the_whole_conversation_is_readable(gateway: ViewedGateway) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Where is it?"}, {"type": "image_url", "image_url": {}}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_7", "content": "at sea"},
    ]
    kept = row(1, {"messages": messages, "tools": TOOLS}, "At sea.")
    await keep(gateway, kept)
    text = (await gateway.get(path(kept))).text
    said = [
        "2 tools offered: find, send", "system", "Be brief.", "user", "Where is it?", "(a part of the type image_url)",
        "calls find", '"order": 4471', "tool result", "at sea", "Answered", "At sea.",
    ]  # fmt: skip
    places = [text.find(words) for words in said]
    assert -1 not in places
    assert places == sorted(places)


async def test_the_longest_conversation_stays_within_bounds(gateway: ViewedGateway) -> None:
    turns = [{"role": ("user", "assistant")[n % 2], "content": f"{n} " + '"&<' * 2_000} for n in range(101)]
    kept = row(1, {"messages": turns}, '"' * 60_000)
    await keep(gateway, kept)
    page = await gateway.get(path(kept))
    assert len(page.html.encode()) < 50_000
    assert "earlier messages have no room here" in page.text
    assert "too long to be written anew here" in page.text
    assert "characters more" in page.text
    saved = await sent(gateway, kept, label="right", seen="")
    assert saved.status_code == 303


async def test_earlier_messages_are_folded(gateway: ViewedGateway) -> None:
    turns = [{"role": ("user", "assistant")[n % 2], "content": f"Turn {n}."} for n in range(9)]
    await keep(gateway, kept := row(1, {"messages": turns}))
    page = await gateway.get(path(kept))
    assert "3 earlier messages" in page.text
    assert page.text.index("Turn 2.") < page.text.index("Turn 3.")


@pytest.mark.parametrize(
    ("question", "told"),
    [
        pytest.param(
            TO_TRAIN[0], "Wrong with a better answer, becomes a training row and a preference pair", id="train"
        ),
        pytest.param(TO_EVALUATE[0], "Wrong is kept for evaluation, and never trained on", id="evaluation"),
    ],
)
async def test_it_says_what_a_mark_will_be_for(question: str, told: str, gateway: ViewedGateway) -> None:
    await keep(gateway, kept := row(1, asked(question)))
    assert told in (await gateway.get(path(kept))).text


async def test_an_answer_that_is_not_there_says_so(gateway: ViewedGateway) -> None:
    kept = row(1)
    for unknown in (path(kept), "/ui/review/nothing", "/ui/review/%00", f"/ui/review/{'9' * 200}"):
        page = await gateway.get(unknown)
        assert (page.status, "not kept any more" in page.text) == (404, True), unknown


# Saving


async def test_a_better_answer_is_kept_and_leads_on_to_the_next(gateway: ViewedGateway) -> None:
    rows = [row(1), row(2), row(3)]
    await keep(gateway, *rows)
    form = form_in(await gateway.get(path(rows[0])))
    assert (form["content"], form.get("label"), form["seen"]) == ("In the post.", None, "")
    saved = await sent(
        gateway, rows[0], **{**form, "label": "wrong", "content": "At sea.\r\nReally.", "comment": " why "}
    )
    assert saved.headers["location"] == f"{path(rows[1])}?did=paired&was={rows[0].captured_id}"
    (mark,) = await marks(gateway)
    assert (mark.label, mark.source, mark.by, mark.comment) == (Label.WRONG, "review", "admin (ops page)", "why")
    assert json.loads(mark.correction or "") == {"role": "assistant", "content": "At sea.\nReally."}
    assert (mark.input_id, mark.split, mark.model) == (rows[0].input_id, Split.TRAIN, TUNED)
    after = await gateway.get(saved.headers["location"])
    assert "Saved: it becomes a training row and a preference pair. Change it" in after.text
    assert after.links(path(rows[0])) == [path(rows[0])]
    assert "1 of 3 answers are marked, 1 with a better answer." in after.text
    await sent(gateway, rows[1], label="wrong", content="In the post.", seen="")
    await sent(gateway, rows[2], label="right", content="In the post.", seen="")
    everything = await gateway.get("/ui/review?show=all")
    assert [everything.row(TO_TRAIN[number]).split("base-1 ")[1].rsplit(" ", 3)[0] for number in (1, 2, 3)] == [
        "✗ wrong, corrected",
        "✗ wrong",
        "✓ right",
    ]


async def test_a_mark_is_changed_by_another(gateway: ViewedGateway) -> None:
    kept = row(1)
    await keep(gateway, kept)
    await sent(gateway, kept, label="wrong", content="Better.", comment="a typo", seen="")
    page = await gateway.get(path(kept))
    form = form_in(page)
    assert (form["label"], form["content"], form["comment"]) == ("wrong", "Better.", "a typo")
    assert '<del><span class="sign">−</span>In the post</del><ins><span class="sign">+</span>Better</ins>.' in page.html
    assert "Said before" in page.text
    again = await sent(gateway, kept, **{**form, "label": "right"})
    assert again.status_code == 303, again.text
    assert [mark.label for mark in await marks(gateway)] == [Label.WRONG, Label.RIGHT]
    form = form_in(await gateway.get(path(kept)))
    assert (form["label"], form["content"]) == ("right", "In the post.")


async def test_for_evaluation_is_for_evaluation(gateway: ViewedGateway) -> None:
    kept = row(1, asked(TO_EVALUATE[0]))
    await keep(gateway, kept)
    saved = await sent(gateway, kept, label="wrong", content="Better.", seen="")
    assert "did=kept" in saved.headers["location"]
    assert "never trained on" in (await gateway.get(saved.headers["location"])).text
    (mark,) = await marks(gateway)
    assert mark.split is Split.EVALUATION


async def test_tool_calls_are_corrected_as_json(gateway: ViewedGateway) -> None:
    answer = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    kept = row(1, asked("Find order 4472", tools=TOOLS), answer)
    await keep(gateway, kept)
    form = form_in(await gateway.get(path(kept)))
    assert json.loads(form["calls"]) == [{"id": "call_7", "name": "find", "arguments": {"order": 4471}}]
    form |= {"label": "wrong", "calls": form["calls"].replace("4471", "4472").replace("\n", "\r\n")}
    broken = await sent(gateway, kept, **{**form, "calls": '[{"name": "find",}]'})
    assert broken.status_code == 400
    page = Shown(400, broken.headers, broken.text)
    assert "It is no JSON: expecting property name enclosed in double quotes, line 1, column 18." in page.text
    assert form_in(page)["calls"] == '[{"name": "find",}]'
    assert 'aria-invalid="true" aria-describedby="e-calls"' in page.html
    saved = await sent(gateway, kept, **form)
    assert saved.status_code == 303, saved.text
    (mark,) = await marks(gateway)
    (call,) = json.loads(mark.correction or "")["tool_calls"]
    assert call == {**CALL, "function": {"name": "find", "arguments": '{"order":4472}'}}


NO_MARKS = {
    "no verdict": ({}, "Say whether the answer is right or wrong"),
    "a verdict that there is not": ({"label": "maybe"}, "Say whether the answer is right or wrong"),
    "right and better": ({"label": "right", "content": "Other."}, "It cannot be right and have a better answer"),
    "empty": ({"label": "wrong", "content": " \n "}, "An answer says something, or calls a tool"),
    "a long remark": ({"label": "wrong", "comment": "x" * 2001}, "It has 2,001 characters, of at most"),
    "a long answer": ({"label": "wrong", "content": "x" * 65_537}, "more than 65,536 characters"),
    "the same but for a blank": ({"label": "wrong", "content": "In the post. "}, "says what the answer said"),
}


async def test_a_form_that_is_no_mark_says_so_beside_its_field_and_keeps_what_was_typed(
    gateway: ViewedGateway, subtests: pytest.Subtests
) -> None:
    await keep(gateway, kept := row(1))
    for what, (form, told) in NO_MARKS.items():
        answer = await sent(gateway, kept, **{"content": "In the post.", "seen": "", "comment": "mine", **form})
        page = Shown(answer.status_code, answer.headers, answer.text)
        with subtests.test(what):
            assert page.status == 400
            assert "Not saved. 1 field needs another look." in page.text
            assert told in page.text
            assert form_in(page)["content"] == form.get("content", "In the post.")
            assert form_in(page)["comment"] == form.get("comment", "mine")
    assert await marks(gateway) == []


async def test_a_changed_answer_is_wrong_without_a_word(gateway: ViewedGateway) -> None:
    await keep(gateway, kept := row(1))
    assert (await sent(gateway, kept, content="Better.", seen="")).status_code == 303
    assert [mark.label for mark in await marks(gateway)] == [Label.WRONG]


async def test_what_is_changed_is_shown_without_a_script_and_nothing_is_saved(gateway: ViewedGateway) -> None:
    await keep(gateway, kept := row(1))
    answer = await sent(gateway, kept, content="In the red post.", label="wrong", seen="", do="preview", comment="hm")
    page = Shown(answer.status_code, answer.headers, answer.text)
    assert page.status == 200
    assert '<p class="diff" id="content-diff">In the <ins><span class="sign">+</span>red </ins>post.</p>' in page.html
    assert (form_in(page)["content"], form_in(page)["label"], form_in(page)["comment"]) == (
        "In the red post.",
        "wrong",
        "hm",
    )
    assert await marks(gateway) == []


async def test_who_saves_second_is_told_and_may_save_all_the_same(gateway: ViewedGateway) -> None:
    await keep(gateway, kept := row(1))
    one, two = [form_in(await gateway.get(path(kept))) for _ in range(2)]
    first = await sent(gateway, kept, **{**one, "label": "wrong", "content": "Mine."})
    second = await sent(gateway, kept, **{**two, "label": "wrong", "content": "Yours."})
    assert (first.status_code, second.status_code) == (303, 409)
    page = Shown(409, second.headers, second.text)
    assert "Not saved: it was marked meanwhile. admin (ops page) said just now: wrong, corrected" in page.text
    assert "with the better answer “Mine.”" in page.text
    assert form_in(page)["content"] == "Yours."
    again = await sent(gateway, kept, **form_in(page))
    assert again.status_code == 303
    corrections = [json.loads(mark.correction or "")["content"] for mark in await marks(gateway)]
    assert corrections == ["Mine.", "Yours."]


async def test_a_form_that_is_sent_twice_is_one_mark(gateway: ViewedGateway) -> None:
    await keep(gateway, kept := row(1))
    form = {"label": "wrong", "content": "Better.", "seen": ""}
    answers = await asyncio.gather(*(sent(gateway, kept, **form) for _ in range(2)))
    assert {answer.status_code for answer in answers} <= {303, 409}
    assert len(await marks(gateway)) == 1


@pytest.mark.parametrize("why", ["deleted", "expired"])
async def test_an_answer_that_went_meanwhile_takes_nothing_and_gives_back_what_was_typed(
    why: str, gateway: ViewedGateway
) -> None:
    await keep(gateway, kept := row(1))
    form = form_in(await gateway.get(path(kept)))
    if why == "expired":
        gateway.served.clock.advance(31 * 86_400.0)
    else:
        database = await Database.open(f"sqlite:///{gateway.served.database}")
        wish = new_attempt_id(NOW)
        await DeletionStore(database).delete(deletion_id=wish, by="ops", now=NOW, request_id=kept.request_id)
        await database.close()
    answer = await sent(gateway, kept, **{**form, "label": "wrong", "content": "An hour's <work>."})
    page = Shown(answer.status_code, answer.headers, answer.text)
    assert page.status == 410
    assert "Nothing was saved." in page.text
    assert "An hour's <work>." in page.text
    assert await marks(gateway) == []


# Who may


async def test_without_actions_it_is_read_only_and_says_what_to_set(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, routes=CAPTURING, keyed=True) as gateway:
        await keep(gateway, kept := row(1))
        page = await gateway.get(path(kept))
        answer = await sent(gateway, kept, label="right", seen="")
        assert await marks(gateway) == []
    assert "set GATEWAY_UI_ACTIONS=true" in page.text
    assert "<fieldset disabled>" in page.html
    assert f'"request_id": "{kept.request_id}"' in page.text
    assert (answer.status_code, "GATEWAY_UI_ACTIONS" in answer.text) == (403, True)


async def test_nobody_else_sees_or_marks_anything(gateway: ViewedGateway, subtests: pytest.Subtests) -> None:
    await keep(gateway, kept := row(1))
    client = gateway.served.client
    for who, status in (("", 303), ("Bearer sk-caller", 401), ("Bearer wrong", 401)):
        headers = {"authorization": who} if who else {}
        with subtests.test(who or "nobody"):
            for where in ("/ui/review", path(kept)):
                answer = await client.get(where, headers=headers)
                assert (answer.status_code, TO_TRAIN[1] in answer.text) == (status, False)
            answer = await client.post(path(kept), data={"label": "right", "seen": ""}, headers=headers)
            assert answer.status_code == status
    assert await marks(gateway) == []


async def test_a_form_is_obeyed_from_its_own_page_alone(gateway: ViewedGateway) -> None:
    await keep(gateway, kept := row(1))
    client = gateway.served.client
    login = await client.post("/ui/login", data={"key": ADMIN_KEY}, headers={"sec-fetch-site": "same-origin"})
    cookie = {"cookie": login.headers["set-cookie"].split(";")[0]}
    page = await client.get(path(kept), headers=cookie)
    word = form_in(Shown(200, page.headers, page.text))["csrf"]
    for origin, csrf, status in (("cross-site", word, 403), ("same-origin", "0" * 64, 403), ("same-origin", word, 303)):
        form = {"csrf": csrf, "label": "right", "seen": ""}
        answer = await client.post(path(kept), data=form, headers={**cookie, "sec-fetch-site": origin})
        assert answer.status_code == status
        assert len(await marks(gateway)) == (status == 303)


async def test_a_login_leads_back_to_the_answer(gateway: ViewedGateway) -> None:
    await keep(gateway, kept := row(1))
    answer = await gateway.served.client.get(f"{path(kept)}?route=reply&show=all")
    assert answer.headers["location"] == (
        f"/ui/login?next=%2Fui%2Freview%2F{kept.captured_id}%3Froute%3Dreply%26show%3Dall"
    )
