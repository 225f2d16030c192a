"""The tree of what a strategy considered: every branch, its score, and why it ended."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

Fate = Literal["said", "finished", "pruned", "forbidden", "rejected"]


@dataclass(slots=True)
class Node:
    """A token after its parent's; node 0 is the prompt's end.

    `logprob` is the token's log-probability in the model's own distribution, before any filter;
    `score` is what the strategy ranked the branch by, after all filters. `fate` is why nothing
    follows, or that it was said; None while it grows. A guess is "rejected" by the model that
    checks it; those drafted after it are not recorded.
    """

    parent: int
    token: int
    logprob: float
    score: float
    fate: Fate | None = None


@dataclass
class Tree:
    """Nodes in the order in which they were considered.

    >>> tree = Tree()
    >>> the = tree.grow(0, 11, -0.1, -0.1)
    >>> cat = tree.grow(the, 12, -0.5, -0.6, "pruned")
    >>> tree.path(cat)
    [11, 12]
    """

    nodes: list[Node] = field(default_factory=lambda: [Node(-1, -1, 0.0, 0.0)])

    def grow(
        self, parent: int, token: int, logprob: float, score: float, fate: Fate | None = None
    ) -> int:
        """Add a token after a node; the new node's number."""
        self.nodes.append(Node(parent, token, logprob, score, fate))
        return len(self.nodes) - 1

    def end(self, node: int, fate: Fate) -> None:
        """Say why nothing follows a node."""
        self.nodes[node].fate = fate

    def path(self, node: int) -> list[int]:
        """The tokens from the prompt's end to a node."""
        return [self.nodes[one].token for one in self.way(node)]

    def way(self, node: int) -> list[int]:
        """The nodes from after the prompt's end to this one."""
        nodes = []
        while node > 0:
            nodes.append(node)
            node = self.nodes[node].parent
        return nodes[::-1]


def log(prob: float) -> float:
    """The log-probability; minus infinity of what cannot be.

    >>> log(1.0), log(0.0)
    (0.0, -inf)
    """
    return math.log(prob) if prob > 0 else -math.inf
