"""Who wrote a logit: the embedding, every head, every MLP, summing to it (`direction`).

What a writer adds directly is not all that it does: later layers read it too. So the leading heads
and MLPs are silenced at this place, one at a time, and what then becomes of the logit is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.choose.parameters.values import Integer
from pellucid.choose.vocabulary import logsumexp
from pellucid.model.config import ModelConfig
from pellucid.model.matrices import Matrices
from pellucid.model.sites import residual
from pellucid.trace.form import CERTAIN, Form, counts, exactly, floats
from pellucid.trace.readings import Subject
from pellucid.trace.readings.direction import Direction, Doubles, of_logit, of_writer
from pellucid.trace.readings.row import WHOLE_MLP, Part, Row, checked_targets, silenced
from pellucid.trace.trace import Array, Trace
from pellucid.weights.tensor import Floats

_MOST_TESTS = 256


def forms(
    config: ModelConfig,
    ids: Sequence[int],
    token: int,
    position: int,
    versus: int | None = None,
    test: int = 8,
) -> dict[str, Form]:
    """As `read` says. Raises ParameterError."""
    targets = checked_targets(config, ids, token, position, versus)
    Integer(0, _MOST_TESTS).check("test", test)
    layers, heads, said = config.layers, config.heads, len(targets)
    single = ("before_cap", "embedding", "positions", "constant", "rounding")
    return {
        **dict.fromkeys(single, floats(1)),
        "heads": floats(layers, heads),
        "sources": floats(layers, heads, position + 1),
        "mlps": floats(layers),
        "biases": floats(layers),
        "target_ids": exactly(targets),
        "logits": floats(said),
        "probs": floats(said, low=0, high=1 + CERTAIN),
        "tested": counts("tested", 2, low=(0, WHOLE_MLP), high=(layers - 1, heads - 1)),
        "tested_logits": floats("tested", said),
        "tested_probs": floats("tested", said, low=0, high=1 + CERTAIN),
    }


def read(
    subject: Subject,
    trace: Trace,
    token: int,
    position: int,
    versus: int | None = None,
    test: int = 8,
) -> dict[str, Array]:
    """What each writer adds to the logit of a token after a position, or to the difference between
    it and that of `versus`: `embedding`, `positions` (learned ones), `heads` `[layers, heads]`,
    `mlps` `[layers]` with their biases, `biases` `[layers]` of attention's last matrix, `constant`
    (the final norm's and the output matrix' biases) and `rounding`, by which a backend's arithmetic
    differs from float32, and where the run was changed what the changes did besides. All together
    are `before_cap`, the logit before a soft cap. What is one number is `[1]`. `logits` and
    `probs` `[1 or 2]` are those of the run for `target_ids`.

    `sources` `[layers, heads, position + 1]` splits each head by the token whose value it took.
    `tested` `[n, 2]` are the leading heads (layer, head) and MLPs (layer, -1), `tested_logits` and
    `tested_probs` `[n, 1 or 2]` what becomes of the targets when each writes nothing in this row.
    """
    row = Row(subject, trace, position)
    told = _Attribution.of(subject, row, token, versus)
    leading = told.leading(test)
    targets = [token] if versus is None else [token, versus]
    after = row.repeated([silenced(part) for part in leading]) if leading else None
    tested_logits, tested_probs = _outcomes(after, targets)
    logits, probs = _outcomes(told.logits[None], targets)
    return {
        **told.arrays(),
        "target_ids": np.array(targets, np.int64),
        "logits": logits[0],
        "probs": probs[0],
        "tested": np.array(leading, np.int64).reshape(-1, 2),
        "tested_logits": tested_logits,
        "tested_probs": tested_probs,
    }


@dataclass(frozen=True)
class _Attribution:
    """The sum of a logit, by writer."""

    logits: Floats  # [vocab], of the run
    before_cap: float
    embedding: float
    positions: float
    heads: Doubles  # [layers, heads]
    sources: Floats  # [layers, heads, position + 1]
    mlps: Doubles  # [layers]
    biases: Doubles  # [layers]
    constant: float

    @classmethod
    def of(cls, subject: Subject, row: Row, token: int, versus: int | None) -> _Attribution:
        config, matrices = subject.config, Matrices(subject.checkpoint, subject.config)
        last = residual(config.layers)
        inside = [f"layers.*.{name}" for name in ("attn.heads", "attn.pattern", "mlp.out")]
        logits, seen = row.seen(["embed", *inside, last, "final_norm"])
        direction = of_logit(matrices, config, seen[last], token, versus)
        place = matrices.position(row.position)
        from_place = 0.0 if place is None else float(direction.vector @ place)
        each = [_attention(matrices, direction, row, i, seen, config) for i in range(config.layers)]
        heads, sources, biases = (np.stack(kind) for kind in zip(*each, strict=True))
        mlps = [direction.vector @ seen[f"layers.{i}.mlp.out"] for i in range(config.layers)]
        projected = subject.model.project(seen["final_norm"][None])[0].astype(np.float64)
        return cls(
            logits=logits,
            before_cap=float(projected[token] - (0 if versus is None else projected[versus])),
            embedding=float(direction.vector @ seen["embed"]) - from_place,
            positions=from_place,
            heads=heads,
            sources=sources,
            mlps=np.array(mlps),
            biases=biases,
            constant=direction.constant,
        )

    def leading(self, count: int) -> list[Part]:
        """The heads and MLPs that add or take most, the farthest first."""
        layers, heads = self.heads.shape
        parts = [(i, head) for i in range(layers) for head in (*range(heads), WHOLE_MLP)]
        sizes = np.abs(np.concatenate([self.heads, self.mlps[:, None]], axis=1)).ravel()
        return [parts[at] for at in np.argsort(-sizes, kind="stable")[:count]]

    def arrays(self) -> dict[str, Array]:
        made: dict[str, Array] = {
            name: np.atleast_1d(np.asarray(getattr(self, name), np.float32))
            for name in (
                "before_cap", "embedding", "positions", "heads", "sources", "mlps", "biases",
                "constant",
            )
        }  # fmt: skip
        parts = ("embedding", "positions", "heads", "mlps", "biases", "constant")
        whole = sum(float(made[name].sum(dtype=np.float64)) for name in parts)
        made["rounding"] = np.array([self.before_cap - whole], np.float32)
        return made


def _attention(
    matrices: Matrices,
    direction: Direction,
    row: Row,
    layer: int,
    seen: dict[str, Floats],
    config: ModelConfig,
) -> tuple[Doubles, Floats, Doubles]:
    """What a layer's heads add `[heads]`, by the position they took it from, and its biases."""
    at = f"layers.{layer}"
    heads, pattern = seen[f"{at}.attn.heads"], seen[f"{at}.attn.pattern"]
    norm, out = matrices.norm(f"{at}.attn_post_norm"), matrices.attention_out(layer)
    writes = of_writer(direction, norm, out, heads.reshape(-1), config)
    along = writes.vector.reshape(config.kv_heads, -1, config.head_dim)  # by group of heads
    each = (heads * along.reshape(heads.shape)).sum(-1)
    # [kv_heads, group, head_dim] x [kv_heads, head_dim, n]: what a head would say of each value.
    said = along @ row.values(layer).astype(np.float64).transpose(1, 2, 0)
    sources = pattern * said.reshape(len(heads), -1)
    return each, sources.astype(np.float32), np.asarray(writes.constant)


def _outcomes(logits: Floats | None, targets: list[int]) -> tuple[Floats, Floats]:
    """Logits and probabilities of the targets, `[n, targets]`."""
    if logits is None:
        empty = np.empty((0, len(targets)), np.float32)
        return empty, empty
    chosen = logits[:, targets]
    totals = np.array([logsumexp(one) for one in logits])
    return chosen, np.exp(chosen - totals[:, None]).astype(np.float32)
