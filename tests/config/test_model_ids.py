import pytest

from gateway.config.model_ids import base_of


@pytest.mark.parametrize(
    ("model", "base"),
    [
        pytest.param("ft:gpt-4o-mini-2024-07-18:acme:forum:A1b2", "gpt-4o-mini-2024-07-18", id="a fine-tune"),
        pytest.param("ft:gpt-4o-mini-2024-07-18:acme::A1b2", "gpt-4o-mini-2024-07-18", id="one without a suffix"),
        pytest.param("ft:gpt-4.1:acme:x:A1:ckpt-step-714", "gpt-4.1", id="one of its checkpoints"),
        pytest.param("gpt-4o-mini-2024-07-18", None, id="a base model"),
        pytest.param("ft:gpt-4o", None, id="half an id"),
        pytest.param("ft::acme:x:A1", None, id="an id without a base"),
        pytest.param("ft:gpt-4.1:acme:x:A1:step-7", None, id="an id with an unknown ending"),
    ],
)
def test_base_of(model: str, base: str | None) -> None:
    assert base_of(model) == base
