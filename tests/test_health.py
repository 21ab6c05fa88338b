"""The health of captions, by hand."""

import pytest

from edgecap.health import Health, health, repeats


def test_shares_are_of_all_captions() -> None:
    said = ["A dog runs .", "a dog runs", "a man in a", ""]
    assert health(said) == Health(distinct=75, dangling=50, repeating=0)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a white dog and a white dog", True),
        ("a man and a woman and a child", False),
        ("a very very small dog", True),
        ("a dog in the in the water", True),
        ("two dogs run and two dogs jump", False),
        ("dog", False),
        ("", False),
    ],
)
def test_a_phrase_is_said_once(caption: str, expected: bool) -> None:
    assert repeats(tuple(caption.split())) is expected
