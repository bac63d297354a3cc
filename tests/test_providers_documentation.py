"""docs/providers.md: its table is what the code knows, and its examples load."""

import re
from pathlib import Path

import pytest

from gateway.config.loader import load
from gateway.config.vendors import ENDPOINTS, VENDORS, Vendor

TEXT = (Path(__file__).parent.parent / "docs" / "providers.md").read_text()
EXAMPLES = re.findall(r"^## (.+?)\n|^```yaml\n(# routes\.yaml\n.*?)^```", "## Start\n" + TEXT, re.MULTILINE | re.DOTALL)
SHORT = {"chat_completions": "chat"}
HEAD = ["kind", *(SHORT.get(endpoint, endpoint) for endpoint in ENDPOINTS), "credential", "looked up by", "dates"]


def row_of(vendor: Vendor) -> list[str]:
    def mark(endpoint: str) -> str:
        if endpoint in vendor.endpoints:
            return "○" if vendor.litellm else "●"
        return "○" if endpoint == "responses" and vendor.bridge else ""

    header = "`authorization`" if vendor.litellm and vendor.key_header == "authorization" else f"`{vendor.key_header}`"
    credential = header if vendor.needs_key else "none needed"
    identity = f", {vendor.identity}" if vendor.identity else ""
    return [
        f"`{vendor.kind}`",
        *map(mark, ENDPOINTS),
        credential + identity,
        "list" if vendor.lists_models else "calls",
        "yes" if vendor.tells_dates else "",
    ]


def line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def test_the_table_is_what_the_code_knows() -> None:
    rows = [line(row_of(vendor)) for vendor in VENDORS.values()]
    table = "\n".join([line(HEAD), "|" + "---|" * len(HEAD), *rows])
    found = re.search(r"^\| kind .*?(?=\n\n)", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None
    assert found.group() == table, "docs/providers.md should hold this table"


def examples() -> dict[str, str]:
    found, section = {}, ""
    for title, text in EXAMPLES:
        section = title or section
        if text:
            found[section] = text
    return found


@pytest.mark.parametrize("text", examples().values(), ids=examples().keys())
def test_an_example_loads(text: str, tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(text)
    names = re.findall(r"api_key_env: (\w+)", text)
    loaded = load(tmp_path / "routes.yaml", environ=dict.fromkeys(names, "sk-1"))
    assert loaded.routes.routes
    assert not [finding for finding in loaded.warnings if finding.missing_secret]


def test_every_kind_that_litellm_speaks_has_an_example() -> None:
    kinds = {kind for text in examples().values() for kind in re.findall(r"kind: ([\w.-]+)", text)}
    assert {kind for kind, vendor in VENDORS.items() if vendor.litellm} <= kinds
