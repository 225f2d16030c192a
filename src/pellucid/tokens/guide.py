"""A vocabulary as llguidance wants it: the bytes of every token, gathered in a trie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pellucid.errors import TextError

if TYPE_CHECKING:
    import llguidance


class Spelled(Protocol):
    """What a guide asks of a tokenizer."""

    @property
    def vocab_size(self) -> int:
        """One more than the highest id."""

    def token_bytes(self, token_id: int) -> bytes:
        """What a token stands for; TextError for an id that no token has."""

    def is_special(self, token_id: int) -> bool:
        """Whether a token steers the model instead of standing for text."""


class Guide:
    """The tokens of a vocabulary, `pieces`, and their trie.

    Which tokens end an answer is not its affair: a request may name more of them than the model.
    Making one takes 0.2 s of processor time for 49,152 tokens and 1.5 s for 262,144. Half of that
    is for llguidance's slices, what most strings allow, worked out once: where each place has a
    mask of its own, as in a string with maxLength, masks take 0.16 ms instead of 2.4 ms with them.
    """

    def __init__(self, tokenizer: Spelled) -> None:
        self.pieces = [_bytes(tokenizer, token) for token in range(tokenizer.vocab_size)]
        special = [i for i in range(tokenizer.vocab_size) if tokenizer.is_special(i)]
        self.trie = _trie(self.pieces, special)

    def fewest(self, text: str, most: int) -> int | None:
        """With how few tokens a text can be spelled; None where `most` are not enough."""
        known = frozenset(self.pieces) - {b""}
        longest = max(map(len, known))
        data = text.encode()
        reached = {0}
        for count in range(most + 1):
            if len(data) in reached:
                return count
            reached = {
                end
                for start in reached
                for end in range(start + 1, min(start + longest, len(data)) + 1)
                if data[start:end] in known
            }
        return None


class _Words:
    """What llguidance reads a vocabulary from."""

    eos_token_id = None  # it then adds a token of its own, beyond ours
    bos_token_id = None

    def __init__(self, pieces: list[bytes], special: list[int]) -> None:
        self.tokens = pieces
        self.special_token_ids = special

    def __call__(self, _text: bytes) -> list[int]:
        """The tokens of a text; it is never asked for these, as our grammars force none."""
        return []


def _trie(pieces: list[bytes], special: list[int]) -> llguidance.LLTokenizer:
    import llguidance  # noqa: PLC0415  # lazy: few answers are constrained

    return llguidance.LLTokenizer(llguidance.TokenizerWrapper(_Words(pieces, special)))


def _bytes(tokenizer: Spelled, token: int) -> bytes:
    try:
        return tokenizer.token_bytes(token)
    except TextError:  # ids may have gaps
        return b""
