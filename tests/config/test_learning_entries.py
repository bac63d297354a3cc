from decimal import Decimal
from pathlib import Path

import pytest

from gateway.config.findings import InvalidRoutes
from gateway.config.loader import Loaded, load
from gateway.config.routes import Route
from gateway.config.routes_learning import Acceptance, Capture, Rehearsal

BEFORE = """\
version: 1
providers: {here: {kind: openai-compatible, base_url: "http://127.0.0.1:9/v1"}}
fallbacks: {base: {provider: here, model: base, prompt: {instructions: Answer.}}}
defaults: {provider: here, fallbacks: [base]}
routes:
"""
FIRST_LINE = BEFORE.count("\n") + 1


def _load(directory: Path, routes: str, before: str = BEFORE) -> Loaded:
    (directory / "routes.yaml").write_text(before + routes)
    return load(directory / "routes.yaml", environ={})


def _route(directory: Path, says: str) -> Route:
    return _load(directory, f"  reply: {{primary: tuned, {says}}}\n").routes.routes["reply"]


def _errors(directory: Path, routes: str, before: str = BEFORE) -> list[str]:
    with pytest.raises(InvalidRoutes) as refused:
        _load(directory, routes, before)
    return [str(finding) for finding in refused.value.findings if finding.severity == "error"]


def _warnings(loaded: Loaded) -> list[str]:
    return [str(warning) for warning in loaded.warnings]


# What is said, and what follows from it.


@pytest.mark.parametrize(
    ("says", "capture", "rehearsal", "acceptance"),
    [
        pytest.param("", None, None, Acceptance(), id="nothing"),
        pytest.param("capture: {}, rehearsal: {}, acceptance: {}", None, None, Acceptance(), id="empty"),
        pytest.param("capture: {share: 0}, rehearsal: {share: 0.0}", None, None, Acceptance(), id="a share of nothing"),
        pytest.param(
            "capture: {retention_days: 7}, rehearsal: {max_usd_per_day: 1}", None, None, Acceptance(), id="no share"
        ),
        pytest.param(
            "capture: {share: 0.05}, rehearsal: {share: 1, max_usd_per_day: 2.5}",
            Capture(share=0.05),
            Rehearsal(share=1.0, mode="shadow", max_usd_per_day=Decimal("2.5")),
            Acceptance(),
            id="a share alone",
        ),
        pytest.param(
            "capture: {share: 1, retention_days: 7, redact: [], phone_regions: [US, DE], "
            "patterns: {customer: 'CU-[0-9]+'}, max_bytes: 256}, "
            "rehearsal: {share: 0.1, mode: serve, max_usd_per_day: 1}, "
            "acceptance: {margin: 0.1, measure: pattern_match, pattern: ^Dear, judge: reply}",
            Capture(
                share=1.0,
                retention_days=7,
                redact=(),
                phone_regions=("US", "DE"),
                patterns={"customer": "CU-[0-9]+"},
                max_bytes=256,
            ),
            Rehearsal(share=0.1, mode="serve", max_usd_per_day=Decimal(1)),
            Acceptance(margin=0.1, measure="pattern_match", pattern="^Dear", judge="reply"),
            id="everything",
        ),
    ],
)
def test_what_a_route_says_of_learning_is_what_it_has(
    tmp_path: Path, says: str, capture: Capture | None, rehearsal: Rehearsal | None, acceptance: Acceptance
) -> None:
    route = _route(tmp_path, says)
    assert (route.capture, route.rehearsal, route.acceptance) == (capture, rehearsal, acceptance)


def test_a_capture_blacks_out_all_three_and_forgets_after_a_month_unless_told_otherwise() -> None:
    capture = Capture(share=0.5)
    assert (capture.redact, capture.retention_days, capture.max_bytes) == (("email", "phone", "card"), 30, 65_536)


def test_an_acceptance_takes_five_points_for_its_margin_unless_told_otherwise() -> None:
    assert Acceptance() == Acceptance(margin=0.05, measure=None, pattern=None, judge=None)


