"""An answer as JSON and flat arrays, and back: its tokens, their ledgers, the tree of a search.

Every number goes into an array, so that it comes back as it was, to the last bit. A number that
may be missing is NaN where it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from pellucid.choose.ledger import Draft, Entry, Ledger
from pellucid.choose.tree import Fate, Node, Tree
from pellucid.engine.generation import GeneratedToken, Generation

Array = npt.NDArray[Any]
Arrays = dict[str, Array]

_FATES: tuple[str | None, ...] = (None, *get_args(Fate))
_NONE = math.nan
_DRAFT = [field.name for field in fields(Draft)]


def packed(generation: Generation) -> tuple[dict[str, Any], Arrays]:
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
    return {"answers": said, "tree": generation.tree is not None}, arrays


def unpacked(
    said: Mapping[str, Any], arrays: Mapping[str, Array], prompt_ids: tuple[int, ...]
) -> Generation:
    """The answer again. Raises KeyError, TypeError, ValueError or IndexError for what is none."""
    answers = [
        _read_answer(words, _named(arrays, f"{number}."), prompt_ids, _value(score))
        for number, (words, score) in enumerate(zip(said["answers"], arrays["scores"], strict=True))
    ]
    tree = _read_tree(_named(arrays, "tree.")) if said["tree"] else None
    first = vars(answers[0]) | {"alternatives": tuple(answers[1:]), "tree": tree}
    return Generation(**first)


def _answer(answer: Generation) -> tuple[dict[str, Any], Arrays]:
    tokens = answer.tokens
    words = {
        "text": answer.text,
        "finish_reason": answer.finish_reason,
        "seed": answer.seed,
        "drafted": answer.drafted,
        "accepted": answer.accepted,
        "texts": [token.text for token in tokens],
        "ledgers": [token.ledger and _words(token.ledger) for token in tokens],
    }
    columns: Arrays = {
        "ids": _whole(answer.ids),
        "token_ids": _whole(token.id for token in tokens),
        "ranks": _whole(token.rank for token in tokens),
        "probs": _column(token.prob for token in tokens),
        "processed_probs": _column(token.processed_prob for token in tokens),
    }
    ledgers = [token.ledger for token in tokens if token.ledger]
    return words, columns | {f"ledger.{name}": array for name, array in _ledgers(ledgers).items()}


def _words(ledger: Ledger) -> dict[str, Any]:
    """What of a ledger is no number."""
    return {
        "filters": [entry.name for entry in ledger.entries],
        "drafted": ledger.draft is not None,
        "by_hand": ledger.by_hand,
    }


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
    words: Mapping[str, Any],
    columns: Mapping[str, Array],
    prompt_ids: tuple[int, ...],
    score: float | None,
) -> Generation:
    ledgers = _read_ledgers(words["ledgers"], _named(columns, "ledger."))
    told = (words["texts"], ledgers, *(columns[name] for name in _COLUMNS))
    tokens = tuple(
        GeneratedToken(int(i), text, float(prob), int(rank), float(processed), ledger)
        for text, ledger, i, rank, prob, processed in zip(*told, strict=True)
    )
    names = ("text", "finish_reason", "seed", "drafted", "accepted")
    return Generation(
        ids=tuple(columns["ids"].tolist()),
        prompt_ids=prompt_ids,
        tokens=tokens,
        score=score,
        **{name: words[name] for name in names},
    )


_COLUMNS = ("token_ids", "ranks", "probs", "processed_probs")


def _read_ledgers(
    said: Sequence[Mapping[str, Any] | None], columns: Mapping[str, Array]
) -> Iterator[Ledger | None]:
    entries, rows, drafts, number = 0, 0, 0, 0
    starts = np.concatenate([[0], np.cumsum(columns["followed"])])
    for words in said:
        if words is None:
            yield None
            continue
        followed = int(columns["followed"][number])
        steps = []
        for name in words["filters"]:
            steps.append(_read_entry(name, columns, entries, slice(rows, rows + followed)))
            entries, rows = entries + 1, rows + followed
        yield Ledger(
            columns["ids"][starts[number] : starts[number] + followed],
            tuple(steps),
            int(columns["tokens"][number]),
            _value(columns["uniforms"][number]),
            _value(columns["below"][number]),
            _read_draft(columns["drafts"][drafts]) if words["drafted"] else None,
            words["by_hand"],
        )
        drafts += words["drafted"]
        number += 1


def _read_entry(name: str, columns: Mapping[str, Array], number: int, rows: slice) -> Entry:
    return Entry(
        name,
        columns["scores"][rows],
        columns["ranks"][rows],
        float(columns["logsumexp"][number]),
        int(columns["left"][number]),
        float(columns["removed"][number]),
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
    names = ("parents", "tokens", "logprobs", "scores", "fates")
    rows = zip(*(columns[name].tolist() for name in names), strict=True)
    nodes = [Node(p, t, logprob, score, _FATES[fate]) for p, t, logprob, score, fate in rows]
    if any(not -1 <= node.parent < place for place, node in enumerate(nodes)):
        raise ValueError("a node of the tree comes before its parent")
    return Tree(nodes)


def _named(arrays: Mapping[str, Array], prefix: str) -> Arrays:
    """Those whose name begins so, by the rest of it."""
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


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
