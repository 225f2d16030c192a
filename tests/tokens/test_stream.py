"""Text as it comes, where the tokenizers library decodes: its text of all ids, in little time."""

from __future__ import annotations

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders

from pellucid.tokens.stream import TextDecoder

WORDS = ["[UNK]", "un", "##able", "fox", ",", "'", "s", "n't", "a</w>", "▁b", "Ġc", "|", "."]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
PIECES = {piece: i for i, piece in enumerate([*WORDS, *BYTES])}
DECODERS = {
    "words": None,
    "WordPiece": decoders.WordPiece(),
    "BPE": decoders.BPEDecoder(),
    "CTC": decoders.CTC(pad_token="[UNK]", word_delimiter_token="|"),
    "Metaspace": decoders.Metaspace(),
    "bytes": decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()]),
    "bytes, no first space": decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1),
        ]
    ),
}


class Library:
    """A tokenizer of the library, which counts the ids that it decodes."""

    def __init__(self, decoder: str) -> None:
        self.library = tokenizers.Tokenizer(tokenizers.models.WordLevel(PIECES, unk_token="[UNK]"))
        if DECODERS[decoder]:
            self.library.decoder = DECODERS[decoder]
        self.decoded = 0

    def decode(self, ids: list[int], *, skip_special_tokens: bool = False) -> str:
        self.decoded += len(ids)
        return str(self.library.decode(ids, skip_special_tokens=skip_special_tokens))


def streamed(source: Library, ids: list[int]) -> list[str]:
    decoder = TextDecoder(source, skip_special_tokens=False)
    return [*map(decoder.push, ids), decoder.flush()]


@pytest.mark.parametrize("decoder", DECODERS)
@settings(max_examples=50, deadline=None)
@given(ids=st.lists(st.integers(0, len(WORDS) - 1), min_size=40, max_size=120))
def test_pieces_are_the_text_that_the_library_makes_of_all_ids(
    decoder: str, ids: list[int]
) -> None:
    source = Library(decoder)
    assert "".join(streamed(source, ids)) == source.library.decode(ids, skip_special_tokens=False)


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=60))
def test_a_character_of_several_bytes_comes_whole(text: str) -> None:
    pieces = streamed(Library("bytes"), [len(WORDS) + byte for byte in text.encode()])
    assert "".join(pieces) == text
    assert [piece for piece in pieces if piece] == list(text)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("count", [1, 3, 16, 17, 18, 40])
def test_a_word_after_what_never_became_a_character_is_no_first_word(
    decoder: str, count: int
) -> None:
    source = Library(decoder)
    ids = [1, 2, *[len(WORDS) + 0x80] * count, 9, 2, 1, 9]
    assert "".join(streamed(source, ids)) == source.library.decode(ids, skip_special_tokens=False)


ENDLESS = {
    "words": [1, 3, 2, 4] * 500,
    "bytes that no character has": [len(WORDS) + 0xFF] * 2000,
    "characters that never begin": [len(WORDS) + 0x80] * 2000,
    "characters that never end": [len(WORDS) + 0xF0, len(WORDS) + 0x9F] * 1000,
}


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("ids", ENDLESS.values(), ids=ENDLESS)
def test_each_token_takes_as_long_as_the_last_however_long_the_answer(
    decoder: str, ids: list[int]
) -> None:
    source = Library(decoder)
    pieces = streamed(source, ids)
    assert source.decoded < 50 * len(ids)
    assert any(pieces[:-1])  # nor is all held back to the end


def test_a_fork_goes_on_by_itself() -> None:
    decoder = TextDecoder(Library("WordPiece"), skip_special_tokens=False)
    assert [decoder.push(1), decoder.fork().push(3), decoder.push(2)] == ["un", " fox", "able"]
