from pathlib import Path

import pytest

from gateway.config.findings import Findings
from gateway.config.prompt_files import build_prompt
from gateway.config.route_names import RouteName
from gateway.config.routes import Example, Prompt
from gateway.config.schema import PromptEntry
from gateway.config.source_files import SourceFiles
from gateway.config.yaml_source import parse, plain

GOOD = '{"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a", "weight": 1}]}'


def _prompt(folder: Path, text: str) -> tuple[Prompt | None, list[str]]:
    findings = Findings("routes.yaml")
    node = parse(text.encode(), "routes.yaml", findings)
    assert node is not None
    entry = PromptEntry.model_validate(plain(node))
    prompt = build_prompt(entry, node, RouteName("reply"), SourceFiles(folder / "routes.yaml"), findings)
    return prompt, [str(finding) for finding in findings.errors()]


def _examples(folder: Path, *rows: str) -> tuple[tuple[Example, ...] | None, list[str]]:
    (folder / "x.jsonl").write_text("\n".join(rows))
    prompt, errors = _prompt(folder, "examples_file: x.jsonl")
    return prompt.examples if prompt else None, errors


def test_of_a_conversation_the_last_pair_is_the_example(tmp_path: Path) -> None:
    roles = [("system", "s"), ("user", "u1"), ("assistant", "a1"), ("user", "u2\u2028"), ("assistant", "a2")]
    messages = ", ".join(f'{{"role": "{role}", "content": "{content}"}}' for role, content in roles)
    assert _examples(tmp_path, f'{{"messages": [{messages}]}}', "") == (
        (Example(user="u2\u2028", assistant="a2"),),
        [],
    )


def test_fifty_rows_are_read_and_one_more_is_an_error(tmp_path: Path) -> None:
    examples, _ = _examples(tmp_path, *[GOOD] * 50)
    assert examples is not None
    assert len(examples) == 50
    assert _examples(tmp_path, *[GOOD] * 51) == (None, ["x.jsonl:51: holds more than 50 examples"])


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param("{", "is not a line of JSON", id="no JSON"),
        pytest.param("[]", 'is not a training row of the form {"messages": […]}', id="no object"),
        pytest.param('{"prompt": "x"}', 'is not a training row of the form {"messages": […]}', id="another format"),
        pytest.param('{"messages": "x"}', 'is not a training row of the form {"messages": […]}', id="messages as text"),
        pytest.param(
            '{"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "tool_calls": []}]}',
            "has no user message with text and an assistant's answer with text to it",
            id="an answer without text",
        ),
    ],
)
def test_each_broken_row_has_its_line(row: str, expected: str, tmp_path: Path) -> None:
    assert _examples(tmp_path, GOOD, row, row) == (None, [f"x.jsonl:2: {expected}", f"x.jsonl:3: {expected}"])


def test_the_version_changes_with_every_part(tmp_path: Path) -> None:
    texts = [
        "instructions: a",
        "instructions: b",
        "{instructions: a, caller_system: replace}",
        "{instructions: a, trained_system: s}",
        "{instructions: a, trained_system: [s, t]}",
        "{instructions: a, examples: [{user: u, assistant: v}]}",
    ]
    versions = [prompt.version for prompt, _ in (_prompt(tmp_path, text) for text in texts) if prompt]
    assert len(set(versions)) == len(texts)
    again, _ = _prompt(tmp_path, texts[0])
    assert again is not None
    assert again.version == versions[0]


def test_examples_of_both_places_are_joined(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(GOOD)
    prompt, _ = _prompt(tmp_path, "{examples: [{user: first, assistant: v}], examples_file: x.jsonl}")
    assert prompt is not None
    assert [example.user for example in prompt.examples] == ["first", "u"]
