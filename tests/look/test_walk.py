"""The view of an answer by hand: what is so far, what may come next, and how tokens are named."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from pellucid.engine.engine import Engine
from pellucid.engine.stepper import Stepper
from pellucid.errors import ParameterError, TextError
from pellucid.look.lexicon import Lexicon
from pellucid.look.view import plain
from pellucid.look.walk import Walk
from pellucid.model.cache import Cache
from pellucid.model.run import Run

PIECES = [b"<end>", b"a", b" b", b"\xc3", b"\xa9", b"<b>\x1b[2J", b"ab"]
LOGITS = np.log(np.array([0.02, 0.5, 0.2, 0.1, 0.08, 0.06, 0.04], np.float32))


class Sizes:
    context_length = 32
    vocab_size = len(PIECES)
    layers = 1
    tied_embeddings = False


class SameModel:
    """Says the same after everything."""

    config = Sizes()

    def new_cache(self) -> Cache:
        return Cache(1, 1, 1, np.zeros)

    def forward(self, run: Run) -> Any:
        for segment in run.segments:
            assert segment.cache
            rows = np.zeros((len(segment.ids), 1, 1))
            segment.cache.write(0, rows, rows)
            segment.cache.advance(len(segment.ids))
        return np.stack([LOGITS] * len(run.segments))

    def unembed(self, rows: Any) -> Any:
        raise NotImplementedError

    def early_exit(self, layers: int) -> Any:
        raise NotImplementedError


class Tokens:
    """Puts a space before each text, as Llama 2's tokenizer does; its last id is a gap."""

    vocab_size = len(PIECES) + 1

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        data = f" {text}".encode()
        return [PIECES.index(data)] if data in PIECES else [PIECES.index(b"a")] * len(text)

    def token_bytes(self, token_id: int) -> bytes:
        if token_id >= len(PIECES):
            raise TextError(f"no token has the id {token_id}")
        return PIECES[token_id]


def walk(**given: Any) -> Walk:
    return Walk(Stepper(Engine(SameModel()), [1], **given), Lexicon(Tokens()), top=3)


def test_the_json_is_the_contract() -> None:
    data = json.loads(json.dumps(walk(top_k=2, seed=1).pick(3).to_dict()))
    assert (data["ids"], data["prompt_ids"], data["seed"]) == ([3], [1], 1)
    assert data["finish_reason"] is None
    [token] = data["tokens"]
    assert (token["id"], token["rank"]) == (3, 3)
    first, _, third = data["candidates"]
    assert first["prob"] == pytest.approx(0.5)
    assert first["processed_prob"] == pytest.approx(5 / 7)
    assert third == {"id": 3, "text": "\N{REPLACEMENT CHARACTER}", "prob": pytest.approx(0.1),
                     "rank": 3, "processed_prob": 0.0, "removed_by": "top_k"}  # fmt: skip


def test_the_table_has_both_probabilities_where_there_are_filters(page: Any) -> None:
    own = plain(walk().terminal(), 80).splitlines()
    assert own[2].split() == ["#", "id", "token", "probability"]
    assert own[3].split() == ["1", "1", "a", "50.00", "%", "█" * 12]
    filtered = walk(top_k=2, seed=1)
    lines = plain(filtered.terminal(), 80).splitlines()
    assert lines[3].split() == ["1", "1", "a", "50.00", "%", "71.43", "%", "█" * 17 + "▏"]
    assert lines[5].split() == ["3", "3", r"\xc3", "10.00", "%", "top_k"]
    assert lines[7] == "All others have 20.00 %, after the filters 0.00 %."
    [table] = page(filtered.html()).tables
    assert table[1][:5] == ["1", "1", "a", "50.00 %", "71.43 %"]
    assert page(filtered.html()).paragraphs[-1] == lines[7]


def test_what_a_filter_raises_joins_the_table() -> None:
    raised = walk(logit_bias={5: 9.0})
    assert [option.id for option in raised.candidates(2)] == [1, 2, 5]


def test_an_answer_that_is_over_says_so_and_lists_nothing(page: Any) -> None:
    over = walk(max_new_tokens=1).sample()
    assert over.candidates() == []
    assert plain(over.terminal(), 80).splitlines()[-1] == "The answer is over: length."
    assert page(over.html()).paragraphs[-1] == "The answer is over: length."


def test_nothing_that_a_token_holds_reaches_the_terminal(is_harmless: Any) -> None:
    seen = walk().pick(5)
    assert is_harmless(plain(seen.terminal(), 80))
    assert "<b>" not in seen.html()


def test_a_text_of_one_token_is_it_even_where_the_tokenizer_adds_a_space() -> None:
    lexicon = Lexicon(Tokens())
    assert lexicon.ids("a") == [1]
    assert lexicon.ids("ab") == [6]
    assert lexicon.ids(5) == [5]


def test_a_text_of_several_tokens_is_taken_as_these_or_not_at_all() -> None:
    assert walk().pick("aa").ids == (1, 1)
    bound = walk(max_new_tokens=3).pick(2).pick(2)
    with pytest.raises(ParameterError, match="the answer has ended"):
        bound.pick("aa")
    assert bound.ids == (2, 2)


@pytest.mark.parametrize("text", ["", "zz", "\ud800", None, 1.5, True])
def test_what_names_no_token_is_refused(text: Any) -> None:
    with pytest.raises(ParameterError, match="token: "):
        walk().pick(text)


def test_why_is_asked_of_any_token() -> None:
    seen = walk(top_k=2, seed=1).pick(3).sample()
    assert seen.why(0).why.endswith("It was picked by hand, though top_k had removed it.")
    assert "The draw" in seen.why().why
    with pytest.raises(ParameterError, match="at: must be a whole number from -2 to 1"):
        seen.why(2)
    with pytest.raises(ParameterError, match="ledger: 0 keeps nothing"):
        walk(ledger=0).sample().why()


def test_an_id_that_no_token_has_says_nothing() -> None:
    gap = Tokens.vocab_size - 1
    assert Lexicon(Tokens()).bytes_of(gap - 1) == PIECES[-1]
    assert [Lexicon(Tokens()).bytes_of(token) for token in (gap, gap + 1)] == [b"", b""]
