"""The sites: names for the values inside a forward that can be watched and changed.

A site is named `layers.N.resid_post`; `embed`, `final_norm` and `logits` stand beside the layers.
Rows come first in every shape: one a token that is fed, but of `logits` only those that are wanted.
The values are those that the forward goes on with: queries and keys are normed and turned, what
attention and MLP add to the residual has been through the norm that some families put behind them.
So resid_mid is resid_pre + attn_out, and resid_post resid_mid + mlp.out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pellucid.errors import ParameterError
from pellucid.model.config import ModelConfig

Has = Callable[[ModelConfig, int], bool]


def _always(config: ModelConfig, layer: int) -> bool:
    return True


def _serial(config: ModelConfig, layer: int) -> bool:
    return not config.parallel


def _dense(config: ModelConfig, layer: int) -> bool:
    return not (config.experts and config.experts.layers[layer])


def _gated(config: ModelConfig, layer: int) -> bool:
    return config.mlp == "gated" and _dense(config, layer)


@dataclass(frozen=True)
class Site:
    """A row of the table: a name, what a row of it is, and the layers that have it.

    `shape` names fields of `ModelConfig`; `context` is every position of the sequence up to the
    last that is fed. `elsewhere` is TransformerLens' name of the same value, if it has one.
    """

    name: str
    shape: tuple[str, ...]
    meaning: str
    elsewhere: str = ""
    has: Has = _always


_HIDDEN = ("hidden_size",)
_HEADS = ("heads", "head_dim")
_KEYS = ("kv_heads", "head_dim")
_PAIRS = ("heads", "context")
_NEURONS = ("intermediate_size",)

BEFORE = (
    Site("embed", _HIDDEN, "the token, scaled, with its position if that is learned"),
)  # fmt: skip
IN_LAYER = (
    Site("resid_pre", _HIDDEN, "the residual that the layer is given", "hook_resid_pre"),
    Site("attn_norm", _HIDDEN, "what attention reads"),
    Site("attn.q", _HEADS, "queries, normed and turned", "attn.hook_rot_q"),
    Site("attn.k", _KEYS, "keys, normed and turned, as they are kept", "attn.hook_rot_k"),
    Site("attn.v", _KEYS, "values, as they are kept", "attn.hook_v"),
    Site("attn.scores", _PAIRS, "scaled and capped; -inf where a row may not look",
         "attn.hook_attn_scores"),
    Site("attn.pattern", _PAIRS, "their softmax: how much a row takes of each position",
         "attn.hook_pattern"),
    Site("attn.heads", _HEADS, "what each head has gathered", "attn.hook_z"),
    Site("attn_out", _HIDDEN, "what attention adds to the residual", "hook_attn_out"),
    Site("resid_mid", _HIDDEN, "the residual between the two", "hook_resid_mid", _serial),
    Site("mlp_norm", _HIDDEN, "what the MLP reads"),
    Site("mlp.gate", _NEURONS, "the gate, before its activation", "mlp.hook_pre", _gated),
    Site("mlp.up", _NEURONS, "the other half; of a plain MLP all, before its activation",
         "mlp.hook_pre_linear", _dense),
    Site("mlp.act", _NEURONS, "the neurons: what is projected down", "mlp.hook_post", _dense),
    Site("mlp.out", _HIDDEN, "what the MLP, or the mixture, adds to the residual", "hook_mlp_out"),
    Site("resid_post", _HIDDEN, "the residual that the layer leaves", "hook_resid_post"),
)  # fmt: skip
AFTER = (
    Site("final_norm", _HIDDEN, "what the output matrix reads"),
    Site("logits", ("vocab_size",), "the answer; wanted rows only"),
)  # fmt: skip
_TABLE = {site.name: site for site in (*BEFORE, *IN_LAYER, *AFTER)}


def place(name: str) -> tuple[int, str]:
    """The layer of a site, and its name there; -1 for those beside the layers.

    >>> place("layers.12.attn.q"), place("embed")
    ((12, 'attn.q'), (-1, 'embed'))
    """
    first, _, rest = name.partition(".")
    if first != "layers":
        return -1, name
    layer, _, local = rest.partition(".")
    return int(layer), local


def shape(name: str, config: ModelConfig, context: int = 0) -> tuple[int, ...]:
    """What a row of a site is; `context` counts the columns of attention."""
    fields = _TABLE[place(name)[1]].shape
    return tuple(context if f == "context" else getattr(config, f) for f in fields)


def wanted(name: str) -> bool:
    """Whether a site has a row for each wanted row only."""
    return name == "logits"


def residual(layers: int) -> str:
    """The site of the residual after so many layers.

    >>> residual(0), residual(3)
    ('embed', 'layers.2.resid_post')
    """
    return f"layers.{layers - 1}.resid_post" if layers else "embed"


def names(config: ModelConfig) -> list[str]:
    """All sites of a model, in the order in which they are computed."""
    inside = [
        f"layers.{i}.{site.name}"
        for i in range(config.layers)
        for site in IN_LAYER
        if site.has(config, i)
    ]
    return [*(site.name for site in BEFORE), *inside, *(site.name for site in AFTER)]


def select(patterns: Sequence[str], config: ModelConfig, parameter: str) -> list[str]:
    """The sites that patterns name, part by part between the dots: `layers.*.attn.[qk]`.

    Raises ParameterError, of this parameter, for a pattern that names none.
    """
    known = [(name, name.split(".")) for name in names(config)]
    chosen: dict[str, None] = {}
    for pattern in patterns:
        parts = pattern.split(".")
        found = [name for name, has in known if _fits(has, parts)]
        if not found:
            raise ParameterError(parameter, _unknown(pattern, config))
        chosen |= dict.fromkeys(found)
    return list(chosen)


def _fits(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    if len(parts) != len(patterns):
        return False
    return all(map(fnmatchcase, parts, patterns))


def _unknown(pattern: str, config: ModelConfig) -> str:
    beside = ", ".join(site.name for site in (*BEFORE, *AFTER))
    inside = ", ".join(
        site.name for site in IN_LAYER if any(site.has(config, i) for i in range(config.layers))
    )
    return (
        f"{pattern!r:.80} is no site of this model; there are {beside},"
        f" and in layers.0 to layers.{config.layers - 1}: {inside}"
    )
