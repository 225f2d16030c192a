"""What was considered on the way to an answer, as one tree: a search's own, or the ledgers'."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pellucid.choose.ledger import Ledger
from pellucid.choose.tree import Tree
from pellucid.engine.generation import Generation

SAID, NOT_TAKEN, REMOVED = "said", "not taken", "removed"


@dataclass(frozen=True)
class Considered:
    """A token that was considered after that of its `parent`; node 0 is the prompt's end.

    `logprob` is the token's in the model's own distribution. `score` is what a search ranked the
    branch by; where nothing was searched `processed_logprob` is the token's after all filters, None
    of one that a filter removed. `fate` is what became of it: of a search "said",
    "finished", "pruned", "forbidden", "rejected", or None where it only led to others; where one
    token is chosen after the other "said", "not taken", or "removed" by the filter `removed_by`.
    """

    parent: int | None
    token: int | None
    logprob: float
    score: float | None = None
    processed_logprob: float | None = None
    fate: str | None = None
    removed_by: str | None = None


_END_OF_PROMPT = Considered(None, None, 0.0)


def considered(generation: Generation) -> list[Considered]:
    """All nodes, each after its parent."""
    if generation.tree is not None:
        return _of_search(generation.tree)
    return _of_ledgers([generation, *generation.alternatives])


def _of_search(tree: Tree) -> list[Considered]:
    nodes = [
        Considered(node.parent, node.token, node.logprob, node.score, fate=node.fate)
        for node in tree.nodes[1:]
    ]
    return [_END_OF_PROMPT, *nodes]


def _of_ledgers(answers: Sequence[Generation]) -> list[Considered]:
    """The chosen ways, and at each token the candidates that were not chosen."""
    nodes = [_END_OF_PROMPT]
    places: dict[tuple[int, int | None], int] = {}  # by parent and token
    for answer in answers:
        here = 0
        for token in answer.tokens:
            own = Considered(
                here, token.id, token.logprob, processed_logprob=token.processed_logprob
            )
            for one in (own, *(_candidates(token.ledger, here) if token.ledger else ())):
                if (here, one.token) not in places:
                    places[here, one.token] = len(nodes)
                    nodes.append(one)
            here = places[here, token.id]
            after = token.processed_logprob  # another answer's filters may have removed it
            nodes[here] = replace(nodes[here], processed_logprob=after, fate=SAID, removed_by=None)
    return nodes


def _candidates(ledger: Ledger, parent: int) -> Iterator[Considered]:
    """Those that a ledger followed."""
    own, last = ledger.entries[0], ledger.entries[-1]
    for place, removed_by in enumerate(ledger.removed_by):
        logprob, processed = (float(entry.scores[place]) - entry.logsumexp for entry in (own, last))
        yield Considered(
            parent,
            int(ledger.ids[place]),
            logprob,
            processed_logprob=None if removed_by else processed,
            fate=REMOVED if removed_by else NOT_TAKEN,
            removed_by=removed_by,
        )
