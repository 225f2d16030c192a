"""Which licences are told, and where a model card states its own."""

import pytest

from pellucid.weights.licences import card_licence, is_open


@pytest.mark.parametrize("licence", ["Apache-2.0", "apache-2.0", "MIT", "cc0-1.0", " bsd-3-clause"])
def test_a_plain_open_licence_needs_no_word(licence):
    assert is_open(licence)


@pytest.mark.parametrize(
    "licence", ["gemma", "llama3.2", "cc-by-nc-4.0", "other", "", None, "MITx"]
)
def test_any_other_licence_is_told(licence):
    assert not is_open(licence)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n# M", "apache-2.0"),
        ("---\r\nlicense: 'mit'\r\n---\r\n", "mit"),
        ("---\nlicense: other\nlicense_name: odd-terms\nlicense_link: x\n---", "odd-terms"),
        ("---\ntags:\n- license: no\n---", None),
        ("# no front matter\nlicense: mit\n", None),
        ("---\nlicense: mit", None),
        ("", None),
    ],
)
def test_a_model_card_states_its_licence_in_its_front_matter(tmp_path, card, licence):
    (tmp_path / "README.md").write_bytes(card.encode())
    assert card_licence(tmp_path) == licence


def test_no_card_states_nothing(tmp_path):
    assert card_licence(tmp_path) is None
    (tmp_path / "README.md").write_bytes(b"\xff\xfe---\nlicense: mit\n---")
    assert card_licence(tmp_path) is None
