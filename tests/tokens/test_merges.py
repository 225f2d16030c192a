"""How words are split, merge by merge: our own plain BPE ends where the library ends."""

from __future__ import annotations

import json

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.errors import TextError, UnsupportedError
from pellucid.tokens import words
from pellucid.tokens.load import load_tokenizer
from pellucid.tokens.merges import merge_steps, merged, rank_in
from pellucid.tokens.words import MAX_WORD


def final(letters: str, merges: list[tuple[str, str]]) -> tuple[str, ...]:
    pieces = tuple(letters)
    for step in merge_steps(letters, rank_in(merges)):
        assert step.pieces == pieces  # each step shows what the one before left
        pieces = merged(step)
    return pieces


def test_the_example_of_the_paper():
    """Sennrich et al. 2016, algorithm 1: the merges learned from low, lower, newest, widest."""
    merges = [("e", "s"), ("es", "t"), ("est", "_"), ("l", "o"), ("lo", "w")]
    assert final("lowest_", merges) == ("low", "est_")
    assert final("newest_", merges) == ("n", "e", "w", "est_")


@pytest.mark.parametrize(
    ("letters", "merges", "pieces"),
    [
        ("", [], ()),
        ("a", [("a", "a")], ("a",)),
        ("aaa", [("a", "a")], ("aa", "a")),  # of equal ranks the leftmost
        ("aaaa", [("a", "a"), ("aa", "aa")], ("aaaa",)),
        ("abc", [("b", "c"), ("a", "b")], ("a", "bc")),  # not the leftmost but the earliest
        ("abcd", [("c", "d"), ("a", "b"), ("ab", "cd")], ("abcd",)),
    ],
)
def test_the_earliest_merge_goes_first(letters, merges, pieces):
    assert final(letters, merges) == pieces


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_list_of_merges_leads_where_the_library_leads(data):
    pieces, merges = list("abc"), []
    for _ in range(data.draw(st.integers(0, 12))):
        pair = data.draw(st.tuples(st.sampled_from(pieces), st.sampled_from(pieces)))
        if "".join(pair) not in pieces:
            pieces.append("".join(pair))
            merges.append(pair)
    model = tokenizers.models.BPE(vocab={p: i for i, p in enumerate(pieces)}, merges=merges)
    word = data.draw(st.text("abc", min_size=1, max_size=30))
    assert final(word, merges) == tuple(t.value for t in model.tokenize(word))


@pytest.mark.parametrize("name", ["smol", "gemma"])
def test_every_word_of_the_corpus_ends_in_the_tokens(name, corpus, request):
    tokenizer = request.getfixturevalue(name)
    for text in corpus.values():
        splits = tokenizer.split(text)
        assert [i for s in splits for i in s.ids] == tokenizer.encode(
            text, add_special_tokens=False
        )
        for split in splits:
            assert text[split.start : split.end] == split.text
            assert not split.steps or len(split.steps[-1].pieces) == len(split.pieces) + 1


def test_a_word_is_shown_from_letters_to_pieces(smol):
    (split,) = smol.split("Preposterous")
    assert split.steps[0].pieces == tuple("Preposterous")
    assert split.pieces == ("Prep", "ost", "erous")
    assert len(split.steps) == len("Preposterous") - 3
    ranks = {step.rank for step in split.steps}
    merges = json.loads(json.dumps(split.to_dict()))["steps"]
    assert {step["rank"] for step in merges} == ranks


def test_part_of_a_character_is_shown_as_its_bytes(smol):
    (split,) = smol.split("🤦")
    assert split.steps[0].pieces == ("\\xf0", "\\x9f", "\\xa4", "\\xa6")
    assert split.pieces == ("\\xf0\\x9f", "\\xa4", "\\xa6")


def test_sentencepiece_text_is_shown_word_by_word(gemma):
    splits = gemma.split("The man walked")
    assert [s.text for s in splits] == ["The", " man", " walked"]
    assert splits[1].steps[0].pieces == (" ", "m", "a", "n")
    assert [step.rank for step in splits[1].steps] == [-s for s in scores(gemma, splits[1])]


def scores(tokenizer, split):
    """The scores of the joined pieces, from the file's own list."""
    for step in split.steps:
        joined = merged(step)[step.at].replace(" ", "▁")
        yield -float(tokenizer.library.id_of(joined) - 494)  # Gemma's are minus the piece's place


def test_special_text_is_shown_as_text(smol):
    splits = smol.split("<|im_end|>")
    assert [p for s in splits for p in s.pieces] == ["<", "|", "im", "_", "end", "|", ">"]


def test_a_user_defined_token_has_no_merges(gemma):
    (split,) = gemma.split("<table>")
    assert (split.pieces, split.steps) == (("<table>",), ())


def test_a_word_longer_than_can_be_shown_is_refused(smol):
    assert smol.split("a" * MAX_WORD)
    with pytest.raises(TextError, match="1001 characters"):
        smol.split("a" * (MAX_WORD + 1))


def test_a_text_with_more_merges_than_can_be_shown_is_refused(smol, monkeypatch):
    splits = smol.split("one flab")  # "one" goes from 3 pieces to 1, " flab" from 5 to 2
    held = (3 + 2 + 1) + (5 + 4 + 3 + 2)
    monkeypatch.setattr(words, "MAX_PIECES", held)
    assert smol.split("one flab") == splits
    monkeypatch.setattr(words, "MAX_PIECES", held - 1)
    with pytest.raises(TextError, match=r"of 8 characters .* beyond 19 pieces at character 3;"):
        smol.split("one flab")


@pytest.mark.parametrize("kind", ["Unigram", "WordPiece"])
def test_tokenizers_without_merges_say_so(kind, directory):
    model = {
        "Unigram": tokenizers.models.Unigram([("<unk>", 0.0), ("a", -1.0)], unk_id=0),
        "WordPiece": tokenizers.models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"),
    }[kind]
    tokenizer = load_tokenizer(
        directory({"tokenizer.json": tokenizers.Tokenizer(model).to_str().encode()})
    )
    assert tokenizer.encode("a") == [1]
    assert not tokenizer.is_bpe
    with pytest.raises(UnsupportedError, match="does not work by merges"):
        tokenizer.split("a")
