"""The sites: names for the values inside a forward that can be watched and changed.

A site is named `layers.N.resid_post`; `embed`, `final_norm` and `logits` stand beside the layers.
Rows come first in every shape: one a token that is fed, but of `logits` only those that are wanted.
The values are those that the forward goes on with: queries and keys are normed and turned, what
attention and MLP add to the residual has been through the norm that some families put behind them.
So resid_mid is resid_pre + attn_out, and resid_post resid_mid + mlp.out.

An address is a name, a short name, or a pattern of either, and may go on to heads or neurons:
`layers.5.heads.3`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import filter as matching
from fnmatch import fnmatchcase
from functools import lru_cache

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
    last that is fed. `elsewhere` is TransformerLens' name of the same value, `short` a shorter one
    of our own, if it has one.
    """

    name: str
    shape: tuple[str, ...]
    meaning: str
    elsewhere: str = ""
    has: Has = _always
    short: str = ""


@dataclass(frozen=True)
class Place:
    """What an address names: a site, and of its heads or neurons those at `index`.

    As in NumPy an int takes their axis away, several keep it; None is all there is.
    """

    site: str
    index: int | tuple[int, ...] | None = None

    @property
    def key(self) -> tuple[slice] | tuple[slice, int | list[int]]:
        """The place as an index of rows, `[rows, ...]`."""
        if self.index is None:
            return (slice(None),)
        return slice(None), self.index if isinstance(self.index, int) else list(self.index)

    def shape(self, config: ModelConfig, context: int = 0) -> tuple[int, ...]:
        """What a row is here."""
        first, *rest = shape(self.site, config, context)
        if isinstance(self.index, int):
            return tuple(rest)
        return (first if self.index is None else len(self.index), *rest)


_HIDDEN = ("hidden_size",)
_HEADS = ("heads", "head_dim")
_KEYS = ("kv_heads", "head_dim")
_PAIRS = ("heads", "context")
_NEURONS = ("intermediate_size",)
_PARTS = {"heads": "head", "kv_heads": "key-value head", "intermediate_size": "neuron"}

BEFORE = (
    Site("embed", _HIDDEN, "the token, scaled, with its position if that is learned"),
)  # fmt: skip
IN_LAYER = (
    Site("resid_pre", _HIDDEN, "the residual that the layer is given", "hook_resid_pre"),
    Site("attn_norm", _HIDDEN, "what attention reads"),
    Site("attn.q", _HEADS, "queries, normed and turned", "attn.hook_rot_q", short="q"),
    Site("attn.k", _KEYS, "keys, normed and turned, as they are kept", "attn.hook_rot_k",
         short="k"),
    Site("attn.v", _KEYS, "values, as they are kept", "attn.hook_v", short="v"),
    Site("attn.scores", _PAIRS, "scaled and capped; -inf where a row may not look",
         "attn.hook_attn_scores", short="scores"),
    Site("attn.pattern", _PAIRS, "their softmax: how much a row takes of each position",
         "attn.hook_pattern", short="pattern"),
    Site("attn.heads", _HEADS, "what each head has gathered", "attn.hook_z", short="heads"),
    Site("attn_out", _HIDDEN, "what attention adds to the residual", "hook_attn_out", short="attn"),
    Site("resid_mid", _HIDDEN, "the residual between the two", "hook_resid_mid", _serial),
    Site("mlp_norm", _HIDDEN, "what the MLP reads"),
    Site("mlp.gate", _NEURONS, "the gate, before its activation", "mlp.hook_pre", _gated),
    Site("mlp.up", _NEURONS, "the other half; of a plain MLP all, before its activation",
         "mlp.hook_pre_linear", _dense),
    Site("mlp.act", _NEURONS, "the neurons: what is projected down", "mlp.hook_post", _dense,
         short="neurons"),
    Site("mlp.out", _HIDDEN, "what the MLP, or the mixture, adds to the residual", "hook_mlp_out",
         short="mlp"),
    Site("resid_post", _HIDDEN, "the residual that the layer leaves", "hook_resid_post",
         short="resid"),
)  # fmt: skip
AFTER = (
    Site("final_norm", _HIDDEN, "what the output matrix reads"),
    Site("logits", ("vocab_size",), "the answer; wanted rows only"),
)  # fmt: skip
_TABLE = {site.name: site for site in (*BEFORE, *IN_LAYER, *AFTER)}