def test_a_route_says_only_what_differs_from_its_profile_and_the_defaults(tmp_path: Path) -> None:
    before = BEFORE.replace(
        "defaults: {",
        "defaults: {tenant: acme, capture: {share: 0.5, patterns: {order: 'ORD-\\d+', customer: 'CU-\\d+'}}, "
        "rehearsal: {share: 0.1, max_usd_per_day: 5}, acceptance: {margin: 0.1}, ",
    ).replace(
        "routes:",
        "profiles: {careful: {capture: {retention_days: 3}, acceptance: {measure: chrf}, rehearsal: null}}\nroutes:",
    )
    routes = _load(
        tmp_path,
        "  plain: tuned-1\n"
        "  ours: {profile: careful, primary: tuned-2, capture: {share: 0.25, patterns: {order: null}}, tenant: null}\n"
        "  off: {primary: tuned-3, capture: null, acceptance: null}\n",
        before,
    ).routes.routes
    plain, ours, off = routes["plain"], routes["ours"], routes["off"]
    patterns = {"order": r"ORD-\d+", "customer": r"CU-\d+"}
    assert plain.capture == Capture(share=0.5, patterns=patterns)
    assert plain.rehearsal == Rehearsal(share=0.1, max_usd_per_day=Decimal(5))
    assert (plain.acceptance, plain.tenant) == (Acceptance(margin=0.1), "acme")
    assert ours.capture == Capture(share=0.25, retention_days=3, patterns={"customer": r"CU-\d+"})
    assert (ours.rehearsal, ours.tenant) == (None, None)
    assert ours.acceptance == Acceptance(margin=0.1, measure="chrf")
    assert (off.capture, off.acceptance) == (None, Acceptance())
    assert off.rehearsal == plain.rehearsal


# What cannot hold.


@pytest.mark.parametrize(
    ("says", "line", "message"),
    [
        pytest.param(
            "rehearsal:\n      share: 0.1",
            2,
            "routes.reply.rehearsal needs max_usd_per_day: rehearsals are paid for",
            id="a share without a limit",
        ),
        pytest.param(
            "rehearsal:\n      share: 0.1\n      max_usd_per_day: 0",
            4,
            "routes.reply.rehearsal needs max_usd_per_day: rehearsals are paid for",
            id="a limit of nothing",
        ),
        pytest.param(
            "fallback_on: []\n    rehearsal:\n      {share: 0.1, mode: serve, max_usd_per_day: 1}",
            4,
            "routes.reply.rehearsal: mode serve contradicts `fallback_on: []`, rather fail",
            id="a fallback that serves where none may",
        ),
        pytest.param(
            "capture:\n      patterns:\n        order: '(['",
            4,
            "routes.reply.capture.patterns.order: is no regular expression: unterminated character set at position 1",
            id="a broken pattern, though nothing is captured",
        ),
        pytest.param(
            "capture:\n      patterns:\n        order: 'a{99999999999}'",
            4,
            "routes.reply.capture.patterns.order: is no regular expression: the repetition number is too large",
            id="a pattern beyond what can be counted",
        ),
        *(
            pytest.param(
                f"capture:\n      patterns:\n        order: '{pattern}'",
                4,
                "routes.reply.capture.patterns.order: also matches nothing at all, and so would be found everywhere",
                id=f"a pattern that also matches nothing: {pattern}",
            )
            for pattern in ("[0-9]*", "a|", r"\b", "(?=a)", "^$")
        ),
        *(
            pytest.param(
                f"capture:\n      patterns:\n        {name}: 'a'",
                4,
                f"routes.reply.capture.patterns: '{name}' cannot name a pattern: up to 40 letters, digits, _ and -, a "
                "letter first, and not email, phone or card",
                id=f"a pattern called {name}",
            )
            for name in ("email", "order no", "1st", "a" * 41)
        ),
        pytest.param(
            "capture:\n      phone_regions: [US, UK]",
            3,
            "routes.reply.capture.phone_regions: no region is called UK (the United Kingdom is GB)",
            id="a region that there is not",
        ),
        pytest.param(
            "acceptance:\n      judge: replay",
            3,
            "routes.reply.acceptance.judge: there is no route 'replay'; did you mean 'reply'?",
            id="a judge that is no route",
        ),
        pytest.param(
            "acceptance:\n      measure: judge",
            3,
            "routes.reply.acceptance: measure judge needs `judge`",
            id="a judge that is not named",
        ),
        pytest.param(
            "acceptance:\n      measure: pattern_match",
            3,
            "routes.reply.acceptance: measure pattern_match needs `pattern`",
            id="a pattern that is not given",
        ),
        pytest.param(
            "acceptance:\n      pattern: '[a'",
            3,
            "routes.reply.acceptance.pattern: is no regular expression: unterminated character set at position 0",
            id="a broken pattern of answers",
        ),
    ],
)
def test_what_cannot_hold_is_an_error_with_its_line(tmp_path: Path, says: str, line: int, message: str) -> None:
    routes = f"  reply:\n    primary: tuned\n    {says}\n"
    assert _errors(tmp_path, routes) == [f"routes.yaml:{FIRST_LINE + line}: {message}"]


