"""An answer as JSON and flat arrays, and back: its tokens, their ledgers, the tree of a search.

Every number goes into an array, so that it comes back as it was, to the last bit. A number that
may be missing is NaN where it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import get_args

import msgspec
import numpy as np

from pellucid.choose.ledger import Draft, Ledger, Step
from pellucid.choose.tree import Fate, Node, Tree
from pellucid.engine.generation import FinishReason, GeneratedToken, Generation
from pellucid.trace.columns import Array, numbers, whole, within
from pellucid.trace.form import CERTAIN

Arrays = dict[str, Array]

_FATES: tuple[Fate | None, ...] = (None, *get_args(Fate))
_NONE = math.nan
_DRAFT = [field.name for field in fields(Draft)]


class LedgerWords(msgspec.Struct, forbid_unknown_fields=True):
    """What of a ledger is no number."""

    filters: list[str]
    drafted: bool
    by_hand: bool


class AnswerWords(msgspec.Struct, forbid_unknown_fields=True):
    """What of an answer is no number; a text and a ledger for each token."""

    text: str
    finish_reason: FinishReason
    seed: int | None
    drafted: int | None
    accepted: int | None
    texts: list[str]
    ledgers: list[LedgerWords | None]


class Words(msgspec.Struct, forbid_unknown_fields=True):
    """What JSON says of an answer and its alternatives, checked field by field."""

    answers: list[AnswerWords]
    tree: bool


def packed(generation: Generation) -> tuple[Words, Arrays]:
    """What JSON says of an answer and its alternatives, and their numbers by name."""
    answers = [generation, *generation.alternatives]
    arrays: Arrays = {"scores": _column(answer.score for answer in answers)}
    said = []
    for number, answer in enumerate(answers):
        words, columns = _answer(answer)
        said.append(words)
        arrays |= {f"{number}.{name}": array for name, array in columns.items()}
    if generation.tree is not None:
        arrays |= {f"tree.{name}": array for name, array in _tree(generation.tree).items()}
    return Words(said, generation.tree is not None), arrays


def unpacked(said: Words, arrays: Mapping[str, Array], prompt_ids: tuple[int, ...]) -> Generation:
    """The answer again. Raises what `file` takes for damage."""
    scores = numbers(arrays, "scores")
    answers = [
        _read_answer(words, within(arrays, f"{number}."), prompt_ids, _value(score))
        for number, (words, score) in enumerate(zip(said.answers, scores, strict=True))
    ]
    tree = _read_tree(within(arrays, "tree.")) if said.tree else None
    first = vars(answers[0]) | {"alternatives": tuple(answers[1:]), "tree": tree}
    return Generation(**first)


def _answer(answer: Generation) -> tuple[AnswerWords, Arrays]:
    tokens = answer.tokens
    words = AnswerWords(
        text=answer.text,
        finish_reason=answer.finish_reason,
        seed=answer.seed,
        drafted=answer.drafted,
        accepted=answer.accepted,
        texts=[token.text for token in tokens],
        ledgers=[_words(token.ledger) if token.ledger else None for token in tokens],
    )
    columns: Arrays = {
        "ids": _whole(answer.ids),
        "token_ids": _whole(token.id for token in tokens),
        "ranks": _whole(token.rank for token in tokens),
        "probs": _column(token.prob for token in tokens),
        "processed_probs": _column(token.processed_prob for token in tokens),
    }
    ledgers = [token.ledger for token in tokens if token.ledger]
    return words, columns | {f"ledger.{name}": array for name, array in _ledgers(ledgers).items()}


@dataclass(frozen=True)
class _Record:
    """What a ledger is made of, read."""

    ids: Array
    below: float | None
    steps: list[Step]

    def entries(self) -> list[Step]:
        return self.steps


def _words(ledger: Ledger) -> LedgerWords:
    return LedgerWords(
        [entry.name for entry in ledger.entries], ledger.draft is not None, ledger.by_hand
    )


def _ledgers(ledgers: Sequence[Ledger]) -> Arrays:
    """The numbers of ledgers, one after the other: `[ledgers]`, `[entries]`, `[followed]`."""
    entries = [entry for ledger in ledgers for entry in ledger.entries]
    drafts = [[getattr(one.draft, name) for name in _DRAFT] for one in ledgers if one.draft]
    return {
        "followed": _whole(len(ledger.ids) for ledger in ledgers),
        "ids": _joined([ledger.ids for ledger in ledgers], np.int64),
        "tokens": _whole(ledger.token for ledger in ledgers),
        "uniforms": _column(ledger.uniform for ledger in ledgers),
        "below": _column(ledger.landed and ledger.landed[0] for ledger in ledgers),
        "drafts": np.array([[_float(v) for v in draft] for draft in drafts], np.float64),
        "scores": _joined([entry.scores for entry in entries], np.float32),
        "ranks": _joined([entry.ranks for entry in entries], np.int64),
        "logsumexp": _column(entry.logsumexp for entry in entries),
        "left": _whole(entry.left for entry in entries),
        "removed": _column(entry.removed for entry in entries),
    }


def _read_answer(
    words: AnswerWords,
    columns: Mapping[str, Array],
    prompt_ids: tuple[int, ...],
    score: float | None,
) -> Generation:
    ledgers = _read_ledgers(words.ledgers, within(columns, "ledger."))
    probs = (numbers(columns, name) for name in ("probs", "processed_probs"))
    ids, ranks = whole(columns, "token_ids"), whole(columns, "ranks")
    told = (words.texts, ledgers, ids, ranks, *probs)
    tokens = tuple(
        GeneratedToken(int(i), text, float(prob), int(rank), float(processed), ledger)
        for text, ledger, i, rank, prob, processed in zip(*told, strict=True)
    )
    _check_shares(*(share for token in tokens for share in (token.prob, token.processed_prob)))
    names = ("text", "finish_reason", "seed", "drafted", "accepted")
    return Generation(
        ids=tuple(whole(columns, "ids").tolist()),
        prompt_ids=prompt_ids,
        tokens=tokens,
        score=score,
        **{name: getattr(words, name) for name in names},
    )


def _read_ledgers(
    said: Sequence[LedgerWords | None], columns: Mapping[str, Array]
) -> Iterator[Ledger | None]:
    followed, ids = whole(columns, "followed"), whole(columns, "ids")
    if (followed < 1).any() or followed.sum() != len(ids):
        raise ValueError("the candidates of ledgers are not as many as were followed")
    entries, rows, drafts, number = 0, 0, 0, 0
    ends = np.cumsum(followed).tolist()
    for words in said:
        if words is None:
            yield None
            continue
        count, end = int(followed[number]), ends[number]
        steps = []
        for name in words.filters:
            steps.append(_read_entry(name, columns, entries, slice(rows, rows + count)))
            entries, rows = entries + 1, rows + count
        below = _value(numbers(columns, "below")[number])
        ledger = Ledger(
            _Record(ids[end - count : end], below, steps),
            int(whole(columns, "tokens")[number]),
            _value(numbers(columns, "uniforms")[number]),
            _read_draft(columns["drafts"][drafts]) if words.drafted else None,
            words.by_hand,
        )
        _check(ledger)
        yield ledger
        drafts += words.drafted
        number += 1


def _check(ledger: Ledger) -> None:
    """Raises ValueError for a ledger that does not tell what it is there for."""
    if not ledger.entries or np.count_nonzero(ledger.ids == ledger.token) != 1:
        raise ValueError("a ledger does not follow its token")
    below = ledger.record.below
    if ledger.uniform is not None and below is None:
        raise ValueError("a ledger has a draw, and not where it fell")
    places = [place for place in (ledger.uniform, below) if place is not None]
    _check_shares(*places, *(entry.removed for entry in ledger.entries))
    for entry in ledger.entries:
        if not (entry.scores - entry.logsumexp <= CERTAIN).all():
            raise ValueError(f"a ledger has candidates that are more than certain, {entry.name!r}")


def _check_shares(*shares: float) -> None:
    """Raises ValueError for what is no probability."""
    if odd := [share for share in shares if not 0 <= share <= 1 + CERTAIN]:
        raise ValueError(f"{odd[0]} is no probability")


def _read_entry(name: str, columns: Mapping[str, Array], number: int, rows: slice) -> Step:
    scores, ranks = numbers(columns, "scores")[rows], whole(columns, "ranks")[rows]
    if not len(scores) == len(ranks) == rows.stop - rows.start:
        raise ValueError(f"step {number} of the ledgers has scores or ranks missing")
    return (
        name,
        scores,
        ranks,
        float(numbers(columns, "logsumexp")[number]),
        int(whole(columns, "left")[number]),
        float(numbers(columns, "removed")[number]),
    )


def _read_draft(row: Array) -> Draft:
    token, prob, verified, accepted, uniform = row
    return Draft(int(token), float(prob), float(verified), bool(accepted), _value(uniform))


def _tree(tree: Tree) -> Arrays:
    nodes = tree.nodes
    return {
        "parents": _whole(node.parent for node in nodes),
        "tokens": _whole(node.token for node in nodes),
        "logprobs": _column(node.logprob for node in nodes),
        "scores": _column(node.score for node in nodes),
        "fates": _whole(_FATES.index(node.fate) for node in nodes),
    }


def _read_tree(columns: Mapping[str, Array]) -> Tree:
    told = (
        *(whole(columns, name).tolist() for name in ("parents", "tokens")),
        *(numbers(columns, name).tolist() for name in ("logprobs", "scores")),
        whole(columns, "fates").tolist(),
    )
    rows = zip(*told, strict=True)
    nodes = [Node(p, t, logprob, score, _fate(f)) for p, t, logprob, score, f in rows]
    if not nodes or nodes[0].parent != -1:
        raise ValueError("the tree has no root")
    if not all(node.logprob <= CERTAIN for node in nodes):
        raise ValueError("a node of the tree is more than certain")
    if any(not 0 <= node.parent < place for place, node in enumerate(nodes) if place):
        raise ValueError("a node of the tree comes before its parent")
    return Tree(nodes)


def _fate(number: int) -> Fate | None:
    if not 0 <= number < len(_FATES):
        raise ValueError(f"there is no fate {number}")
    return _FATES[number]


def _whole(values: Iterable[int]) -> Array:
    return np.fromiter(values, np.int64)


def _column(values: Iterable[float | None]) -> Array:
    return np.fromiter(map(_float, values), np.float64)


def _float(value: float | None) -> float:
    return _NONE if value is None else float(value)


def _value(number: float) -> float | None:
    return None if math.isnan(number) else float(number)


def _joined(arrays: Sequence[Array], dtype: type) -> Array:
    return np.concatenate(arrays).astype(dtype, copy=False) if arrays else np.empty(0, dtype)