@lru_cache(8192)  # a watched step asks for each of its sites several times
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

    Raises ParameterError, of this parameter, for a pattern that names none, or heads or neurons.
    """
    known = names(config)
    chosen: dict[str, None] = {}
    for pattern in patterns:
        for place in _find(pattern, known, config, parameter):
            if place.index is not None:
                reason = f"{pattern!r:.80} is part of a site; name {place.site}, and take of its"
                raise ParameterError(parameter, f"{reason} rows {_slicing(place)}")
            chosen[place.site] = None
    return list(chosen)


def find(address: str, config: ModelConfig, parameter: str) -> list[Place]:
    """The places that an address names: `layers.5.heads.3`, `layers.*.neurons.1[0-9]`, a pattern.

    A whole name is preferred to a short one, and both to one that goes on to heads or neurons.
    Raises ParameterError, of this parameter, for an address that names none.
    """
    return _find(address, names(config), config, parameter)


def _find(address: str, known: Sequence[str], config: ModelConfig, parameter: str) -> list[Place]:
    parts = address.split(".")
    if found := _named(parts, known):
        return [Place(name) for name in found]
    *site, part = parts
    found = _named(site, known) if any(c.isdecimal() or c in "*?" for c in part) else []
    if not found:
        raise ParameterError(parameter, _unknown(address, config))
    return [Place(name, _index(name, part, config, parameter)) for name in found]


def _named(parts: Sequence[str], known: Sequence[str]) -> list[str]:
    """The sites of these that parts of a pattern fit, by their names or else by the short ones."""
    if (exact := ".".join(parts)) in known:
        return [exact]
    full = [name for name in known if _fits(name.split("."), parts)]
    return full or [name for name in known if _fits(_short(name), parts)]


def _short(name: str) -> list[str]:
    """The parts of the short name of a site; none where it has none."""
    layer, local = place(name)
    short = _TABLE[local].short
    return ["layers", str(layer), short] if short else []


def _fits(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    if not parts or len(parts) != len(patterns):
        return False
    return all(map(fnmatchcase, parts, patterns))


def _index(name: str, part: str, config: ModelConfig, parameter: str) -> int | tuple[int, ...]:
    """The heads or neurons of a site that a number, or a pattern of numbers, names."""
    kind = _PARTS.get(_TABLE[place(name)[1]].shape[0])
    if kind is None:
        reason = f"{name} has neither heads nor neurons, and so no {part:.20}"
        raise ParameterError(parameter, f"{reason}; those are layers.N.heads and layers.N.neurons")
    size = shape(name, config)[0]
    chosen = tuple(map(int, matching(map(str, range(size)), part)))
    if not chosen:
        raise ParameterError(parameter, f"{name} has no {kind} {part:.20}, only 0 to {size - 1}")
    return chosen[0] if part.isdecimal() else chosen


def _slicing(place: Place) -> str:
    return f"[:, {place.index if isinstance(place.index, int) else list(place.index or ())}]"


def _unknown(pattern: str, config: ModelConfig) -> str:
    beside = ", ".join(site.name for site in (*BEFORE, *AFTER))
    inside = ", ".join(
        f"{site.name} or {site.short}" if site.short else site.name
        for site in IN_LAYER
        if any(site.has(config, i) for i in range(config.layers))
    )
    return (
        f"{pattern!r:.80} is no site of this model; there are {beside},"
        f" and in layers.0 to layers.{config.layers - 1}: {inside}"
    )