@pytest.mark.parametrize(
    ("says", "wrong"),
    [
        pytest.param("rehearsal: {share: 0.1, max_usd_per_day: 10000000000}", "max_usd_per_day", id="a limit too high"),
        pytest.param("rehearsal: {share: 0.1, max_usd_per_days: 1}", "max_usd_per_days", id="a misspelt limit"),
        pytest.param("acceptance: {measure: judge, judge: 5}", "judge", id="a judge that is no text"),
        pytest.param("acceptance: {measure: pattern_match, pattern: 5}", "pattern", id="a pattern that is no text"),
    ],
)
@pytest.mark.parametrize("where", ["the route", "its profile", "the defaults"])
def test_what_is_written_wrong_is_not_said_to_be_missing_as_well(
    tmp_path: Path, says: str, wrong: str, where: str
) -> None:
    before, route = BEFORE, "{primary: tuned}"
    if where == "the route":
        route = f"{{primary: tuned, {says}}}"
    elif where == "its profile":
        before = BEFORE.replace("routes:", f"profiles: {{ours: {{{says}}}}}\nroutes:")
        route = "{primary: tuned, profile: ours}"
    else:
        before = BEFORE.replace("fallbacks: [base]}", f"fallbacks: [base], {says}}}")
    (error,) = _errors(tmp_path, f"  reply: {route}\n", before)
    assert wrong in error
    assert " needs " not in error


def test_what_is_missing_is_told_beside_what_is_wrong_with_another_route(tmp_path: Path) -> None:
    routes = "  reply: {primary: tuned, rehearsal: {share: 0.1}}\n  triage: {primary: tuned-2, owners: us}\n"
    missing, misspelt = _errors(tmp_path, routes)
    assert missing.endswith("routes.reply.rehearsal needs max_usd_per_day: rehearsals are paid for")
    assert "owners" in misspelt


def test_a_limit_of_nothing_is_told_beside_another_mistake(tmp_path: Path) -> None:
    says = "{primary: tuned, owners: us, rehearsal: {share: 0.1, max_usd_per_day: 0}}"
    assert any("needs max_usd_per_day" in error for error in _errors(tmp_path, f"  reply: {says}\n"))


@pytest.mark.parametrize(
    "says",
    [
        "capture: {share: 1.01}",
        "capture: {share: -0.1}",
        "capture: {share: true}",
        "capture: {share: '0.5'}",
        "capture: {share: .nan}",
        "capture: {retention_days: 0}",
        "capture: {retention_days: 1.5}",
        "capture: {redact: [names]}",
        "capture: {phone_regions: [us]}",
        "capture: {patterns: {a: ''}}",
        "capture: {max_bytes: 1048577}",
        "capture: {shares: 1}",
        "rehearsal: {mode: shade}",
        "rehearsal: {max_usd_per_day: -1}",
        "acceptance: {margin: 0}",
        "acceptance: {margin: 0.51}",
        "acceptance: {measure: bleu}",
        "tenant: ''",
    ],
)
def test_a_value_outside_its_range_is_an_error_on_its_line(tmp_path: Path, says: str) -> None:
    (error,) = _errors(tmp_path, f"  reply:\n    primary: tuned\n    {says}\n")
    assert error.startswith(f"routes.yaml:{FIRST_LINE + 2}: ")


@pytest.mark.parametrize(
    "route",
    ["reply: {primary: null, RULE}", "reply: {primary: tuned, fallbacks: [], RULE}"],
    ids=["no primary", "no fallback"],
)
def test_a_rehearsal_that_nobody_can_play_is_warned_of(tmp_path: Path, route: str) -> None:
    loaded = _load(tmp_path, f"  {route.replace('RULE', 'rehearsal: {share: 0.1, max_usd_per_day: 1}')}\n")
    assert (
        f"routes.yaml:{FIRST_LINE}: routes.reply.rehearsal does nothing: it takes a primary and a fallback"
        in _warnings(loaded)
    )


def test_a_pattern_of_answers_may_match_nothing(tmp_path: Path) -> None:
    assert _route(tmp_path, "acceptance: {measure: pattern_match, pattern: 'a*'}").acceptance.pattern == "a*"
