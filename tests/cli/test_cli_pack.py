import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from command_line import Run
from migrated_database import migrated
from rich.cells import cell_len

from gateway.config.loader import load
from gateway.config.packs import FILES
from gateway.store.database import Database
from gateway.store.recordings import Recording, RecordingStore

TUNED = "ft:gpt-4.1-mini-2025-04-14:acme:triage:C3d4"
ROUTES = f"""\
version: 1
providers:
  acme: {{kind: openai, api_key_env: NOBODY_SETS_THIS}}
  shed: {{kind: sandbox, base_url: "http://127.0.0.1:9/v1"}}
fallbacks:
  luna: {{provider: acme, model: gpt-4.1-mini-2025-04-14, prompt: {{pack: "packs/{{route}}"}}}}
  barn: {{provider: shed, model: gpt-6-luna, prompt: {{instructions: Sort the ticket.}}}}
defaults: {{provider: acme, fallbacks: [luna]}}
routes:
  triage: {{primary: "{TUNED}", training: {{file: "data/{{route}}.jsonl"}}}}
  stable: {{primary: "{TUNED}", fallbacks: [barn]}}
  ward: {{primary: "{TUNED}", tenant: st-mary}}
"""
SYSTEM = "You sort tickets."
WITHOUT_WARD = ROUTES.replace("  ward:", "  # ward:")
"""Of routes that name a pack only the one whose pack is built."""


def rows_of(count: int) -> list[dict[str, Any]]:
    return [
        {
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": f"Ticket {at}: my parcel {at * 7} is late, write to me{at}@example.com"},
                {"role": "assistant", "content": ("billing", "shipping")[at % 2]},
            ]
        }
        for at in range(count)
    ]


def put(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "routes.yaml").write_text(ROUTES)
    put(tmp_path / "data" / "triage.jsonl", rows_of(40))
    return tmp_path


def everything_in(directory: Path) -> str:
    return "".join(path.read_text() for path in sorted(directory.iterdir()))


def test_a_pack_is_built_from_the_routes_own_training_file_and_the_configuration_takes_it(here: Path, run: Run) -> None:
    ran = run("pack", "build", "triage")
    assert (ran.code, ran.err) == (0, "")
    pack = load(here / "routes.yaml", environ={}).routes.routes["triage"].fallbacks[0].prompt.pack  # type: ignore[union-attr]
    assert pack is not None and pack.hash in ran.out.splitlines()
    assert sorted(path.name for path in (here / "packs").iterdir()) == ["triage", "triage.held-out.jsonl"]
    assert "example.com" not in everything_in(here / "packs" / "triage")
    for said in (
        "40 read, 0 dropped",
        "40 × email",
        "from the training rows' system message",
        "cannot help: providers keep prefixes from 1,024 equal tokens; ",
        "a 1,000 requests",
        'prompt: {pack: "packs/{route}"}',
        "reviewed in git",
    ):
        assert said in ran.out


def test_json_has_every_figure_and_nothing_else_is_printed(here: Path, run: Run) -> None:
    told = run("pack", "build", "triage", "--json", "--fixed", "30", "--hold-out", "0.1").json
    assert told["rows"]["read"] == 40 and told["rows"]["fixed"] == 30
    assert told["rows"]["fixed"] + told["rows"]["pool"] + told["rows"]["held_out"] == 40
    assert told["tokens"]["prefix"] == told["tokens"]["instructions"] + told["tokens"]["fixed"]
    assert told["tokens"]["window"] > 100_000 and told["share_of_window"] < 0.01
    assert told["redacted"] == {"email": 40} and told["system_messages"] == [40]
    assert told["caching"]["helps"] is (told["tokens"]["prefix"] >= 1_024)
    assert float(told["usd_per_1000_requests"]["cold"]) > 0
    assert told["hash"] == json.loads((here / "packs/triage/pack.json").read_text())["hash"]


