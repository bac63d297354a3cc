import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.learning.capture.redaction import LONGEST_PIECE, Redactor

EVERYWHERE = Redactor(["email", "phone", "card"], {})
AT_HOME = Redactor(["email", "phone", "card"], {"customer": r"\bC-\d{6}\b"}, ["US", "DE"])

EMAILS = [
    ("jane@example.com", "[email]"),
    ("Write to jane.doe+news@mail.example.co.uk.", "Write to [email]."),
    ("<jane@example.com>, mailto:bob@example.com?subject=Hi", "<[email]>, mailto:[email]?subject=Hi"),
    ("?to=a@example.com&cc=b@example.com", "?to=[email]&cc=[email]"),
    ("?to=jane%40example.com", "?to=[email]"),
    ("müller@münchen.de, почта@пример.рф; 用户@例子.广告", "[email], [email]; [email]"),
    ("联系jane@example.com吧", "联系[email]吧"),
    ("o'brien@example.org, 'bob@example.org'", "[email], '[email]'"),
    ('"jane doe"@example.com', "[email]"),
    ("..jane@xn--mnchen-3ya.xn--p1ai", "..[email]"),
    ("jane＠example.com", "[email]"),
    ("a@example.com,b@example.com", "[email],[email]"),
    (f"{'x' * 300}@example.com", "[email]"),
    ("jane\u200b@example.com, jane@\u00adexample.com, ja\u2060ne@exam\ufeffple.com", "[email], [email], [email]"),
    ("jane$@example.com jane!@example.com jane~@example.com", "[email] [email] [email]"),
    ("jane!doe@example.com **jane@example.com** a=@example.com", "[email] **[email]** [email]"),
    ("{jane,joe}@example.com", "[email]"),
    ("jane@my_host.example.com, jane@_mail.example.com", "[email], [email]"),
    ("jane@[192.168.0.1], jane@[IPv6:2001:db8::1]", "[email], [email]"),
    ("jane@example。com jane@example．co｡uk", "[email] [email]"),
    ("jane&#64;example.com jane&#x40;example.com jane&commat;example.com", "[email] [email] [email]"),
    ("?to=jane.doe%2Bnews%40example%2Ecom&jane%2540example.com", "?to=[email]&[email]"),
    (r"jane\u0040example.com", "[email]"),
]
CARDS = [
    ("4111111111111111", "[card]"),
    ("4111 1111 1111 1111, 12/28", "[card], 12/28"),
    ("4111 1111 1111 1111 12/28 123", "[card] 12/28 123"),
    ("No 5 4111-1111-1111-1111", "No 5 [card]"),
    ("378282246310005 or 3782 822463 10005", "[card] or [card]"),
    ("4222222222222.", "[card]."),
    ("6304 0000 0000 0000 00", "[card]"),
    ("a,5555555555554444,b", "a,[card],b"),
    ("4111\u00a01111\u20111111\u00a01111", "[card]"),
    ("４１１１１１１１１１１１１１１１", "[card]"),
    ("4111.1111.1111.1111 4111/1111/1111/1111", "[card] [card]"),
    ("4111_1111_1111_1111; 4111,1111,1111,1111; 4111\t1111\t1111\t1111", "[card]; [card]; [card]"),
    ("4111  1111  1111  1111; 4111\n1111\n1111\n1111; 4111 - 1111 - 1111 - 1111", "[card]; [card]; [card]"),
    ("4111\u200b1111\u200b1111\u200b1111; 41111111\u200b11111111", "[card]; [card]"),
    ("3782.822463.10005", "[card]"),
]
PHONES = [
    ("Call +49 30 901820.", "Call [phone]."),
    ("+1 (212) 736-5000 ext. 12, then", "[phone], then"),
    ("tel:+442079460958", "tel:[phone]"),
    ("+49 30 901820 +1 212 736 5000", "[phone] [phone]"),
    ("＋４９３０９０１８２０", "[phone]"),
    ("+49 30 901820 4111 1111 1111 1111", "[phone] [card]"),
    ("+49 171\n1234567", "[phone]"),
    ("+49\t171\r\n1234567", "[phone]"),
]
AT_HOME_ONLY = [
    ("(212) 736-5000", "[phone]"),
    ("212.736.5000", "[phone]"),
    ("Phone number: 2127365000", "Phone number: [phone]"),
    ("Tel. 030 901820 oder 0049 30 901820", "Tel. [phone] oder [phone]"),
    ("I am C-123456.", "I am [customer]."),
    ("ID: 415-555-2671", "ID: [phone]"),
]
KEPT = [
    "jane@localhost, @jane, a @ b.com, 5@3, user@10.0.0.1, foo@.com",
    "2026-01-14 10:30:00, 01.02.2026, 3/4/26, 20260114103000, 1714567890, 1714567890123",
    "order 4002345678, order number 2127365000, invoice #2127365000, Bestellnummer: 2127365000, ticket 212-7365000",
    "Rechnung 2024-000123 vom 3.4.2026",
    "€2127365000, 2127365000 EUR, $ 2,127,365,000.00, 1.234.567,89",
    "DE89 3704 0044 0532 0130 00, GB82WEST12345698765432, FR14 2004 1010 0505 0001 3M02 606",
    "4111111111111112, 1111111111111117, 0000000000000000, 41111111111111111111, 0.4111111111111111",
    "10.0.0.1, 192.168.100.200, 3.1415926535 2.127.365.000",
    "550e8400-e29b-41d4-a716-446655440000, ISBN 978-3-16-148410-0, order 114-3941689-8772232",
    "4111.1111.1111.1112, 1.4111.1111.1111.1111, 2024,2025,2026,2027 and 4,111,111,111,111,111",
    "call +12, +0 000 000 0000, 1+1=2",
    "",
]


