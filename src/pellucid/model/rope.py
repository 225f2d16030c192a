"""From a model's settings to its rotary positions: the base, and every kind of scaling."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.errors import UnsupportedError
from pellucid.model.config import Rope
from pellucid.model.keys import Keys

Divisors = npt.NDArray[np.float64]

_REACH_LIMIT = 1 << 31  # positions; what a made-up factor may claim


def read_rope(
    keys: Keys, dims: int, context: int, *, kind: str = "full_attention", base: float = 10_000.0
) -> Rope:
    """The rope of the layers of one kind.

    transformers 5 keeps the settings in `rope_parameters`, for each kind of layer where they
    differ; 4.x in `rope_theta` and `rope_scaling`. `context` is the length the model is opened
    for: LongRoPE and dynamic scaling depend on it, and so stay the same from token to token.
    """
    parameters = keys.below("rope_parameters")
    if isinstance(parameters.get(kind), dict):
        parameters = parameters.below(kind)
    base = parameters.number("rope_theta", keys.number("rope_theta", base))
    scaling = parameters if "rope_type" in parameters else keys.below("rope_scaling")
    name = _kind(scaling)
    if not isinstance(name, str) or name not in _SCALINGS:
        raise UnsupportedError(
            f"{keys.path}: rope scaling {name!r:.60} is unknown; known are {', '.join(_SCALINGS)}"
        )
    try:
        with np.errstate(divide="raise", over="raise", invalid="raise"):
            rope = _SCALINGS[name](Rope(dims, base), scaling, _Lengths(keys, scaling, context))
            rope.frequencies()
        if not math.isfinite(rope.base * rope.gain):
            raise OverflowError("Numerical result out of range")
    except (ArithmeticError, ValueError) as error:
        raise keys.error("rope_scaling", f"{name} scaling with these numbers: {error}") from None
    return rope


def opened_context(keys: Keys) -> int:
    """The length a model is opened for unless asked otherwise.

    It is the longest that it was trained for, except under LongRoPE: there the short factors
    hold up to the original length, and the long ones, a little worse, only for who needs them.
    """
    longest = keys.count("max_position_embeddings", keys.get("n_positions"))
    scaling = _scaling(keys)
    if _kind(scaling) != "longrope":
        return longest
    return min(longest, _original(keys, scaling, longest))


def longest_context(keys: Keys) -> int:
    """The greatest length a model can be opened for.

    That is what its settings say, but where dynamic scaling or YaRN stretches the length that it
    was trained for: files leave that length as it was.
    """
    longest = keys.count("max_position_embeddings")
    scaling = _scaling(keys)
    if _kind(scaling) not in ("dynamic", "yarn"):
        return longest
    reach = _original(keys, scaling, longest) * scaling.number("factor", 1.0)
    return max(longest, int(min(reach, _REACH_LIMIT)))


def _scaling(keys: Keys) -> Keys:
    return keys.below("rope_parameters" if "rope_parameters" in keys else "rope_scaling")


def _kind(scaling: Keys) -> Any:
    if "short_factor" in scaling:  # the first Phi-3 files say "su" or "yarn"
        return "longrope"
    return scaling.get("rope_type") or scaling.get("type") or "default"


class _Lengths:
    """The context that positions were trained for, and the one that the model is opened for."""

    def __init__(self, keys: Keys, scaling: Keys, context: int) -> None:
        self.longest = keys.count("max_position_embeddings")
        self.original = _original(keys, scaling, self.longest)
        self.context = context


def _original(keys: Keys, scaling: Keys, default: int) -> int:
    key = "original_max_position_embeddings"
    return scaling.count(key, keys.count(key, default))


def _with(rope: Rope, divisors: Divisors, gain: float = 1.0) -> Rope:
    return Rope(rope.dims, rope.base, tuple(divisors.tolist()), gain)


def _default(rope: Rope, scaling: Keys, lengths: _Lengths) -> Rope:
    return rope


def _linear(rope: Rope, scaling: Keys, lengths: _Lengths) -> Rope:
    return _with(rope, np.full(rope.dims // 2, scaling.number("factor")))


def _dynamic(rope: Rope, scaling: Keys, lengths: _Lengths) -> Rope:
    # NTK-aware: the base grows with the length, so that the slowest pair is stretched by it.
    factor, longest = scaling.number("factor"), lengths.longest
    length = max(lengths.context, longest)
    growth = factor * length / longest - (factor - 1)
    return Rope(rope.dims, rope.base * growth ** (rope.dims / (rope.dims - 2)))


def _llama3(rope: Rope, scaling: Keys, lengths: _Lengths) -> Rope:
    # Llama 3.1: slow pairs are stretched, fast ones left, those between blended.
    factor = scaling.number("factor")
    low, high = scaling.number("low_freq_factor"), scaling.number("high_freq_factor")
    turns = lengths.original * rope.frequencies().astype(np.float64) / (2 * math.pi)
    keep = np.clip((turns - low) / (high - low), 0, 1)
    return _with(rope, 1 / ((1 - keep) / factor + keep))


def _yarn(rope: Rope, scaling: Keys, lengths: _Lengths) -> Rope:
    # Peng et al. 2023, arXiv:2309.00071, section 3.2; `truncate` as in transformers.
    factor = scaling.number("factor", lengths.longest / lengths.original)
    fast, slow = scaling.number("beta_fast", 32.0), scaling.number("beta_slow", 1.0)

    def pair_that_turns(times: float) -> float:
        length = lengths.original / (times * 2 * math.pi)
        return rope.dims * math.log(length) / (2 * math.log(rope.base))

    first, last = pair_that_turns(fast), pair_that_turns(slow)
    if scaling.flag("truncate", True):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, rope.dims - 1)
    ramp = (np.arange(rope.dims // 2) - first) / max(last - first, 0.001)
    keep = 1 - np.clip(ramp, 0, 1)
    return _with(rope, 1 / ((1 - keep) / factor + keep), _yarn_gain(scaling, factor))


def _yarn_gain(scaling: Keys, factor: float) -> float:
    if "attention_factor" in scaling:
        return scaling.number("attention_factor")

    def gain(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1 if factor > 1 else 1.0

    if "mscale" in scaling and "mscale_all_dim" in scaling:
        return gain(scaling.number("mscale")) / gain(scaling.number("mscale_all_dim"))
    return gain(1.0)


def _longrope(rope: Rope, scaling: Keys, lengths: _Lengths) -> Rope:
    # Ding et al. 2024, arXiv:2402.13753: one list within the original length, one beyond it.
    which = "long_factor" if lengths.context > lengths.original else "short_factor"
    factor = scaling.number("factor", lengths.longest / lengths.original)
    gain = math.sqrt(1 + math.log(factor) / math.log(lengths.original)) if factor > 1 else 1.0
    return _with(rope, _listed(rope, scaling, which), scaling.number("attention_factor", gain))


def _divisors(rope: Rope, scaling: Keys, lengths: _Lengths) -> Rope:
    return _with(rope, _listed(rope, scaling, "divisors"))


def _listed(rope: Rope, scaling: Keys, key: str) -> Divisors:
    values = scaling.sequence(key, rope.dims // 2)
    if values is None:
        raise scaling.error(key, "is missing")
    each = (Keys(f"{scaling.path}: {key}", {"value": value}) for value in values)
    return np.asarray([one.number("value") for one in each])


_SCALINGS: dict[str, Callable[[Rope, Keys, Any], Rope]] = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _longrope,
    "divisors": _divisors,  # a GGUF file's rope_freqs
}