def test_rows_that_cannot_be_used_are_told_with_their_lines_and_nothing_is_written(here: Path, run: Run) -> None:
    put(here / "bad.jsonl", [rows_of(1)[0], {"messages": []}, {"prompt": "p", "completion": "c"}])
    ran = run("pack", "build", "triage", "--from", "data/triage.jsonl", "--from", "bad.jsonl")
    assert ran.code == 1 and ran.out == ""
    assert [line.split(": ")[0] for line in ran.err.splitlines()] == ["bad.jsonl:2", "bad.jsonl:3"]
    assert not (here / "packs").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["tirage"], 2, "did you mean 'triage'?"),
        (["stable"], 2, "names no training.file"),
        (["triage", "--fallback", "moon"], 2, "has the fallbacks luna"),
        (["triage", "--hold-out", "1"], 2, "Invalid value for '--hold-out'"),
        (["triage", "--redact", "names"], 2, "is none of email, phone, card"),
        (["ward", "--from", "data/triage.jsonl", "--tenant", "st-john"], 2, "would refuse another's pack"),
        (["triage", "--from", "none.jsonl"], 1, "none.jsonl cannot be read: No such file"),
        (["triage", "--from", "recordings"], 1, "there are no recordings that could be examples"),
        (["triage", "--instructions", "none.md"], 1, "none.md cannot be read"),
        (["triage", "--budget-tokens", "3"], 1, "the instructions take"),
        (["triage", "--out", "data"], 1, "holds triage.jsonl, which is of no pack"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_built_is_told(arguments: list[str], code: int, said: str, here: Path, run: Run) -> None:
    ran = run("pack", "build", *arguments)
    assert ran.code == code
    assert said in " ".join(ran.err.replace("│", " ").split())
    assert not (here / "packs").exists()


def test_what_is_unknown_of_a_target_is_told(here: Path, run: Run) -> None:
    ran = run("pack", "build", "stable", "--from", "data/triage.jsonl")
    assert (
        "from fallback barn" in ran.out and (here / "packs/stable/instructions.md").read_text() == "Sort the ticket.\n"
    )
    assert "shed/gpt-6-luna is unpriced" in ran.out
    assert "context window is not known: taken to be 16,000 tokens" in ran.out


def test_instructions_in_a_file_are_taken_as_they_are_and_what_they_hold_is_told(here: Path, run: Run) -> None:
    (here / "routes.yaml").write_text(WITHOUT_WARD)
    (here / "brief.md").write_text("Sign as help@acme.example, {{ always }}.\n")
    ran = run("pack", "build", "triage", "--instructions", "brief.md")
    assert "the instructions hold 1 × email, which stays: is it meant?" in ran.out
    assert (here / "packs/triage/instructions.md").read_text() == "Sign as help@acme.example, {{ always }}.\n"
    verified = run("pack", "verify")
    assert verified.code == 0 and "warning: instructions.md:1: " in verified.out


def test_a_rebuilt_pack_does_not_take_the_old_packs_instructions_for_somebodys_own(here: Path, run: Run) -> None:
    first = run("pack", "build", "triage", "--json").json
    (here / "data" / "triage.jsonl").write_text(
        (here / "data" / "triage.jsonl").read_text().replace(SYSTEM, "You sort letters.")
    )
    second = run("pack", "build", "triage", "--json").json
    assert second["hash"] != first["hash"] and second["instructions_from"] == "the training rows' system message"
    assert (here / "packs/triage/instructions.md").read_text() == "You sort letters.\n"


def test_a_tenants_pack_is_only_its_owners_to_read(here: Path, run: Run) -> None:
    assert run("pack", "build", "ward", "--from", "data/triage.jsonl", "--json").json["tenant"] == "st-mary"
    assert (here / "packs/ward").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (here / "packs/ward").iterdir()} == {0o600}