@pytest.mark.parametrize(("text", "redacted"), EMAILS + CARDS + PHONES)
@pytest.mark.parametrize("redactor", [EVERYWHERE, AT_HOME], ids=["no region", "US and DE"])
def test_addresses_cards_and_international_numbers_go(redactor: Redactor, text: str, redacted: str) -> None:
    found, counts = redactor.text(text)
    assert found == redacted
    assert counts == {kind: redacted.count(f"[{kind}]") for kind in ("email", "card", "phone") if kind in redacted}
    assert redactor.find(text) == counts


@pytest.mark.parametrize(("text", "redacted"), AT_HOME_ONLY)
def test_numbers_as_a_region_writes_them_go_where_the_region_is_named(text: str, redacted: str) -> None:
    assert AT_HOME.text(text)[0] == redacted
    assert EVERYWHERE.text(text) == (text, {})


@pytest.mark.parametrize("text", KEPT)
@pytest.mark.parametrize("redactor", [EVERYWHERE, AT_HOME], ids=["no region", "US and DE"])
def test_dates_orders_prices_and_accounts_stay(redactor: Redactor, text: str) -> None:
    assert redactor.text(text) == (text, {})


def test_only_what_is_asked_for_goes() -> None:
    text = "jane@example.com +4930901820 4111111111111111"
    assert Redactor(["card"], {}).text(text) == ("jane@example.com +4930901820 [card]", {"card": 1})
    assert Redactor([], {}).text(text) == (text, {})


