"""Which tokens are wanted and which are not: single ones, phrases, the first and the last."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pellucid.choose.parameters.phrases import Biases, Phrase, PhraseBiases, Phrases
from pellucid.choose.parameters.table import row
from pellucid.choose.parameters.values import Id, Ids, Texts, shown
from pellucid.errors import ParameterError

if TYPE_CHECKING:
    from pellucid.tokens.vocabulary import Vocabulary

_MOST_ALLOWED = 2**20  # more than any vocabulary has


@dataclass(frozen=True, repr=False)
class Tokens:
    """The rows about tokens by name."""

    heading: ClassVar[str] = "Tokens wanted and unwanted"

    bad_words: tuple[str, ...] | None = row(
        Texts(), "never let this text come, with or without a space before it"
    )
    bad_words_ids: tuple[Phrase, ...] | None = row(
        Phrases(), "never complete this sequence of token ids"
    )
    sequence_bias: tuple[tuple[Phrase, float], ...] | None = row(
        PhraseBiases(), "add a number to the logit of the token that completes a sequence of ids"
    )
    logit_bias: tuple[tuple[int, float], ...] | None = row(
        Biases(-100, 100), "add a number to the logit of a token id"
    )
    allowed_token_ids: tuple[int, ...] | None = row(
        Ids(_MOST_ALLOWED),
        "choose from these token ids alone; the answer ends at its length unless one is an end",
    )
    suppress_tokens: tuple[int, ...] | None = row(Ids(), "never choose this token id")
    begin_suppress_tokens: tuple[int, ...] | None = row(
        Ids(), "do not begin the answer with this token id"
    )
    forced_bos_token_id: int | None = row(Id(), "begin the answer with this token id")
    forced_eos_token_id: tuple[int, ...] | None = row(
        Ids(), "let an answer of full length end with this token id"
    )

    def forbidden(
        self, vocabulary: Vocabulary | None, ends: Collection[int]
    ) -> tuple[Phrase, ...] | None:
        """All phrases that must not come: `bad_words` as ids, then `bad_words_ids`.

        Raises ParameterError for words without a tokenizer or that it cannot spell, and for a
        phrase that is an end token alone, which transformers leaves out.
        """
        phrases = list(self.bad_words_ids or ())
        for phrase in phrases:
            if len(phrase) == 1 and phrase[0] in ends:
                reason = f"{phrase[0]} ends the answer; suppress_tokens or min_new_tokens forbid it"
                raise ParameterError("bad_words_ids", reason)
        for text in self.bad_words or ():
            phrases += _spellings(text, vocabulary)
        return tuple(dict.fromkeys(phrases)) or None


def _spellings(text: str, vocabulary: Vocabulary | None) -> list[Phrase]:
    """How a text is spelled at the start of a line, and after a space.

    vLLM leaves out the second where it has another number of tokens; then the text could still
    come there.
    """
    if vocabulary is None:
        raise ParameterError("bad_words", "needs a tokenizer, and this engine has none")
    bare = text.lstrip(" ")
    ids = [vocabulary.encode(form, add_special_tokens=False) for form in (bare, f" {bare}")]
    spellings = [tuple(phrase) for phrase in ids if phrase]
    if not spellings:
        raise ParameterError("bad_words", f"the model has no token for {shown(text)}")
    return spellings