def test_recordings_of_the_primary_become_rows_that_a_model_wrote(here: Path, run: Run) -> None:
    at = datetime(2026, 11, 1, tzinfo=UTC)

    async def record() -> None:
        database = await Database.open(url)
        rows = [
            Recording("triage", "acme", TUNED, f"{at_:016x}", sample, "", asked(at_), answer, "inputs.jsonl", at)
            for at_ in range(12)
            for sample, answer in ((0, '{"role": "assistant", "content": "first"}'), (1, '{"content": "second"}'))
        ]
        await RecordingStore(database).keep(rows)
        await database.close()

    def asked(at_: int) -> str:
        return json.dumps(
            {"messages": [{"role": "user", "content": f"question {at_} of x@example.com"}], "tools": None}
        )

    url = f"sqlite+aiosqlite:///{here / 'gateway.db'}"
    migrated(url)
    asyncio.run(record())
    told = run("pack", "build", "triage", "--from", "recordings", "--database", url, "--json").json
    assert told["rows"]["read"] == told["rows"]["model_generated"] == 12
    assert any("may forbid training other models" in note for note in told["notes"])
    text = everything_in(here / "packs/triage")
    assert '"origin":"recorded"' in text and "second" not in text and "example.com" not in text


def test_a_pack_is_shown_by_directory_and_by_route(here: Path, run: Run) -> None:
    built = run("pack", "build", "triage", "--json").json
    by_directory, by_route = run("pack", "show", "packs/triage"), run("pack", "show", "triage", "--examples", "1")
    assert by_directory.code == by_route.code == 0
    for ran in (by_directory, by_route):
        assert built["hash"] in ran.out and SYSTEM in ran.out and "write to [email] →" in ran.out
    assert "and 19 more fixed examples" in by_route.out
    shown = run("pack", "show", "triage", "--json").json
    assert shown["manifest"]["hash"] == built["hash"] and len(shown["fixed"]) == 20


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [(["stable"], 1, "no fallback has a pack yet"), (["moon"], 2, "has no route 'moon'"), (["data"], 1, "is missing")],
    ids=["a route without one", "neither", "a directory without one"],
)
def test_what_is_no_pack_is_told(arguments: list[str], code: int, said: str, here: Path, run: Run) -> None:
    ran = run("pack", "show", *arguments)
    assert ran.code == code and said in ran.err


def test_packs_are_compared_by_what_is_in_them(here: Path, run: Run) -> None:
    run("pack", "build", "triage")
    put(here / "more.jsonl", [*rows_of(40)[:-1], rows_of(45)[-1]])
    (here / "brief.md").write_text("Sort the letters.")
    run(
        "pack",
        "build",
        "triage",
        "--out",
        "next",
        "--from",
        "more.jsonl",
        "--instructions",
        "brief.md",
        "--similar",
        "3",
    )
    same, differs = run("pack", "diff", "triage", "packs/triage"), run("pack", "diff", "triage", "next")
    assert (same.code, same.out) == (0, "the same pack\n")
    assert differs.code == 1
    lines = differs.out.splitlines()
    assert f"-{SYSTEM}" in lines and "+Sort the letters." in lines and "similar: 4 → 3" in lines
    found = run("pack", "diff", "triage", "next", "--json").json
    texts = [row["text"] for kind in ("fixed", "pool") for row in found[kind]["added"]]
    assert found["same"] is False and any("Ticket 44" in text for text in texts)


def _edit(here: Path) -> None:
    path = here / "packs/triage/fixed.jsonl"
    path.write_text(path.read_text().replace("late", "lost", 1))


def _leak(here: Path) -> None:
    held_out = here / "packs/triage.held-out.jsonl"
    held_out.write_text(held_out.read_text() + json.dumps(rows_of(40)[fixed_row(here)]) + "\n")