def test_strings_of_a_request_go_and_its_shape_stays() -> None:
    arguments = '{"to": "\\njane@example.com",  "jane@example.com": [4111111111111111, 5, "\\u00fc C-123456"]}'
    request = {
        "messages": [
            {"role": "user", "name": "jane@example.com", "content": "I am C-123456"},
            {"role": "user", "content": [
                {"type": "text", "text": "+4930901820"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,+4930901820"}},
            ]},
            {"role": "assistant", "content": None, "tool_calls": [{"function": {"arguments": arguments}}]},
        ],
        "jane@example.com": True, "seed": 4111111111111111, "top_p": 0.5, "user": None,
    }  # fmt: skip
    before = json.dumps(request)
    redacted, counts = AT_HOME.value(request)
    assert redacted == {
        "messages": [
            {"role": "user", "name": "[email]", "content": "I am [customer]"},
            {"role": "user", "content": [
                {"type": "text", "text": "[phone]"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,+4930901820"}},
            ]},
            {"role": "assistant", "content": None, "tool_calls": [{"function": {
                "arguments": '{"to": "\\n[email]",  "jane@example.com": ["[card]", 5, "\\u00fc [customer]"]}'
            }}]},
        ],
        "jane@example.com": True, "seed": "[card]", "top_p": 0.5, "user": None,
    }  # fmt: skip
    assert counts == {"email": 2, "customer": 2, "phone": 1, "card": 2}
    assert json.dumps(request) == before


def test_cards_that_are_numbers_go_however_they_are_written() -> None:
    floats = [4111111111111111.0, 4.111111111111111e15, 4111111111111111.5, 0.4111111111111111, 1e300]
    redacted = ["[card]", "[card]", *floats[2:]]
    assert AT_HOME.value(floats)[0] == redacted
    assert json.loads(AT_HOME.text(json.dumps({"a": floats}))[0]) == {"a": redacted}
    assert AT_HOME.text('{"a": 4111111111111111.0}')[0] == '{"a": "[card]"}'


def test_json_inside_json_inside_json_is_still_json() -> None:
    inner = json.dumps({"a": json.dumps({"b": 'say "hi" to\njane@example.com'})})
    redacted, counts = AT_HOME.text(inner)
    assert json.loads(json.loads(redacted)["a"]) == {"b": 'say "hi" to\n[email]'}
    assert counts == {"email": 1}


@pytest.mark.parametrize(
    "text", ['{"to": "jane@example.com"', "[jane@example.com]", '"jane@example.com', "{+4930901820}"]
)
def test_what_only_looks_like_json_is_text(text: str) -> None:
    assert sum(AT_HOME.find(text).values()) == 1


def test_an_operators_pattern_cannot_break_a_messages_role() -> None:
    redactor = Redactor([], {"word": r"[a-z]+"})
    value = {"role": "user", "type": "input_text", "content": "abc"}
    assert redactor.value(value)[0] == {"role": "user", "type": "input_text", "content": "[word]"}


def test_words_behind_a_data_url_do_not_hide_in_it() -> None:
    assert AT_HOME.text("data:image/png;base64,AAAA jane@example.com")[1] == {"email": 1}


def test_a_value_nested_too_deeply_is_refused() -> None:
    value: Any = "jane@example.com"
    for _ in range(100):
        value = [value]
    with pytest.raises(ValueError, match="nested deeper than 64 levels"):
        AT_HOME.value(value)


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ({"staff": "("}, "the pattern 'staff' is no regular expression: missing"),
        ({"staff": "a{1,99999999999}"}, "the pattern 'staff' is no regular expression: "),
        ({"staff": ""}, "the pattern 'staff' can match the empty string"),
        ({"staff": "a*"}, "the pattern 'staff' can match the empty string"),
        ({"staff": "a|"}, "the pattern 'staff' can match the empty string"),
        ({"staff": r"\b"}, "the pattern 'staff' can match the empty string"),
        ({"staff": "(?=abc)"}, "the pattern 'staff' can match the empty string"),
        ({"a]b": "x"}, "'a]b' cannot name a pattern"),
        ({"": "x"}, "'' cannot name a pattern"),
        ({"email": "x"}, "'email' cannot name a pattern"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused_by_name(patterns: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Redactor([], patterns)


def test_an_unknown_word_or_region_is_refused() -> None:
    with pytest.raises(ValueError, match="'iban' is nothing that can be redacted"):
        Redactor(["iban"], {})  # type: ignore[list-item]
    with pytest.raises(ValueError, match="'XX' is no region"):
        Redactor(["phone"], {}, ["XX"])


def test_patterns_see_pieces_that_end_at_white_space() -> None:
    line = "I am C-123456 and so on\n"
    text = line * (5 * LONGEST_PIECE // len(line))
    assert AT_HOME.text(text) == (text.replace("C-123456", "[customer]"), {"customer": text.count("C-")})
    customers = Redactor([], {"customer": r"C-\d{4}"})
    for shift in range(len(line)):
        words = "x" * shift + text[: 2 * LONGEST_PIECE].replace("\n", " ")
        assert customers.find(words) == {"customer": words.count("C-1234")}
    whole = Redactor([], {"all": "(?s).+"})
    assert whole.text("x" * (2 * LONGEST_PIECE + 1)) == ("[all]" * 3, {"all": 3})


@pytest.mark.rig
def test_of_more_digits_than_anybody_needs_rather_too_much_goes_than_too_little() -> None:
    number = "212-736-5000, "
    redacted, counts = AT_HOME.text(number * 1_500 + "9" * 30_000)
    assert redacted == "[phone], " * 1_500 + "9" * 30_000
    assert counts == {"phone": 1_500}
    assert not any(digit in AT_HOME.text("123 456 " * 4_000)[0][17_000:] for digit in "123456")


@pytest.mark.rig
@pytest.mark.parametrize("redactor", [EVERYWHERE, AT_HOME], ids=["no region", "US and DE"])
@pytest.mark.parametrize(
    "unit",
    [
        "1",
        "a@",
        "a.",
        "@a.",
        "a@a.",
        "+",
        "(",
        "1,",
        '"',
        "DE89 3704 ",
        "[1, ",
        "12-",
        "'",
        "data:",
        "\\",
        "4111 ",
        "4111,  ",
        "%40",
        "%",
        "&#",
        "\u200b",
        "a\u200b@",
        "{a",
        "{a}@",
        "a@[1",
        "+1\n",
        "a!",
        "\\u00",
        "1e",
        "+ ",
    ],
)
def test_a_long_text_made_against_the_patterns_ends(unit: str, redactor: Redactor) -> None:
    text = unit * (300 * 1024 // len(unit))
    assert redactor.text(text)[0]


PLANTED = st.sampled_from([
    "jane@example.com", "+49 30 901820", "4111 1111 1111 1111", "212-736-5000", "C-123456", "[email]", "[card]", "@",
    "{", '"', "[", "}", ", ", " ", "\n", "4", "1234", "order ",
    "\u200b", "%40", "+49 171", "{a}@b.de", "4111,1111\n", "!", "DE89 3704 0044 0532 0130 00", "\\", ":", "+", ".",
])  # fmt: skip
TEXTS = st.lists(PLANTED | st.text(max_size=5), max_size=12).map("".join)


@given(TEXTS)
def test_redacting_twice_changes_nothing_more_and_adds_no_digit(text: str) -> None:
    once, counts = AT_HOME.text(text)
    assert AT_HOME.text(once) == (once, {})
    assert sum(map(str.isdigit, once)) <= sum(map(str.isdigit, text))
    assert (once == text) == (not counts)


@given(TEXTS, TEXTS)
def test_a_planted_address_never_stays(before: str, after: str) -> None:
    assert "jane.roe@example.com" not in AT_HOME.text(f"{before} jane.roe@example.com {after}")[0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
)


@given(JSON)
def test_a_value_and_its_json_as_a_text_keep_their_keys(value: Any) -> None:
    def keys(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: keys(item) for key, item in value.items()}
        return [keys(item) for item in value] if isinstance(value, list) else None

    assert keys(AT_HOME.value(value)[0]) == keys(value)
    arguments = json.dumps([value])
    assert keys(json.loads(AT_HOME.text(arguments)[0])) == keys([value])
