"""No secret is compared with == or looked for with ``in``: how long that takes tells how much of it was right.

Over the syntax of every file of the gateway: an operand whose name says that it is a secret, or what one is known by.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

GATEWAY = Path(__file__).parents[2] / "gateway"
SECRETS = frozenset(
    ("secret", "secrets", "digest", "digests", "credential", "credentials", "token", "pepper", "mac", "signature",
     "csrf", "cookie", "password", "bearer", "shown")
)  # fmt: skip
"""How the name of one ends."""
KEY_FILES = re.compile(r"key|guard|access|login|credential|settings|admin|app\.py|webhook|secret")
"""Files in which ``key`` is a credential; elsewhere it is a mapping's, unless it is somebody's: ``admin_key``."""
ALLOWED = {
    "api/guard.py: credential[:7].lower() == b'bearer '": "the word before it",
    "api/pages/sentence.py: len(shown) == len(ordered)": "lines of a list",
    "execution/teller.py: notice.once_key not in self._told": "what an event is told once by",
    "lifecycle/forecast_traffic.py: target_key == key": "a provider and a model",
    "lifecycle/primary_text.py: yaml_text.shown(value) == value": "a model's name, and how it can be written",
    "policy/evidence.py: evidence_key(route) not in accepted": "what a verdict rests on",
    "providers/openai_wire.py: secret != self._secret": "whether a provider's own key was renewed",
    "store/keys.py: _k.digest == digest": "SQL: a new key's own digest, of which nobody chooses a bit",
    "store/keys.py: _k.old_digest == digest": "SQL, as above",
}


def suspects(file: str, source: str) -> Iterator[str]:
    """Yield each comparison of something that is called a secret."""
    key_is_one = KEY_FILES.search(file) is not None
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Compare):
            continue
        operands = [node.left, *node.comparators]
        for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
            by_content = isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn)
            if by_content and any(_is_secret(name, key_is_one) for each in (left, right) for name in _names(each)):
                yield f"{file}: {ast.unparse(node)}"


def _is_secret(name: str, key_is_one: bool) -> bool:
    # In capitals: a table of words, or a sentence.
    *before, last = name.strip("_").split("_")
    return not name.isupper() and (last in SECRETS or (last == "key" and (bool(before) or key_is_one)))


def _names(operand: ast.expr) -> Iterator[str]:
    if isinstance(operand, ast.Name):
        yield operand.id
    elif isinstance(operand, ast.Attribute):
        yield operand.attr
    elif isinstance(operand, ast.Call):
        yield from _names(operand.func)
        if isinstance(operand.func, ast.Attribute):
            yield from _names(operand.func.value)
        for argument in operand.args:
            yield from _names(argument)
    elif isinstance(operand, ast.Subscript):
        yield from _names(operand.value)
        if isinstance(operand.slice, ast.Constant) and isinstance(operand.slice.value, str):
            yield operand.slice.value


def test_no_secret_is_compared_by_its_content() -> None:
    found = [
        suspect
        for path in sorted(GATEWAY.rglob("*.py"))
        if "sandbox" not in path.parts
        for suspect in suspects(str(path.relative_to(GATEWAY)), path.read_text())
    ]
    assert set(found) - ALLOWED.keys() == set()
    assert ALLOWED.keys() - set(found) == set(), "what is allowed is still there"


@pytest.mark.parametrize(
    "line",
    [
        "credential == self._admin_key",
        "shown in self.keys_by_text",
        "secret != expected",
        "row.digest == digest",
        "request.headers['token'] == x",
        "settings.admin_key.get_secret_value() == form['key']",
        "key in known",
        "(a < b) and (token.encode() in tokens)",
        "1 < n == cookie",
    ],
)
def test_it_would_be_found(line: str) -> None:
    assert list(suspects("api/guard.py", f"if {line}:\n    pass\n"))


@pytest.mark.parametrize("line", ["hmac.compare_digest(secret, key)", "key is None", "name in CREDENTIAL_HEADERS"])
def test_nothing_else_is(line: str) -> None:
    assert not list(suspects("api/guard.py", f"if {line}:\n    pass\n"))