def fixed_row(here: Path) -> int:
    first = json.loads((here / "packs/triage/fixed.jsonl").read_text().splitlines()[0])
    return int(first["messages"][0]["content"].split()[1].strip(":"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_edit, "packs/triage/pack.json:1: the pack was changed after it was built"),
        (lambda here: (here / "packs/triage/pool.jsonl").unlink(), "pool.jsonl"),
        (_leak, "fixed.jsonl:1: the example is row "),
    ],
    ids=["an edited example", "a missing file", "a held-out row in the pack"],
)
def test_verify_finds_a_pack_that_was_tampered_with(
    damage: Callable[[Path], None], said: str, here: Path, run: Run
) -> None:
    (here / "routes.yaml").write_text(WITHOUT_WARD)
    run("pack", "build", "triage")
    for arguments in ([], ["triage"], ["packs/triage"]):
        ran = run("pack", "verify", *arguments)
        assert ran.code == 0 and "all is well" in ran.out, arguments
    damage(here)
    for arguments in ([], ["packs/triage"], ["packs/triage", "--json"]):
        ran = run("pack", "verify", *arguments)
        assert ran.code == 1 and said in ran.out + ran.err, arguments


def test_whoever_builds_a_damaged_pack_anew_is_told_to_move_it_away(here: Path, run: Run) -> None:
    run("pack", "build", "triage")
    _edit(here)
    ran = run("pack", "build", "triage")
    assert ran.code == 1 and ran.err.splitlines()[-1] == "move packs/triage away (in .), then build anew"


def test_verify_takes_other_rows_that_must_not_be_in_the_pack(here: Path, run: Run) -> None:
    run("pack", "build", "triage")
    put(here / "mine.jsonl", rows_of(80)[40:])
    assert run("pack", "verify", "triage", "--held-out", "mine.jsonl").code == 0
    ran = run("pack", "verify", "triage", "--held-out", "data/triage.jsonl", "--json")
    assert ran.code == 1 and ran.json["ok"] is False and len(ran.json["findings"]) > 20
    assert run("pack", "verify", "triage", "--held-out", "none.jsonl").code == 2


def test_a_pushed_pack_is_found_by_its_hash(here: Path, run: Run) -> None:
    url = f"sqlite+aiosqlite:///{here / 'packs.db'}"
    built = run("pack", "build", "triage", "--json").json
    pushed = run("pack", "push", "packs/triage", "--database", url)
    assert (pushed.code, pushed.out) == (0, f"{built['hash']}\n")
    named = (here / "routes.yaml").read_text().replace("packs/{route}", built["hash"])
    (here / "routes.yaml").write_text(named.replace("  ward", "  # ward").replace('"packs/triage"', built["hash"]))
    ran = run("pack", "verify", "triage", "--database", url)
    assert (ran.code, ran.out) == (0, f"triage (luna): pack {built['version']}: all is well\n")
    missing = run("pack", "verify", "triage", "--database", f"sqlite+aiosqlite:///{here / 'empty.db'}")
    assert missing.code == 1 and "the database has no pack" in missing.out


def test_a_pack_is_removed_once_nobody_names_it(here: Path, run: Run) -> None:
    url = f"sqlite+aiosqlite:///{here / 'packs.db'}"
    built = run("pack", "build", "triage", "--json").json
    run("pack", "push", "packs/triage", "--database", url)
    before = (here / "routes.yaml").read_text()
    named = before.replace("packs/{route}", built["hash"])
    (here / "routes.yaml").write_text(named.replace("  ward", "  # ward").replace('"packs/triage"', built["hash"]))
    refused = run("pack", "remove", built["hash"], "--database", url)
    assert refused.code == 1 and "routes.yaml names it" in refused.err
    (here / "routes.yaml").write_text(before)
    assert run("pack", "remove", built["hash"], "--database", url).code == 0
    again = run("pack", "remove", built["hash"], "--database", url)
    assert again.code == 1 and "has no pack" in again.err


