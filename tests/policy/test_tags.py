import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest
from gateway.policy.tags import MOST_TAGS, read_tags

TAKEN = {
    "one tag": ("feature=checkout", {"feature": "checkout"}),
    "tags in the order of their names": ("z=1,a=2", {"a": "2", "z": "1"}),
    "space around names and values is nothing": (
        " feature = checkout ,\tenv=prod",
        {"env": "prod", "feature": "checkout"},
    ),
    "a name's letters are folded, a value's are kept": ("Feature=CheckOut", {"feature": "CheckOut"}),
    "a value may have spaces, addresses and dates": ("by=a b/c:d@e.f-g_1", {"by": "a b/c:d@e.f-g_1"}),
    "eight tags": (",".join(f"t{i}=v" for i in range(8)), {f"t{i}": "v" for i in range(8)}),
    "the longest name and value": (f"{'n' * 32}={'v' * 64}", {"n" * 32: "v" * 64}),
}
REFUSED = {
    "nothing": ("", "no '='"),
    "a word": ("checkout", "no '=' in its tag 1"),
    "a comma at the end": ("a=1,", "no '=' in its tag 2"),
    "no name": ("=checkout", "a name"),
    "no value": ("feature=", "a value"),
    "a value of spaces": ("feature=  ", "a value"),
    "nine tags": (",".join(f"t{i}=v" for i in range(9)), "9 tags"),
    "a name that is too long": ("n" * 33 + "=v", "a name"),
    "a value that is too long": ("n=" + "v" * 65, "a value"),
    "a name with a space": ("my feature=a", "a name"),
    "a name in another script": ("größe=1", "a name"),
    "a value in another script": ("a=größe", "a value"),
    "a value with a second equals sign": ("a=b=c", "a value"),
    "a value in quotes": ('a="b"', "a value"),
    "a line break within": ("a=b\n", "a value"),
    "one name twice": ("env=a,ENV=b", "tag 2 a second time"),
}


@pytest.mark.parametrize(("header", "tags"), TAKEN.values(), ids=TAKEN.keys())
def test_tags_are_read(header: str, tags: dict[str, str]) -> None:
    read = read_tags(header)
    assert read == tags
    assert list(read) == sorted(read)


@pytest.mark.parametrize(("header", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_tag_is_refused_with_what_is_wrong_and_the_form(header: str, says: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_tags(header)
    assert says in refused.value.message
    assert "x-gateway-tags: feature=checkout,env=prod" in refused.value.message


@given(st.text(max_size=200))
def test_any_header_is_read_or_refused(header: str) -> None:
    try:
        tags = read_tags(header)
    except InvalidRequest:
        return
    assert 1 <= len(tags) <= MOST_TAGS
    assert read_tags(",".join(f"{name}={value}" for name, value in tags.items())) == tags