def test_what_is_no_pack_is_not_pushed(here: Path, run: Run) -> None:
    url = f"sqlite+aiosqlite:///{here / 'packs.db'}"
    run("pack", "build", "triage")
    _edit(here)
    ran = run("pack", "push", "packs/triage", "--database", url)
    assert ran.code == 1 and "was changed after it was built" in ran.err
    assert run("pack", "push", "nowhere", "--database", url).code == 2


def test_a_pack_can_be_looked_at_without_a_configuration(here: Path, run: Run) -> None:
    run("pack", "build", "triage")
    (here / "routes.yaml").unlink()
    assert sorted(path.name for path in (here / "packs/triage").iterdir()) == sorted(FILES)
    for arguments in (["show", "packs/triage"], ["verify", "packs/triage"]):
        ran = run("pack", *arguments)
        assert (ran.code, ran.err) == (0, "")
    assert run("pack", "verify").code == 1


def test_verify_lists_packs_that_are_named_and_not_there(here: Path, run: Run) -> None:
    ran = run("pack", "verify")
    assert ran.code == 1 and "names no pack" not in ran.out
    for name in ("triage", "ward"):
        said = f"error: routes.{name} (luna): there is no pack at packs/{name}; build it: gateway pack build {name} "
        assert said in ran.out
    run("pack", "build", "triage")
    ran = run("pack", "verify", "--json")
    assert (ran.code, ran.json["ok"], [one["pack"] for one in ran.json["packs"]]) == (1, False, ["triage (luna)"])
    assert [finding["message"].split(" (")[0] for finding in ran.json["findings"]] == ["routes.ward"]


def test_verify_tells_of_every_pack_that_the_database_lacks(here: Path, run: Run) -> None:
    text = ROUTES.replace('"packs/{route}"', f'"sha256:{"0" * 64}"')
    (here / "routes.yaml").write_text(text)
    ran = run("pack", "verify")
    assert ran.code == 1
    assert ran.out.count("the database has no pack") == 2 and "routes.ward (luna): " in ran.out


@pytest.mark.parametrize(("examples", "said"), [(1, "1 finding\n"), (2, "2 findings\n")], ids=["one", "two"])
def test_findings_are_counted_in_words(examples: int, said: str, here: Path, run: Run) -> None:
    run("pack", "build", "triage")
    lines = (here / "packs/triage/fixed.jsonl").read_text().splitlines()[:examples]
    put(here / "mine.jsonl", [{"messages": json.loads(line)["messages"]} for line in lines])
    assert run("pack", "verify", "triage", "--held-out", "mine.jsonl").out.endswith(said)


@pytest.mark.parametrize(
    ("damage", "names"),
    [(_edit, ("triage", "packs/triage")), (lambda here: None, ("packs/triage", "packs/none"))],
    ids=["a damaged pack", "a pack that is not there"],
)
def test_packs_that_cannot_be_read_do_not_count_as_different(
    damage: Callable[[Path], None], names: tuple[str, str], here: Path, run: Run
) -> None:
    run("pack", "build", "triage")
    (here / "packs/none").mkdir()
    damage(here)
    ran = run("pack", "diff", *names)
    assert (ran.code, ran.out) == (2, "") and ran.err


@pytest.mark.parametrize("columns", [40, 80])
def test_a_shown_pack_keeps_to_the_terminals_width(
    columns: int, here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "brief.md").write_text(f"  Sort {'the tickets ' * 30}{'x' * 200}\n\tand \x1b[31mletters: {'箱' * 60}\n")
    run("pack", "build", "triage", "--instructions", "brief.md")
    piped = run("pack", "show", "packs/triage").out
    monkeypatch.setenv("COLUMNS", str(columns))
    assert run("pack", "show", "packs/triage").out == piped
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = run("pack", "show", "packs/triage").out
    assert max(map(cell_len, shown.splitlines())) <= columns < max(map(cell_len, piped.splitlines()))
    assert "".join(shown.split()) == "".join(piped.split()) and "\x1b" not in shown
