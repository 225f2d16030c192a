"""The comparison with transformers can fail: one plausible fault a family is planted and caught.

A fault changes the settings, or the tensors after they are bound, and must lead to an error ten
times above the bound. The smallest is gelu for its tanh form, 2e-4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from pellucid.backends import backend
from pellucid.model.bind import Bound, bind, load_weights
from pellucid.model.config import ModelConfig
from pellucid.model.describe import describe
from pellucid.model.families import FAMILIES
from pellucid.model.model import Model
from pellucid.weights.tensor import Tensor

from .tiny import BOUNDS, Tiny, relative_error, whole
from .variants import VARIANTS

Fault = Callable[[ModelConfig, Bound], tuple[ModelConfig, Bound]]


def config(**changes: Any) -> Fault:
    """Other settings."""
    assert changes.keys() <= {field.name for field in fields(ModelConfig)}
    return lambda c, bound: (replace(c, **changes), bound)


def rope(**changes: Any) -> Fault:
    """Another rope in every layer that has one."""
    return lambda c, bound: (
        replace(c, rope=tuple(r and replace(r, **changes) for r in c.rope)), bound,
    )  # fmt: skip


def experts(**changes: Any) -> Fault:
    """Another mixture."""

    def fault(c: ModelConfig, bound: Bound) -> tuple[ModelConfig, Bound]:
        assert c.experts
        return replace(c, experts=replace(c.experts, **changes)), bound

    return fault


def windows(change: Callable[[int | None], int | None]) -> Fault:
    """Other windows."""
    return lambda c, bound: (replace(c, window=tuple(map(change, c.window))), bound)


def ropes_in_the_other_layers(c: ModelConfig, bound: Bound) -> tuple[ModelConfig, Bound]:
    """Each layer gets the rope of the next."""
    return replace(c, rope=c.rope[1:] + c.rope[:1]), bound


def windows_in_the_other_layers(c: ModelConfig, bound: Bound) -> tuple[ModelConfig, Bound]:
    """Each layer gets the window of the next."""
    return replace(c, window=c.window[1:] + c.window[:1]), bound


def swapped(one: str, other: str) -> Fault:
    """Two tensors of every layer, each in the place of the other."""

    def fault(c: ModelConfig, bound: Bound) -> tuple[ModelConfig, Bound]:
        return c, {name: bound[_exchanged(name, one, other)] for name in bound}

    return fault


def _exchanged(name: str, one: str, other: str) -> str:
    if f"{one}." in name:
        return name.replace(f"{one}.", f"{other}.")
    return name.replace(f"{other}.", f"{one}.")


def changed(part: str, change: Callable[[np.ndarray], np.ndarray]) -> Fault:
    """Other numbers in all tensors whose name has `part`."""

    def fault(c: ModelConfig, bound: Bound) -> tuple[ModelConfig, Bound]:
        names = [name for name in bound if part in name]
        assert names
        return c, bound | {n: Tensor.of(n, change(bound[n].float32())) for n in names}

    return fault


def less_one(numbers: np.ndarray) -> np.ndarray:
    """A norm's gain as Gemma stores it."""
    return numbers - 1


def zero(numbers: np.ndarray) -> np.ndarray:
    """As if it had been forgotten."""
    return 0 * numbers


def heads_interleaved(numbers: np.ndarray) -> np.ndarray:
    """The rows of each head paired with their neighbours, as llama.cpp wants them."""
    heads = numbers.reshape(-1, 2, 8, *numbers.shape[1:])
    return heads.swapaxes(1, 2).reshape(numbers.shape)


FAULTS: list[tuple[str, str, Fault]] = [
    ("llama", "wrong rope base", rope(base=500_000.0)),
    ("llama", "heads of q in the wrong order", changed("attn.q.", lambda q: q[::-1])),
    ("llama", "rows of q left as llama.cpp orders them", changed("attn.q.", heads_interleaved)),
    ("llama", "epsilon of another family", config(norm_eps=1e-5)),
    ("llama", "gate and up swapped", swapped("mlp.gate", "mlp.up")),
    ("llama, tied, with biases", "biases of the MLP dropped", changed("mlp.up.bias", zero)),
    ("llama, tied, with biases", "bias of the output dropped", changed("attn.o.bias", zero)),
    ("llama 3 rope", "scaling dropped", rope(divisors=None)),
    ("linear rope", "scaling dropped", rope(divisors=None)),
    ("dynamic rope, stretched", "base not grown", rope(base=5e4)),
    ("yarn rope", "attention factor dropped", rope(gain=1.0)),
    ("mistral", "window off by one", windows(lambda w: w and w + 1)),
    ("mistral", "window dropped", config(window=(None,) * 4)),
    ("mixtral", "experts not renormalised", experts(renormalise=False)),
    ("mixtral", "one expert too few", experts(chosen=1)),
    ("qwen2", "bias of q dropped", changed("attn.q.bias", zero)),
    ("qwen2, windows above", "every layer slides", config(window=(6,) * 4)),
    ("qwen3", "norm of q and k dropped", config(qk_norm=None)),
    ("qwen3", "norms of q and k swapped", swapped("attn.q_norm", "attn.k_norm")),
    ("qwen3 experts", "experts not renormalised", experts(renormalise=False)),
    ("qwen3 experts, some layers", "experts renormalised", experts(renormalise=True)),
    ("gemma", "embedding not scaled", config(embedding_scale=1.0)),
    ("gemma", "norm without its one", changed("norm", less_one)),
    ("gemma", "gelu that is not its tanh form", config(activation="gelu")),
    ("gemma2", "cap of the logits dropped", config(logit_softcap=None)),
    ("gemma2", "cap of attention dropped", config(attention_softcap=None)),
    ("gemma2", "scale of a head's width", config(attention_scale=32**-0.5)),
    ("gemma2", "windows in the other layers", windows_in_the_other_layers),
    ("gemma3", "one rope for all layers", rope(base=1e6)),
    ("gemma3", "ropes in the other layers", ropes_in_the_other_layers),
    ("gemma3, stretched", "scaling dropped", rope(divisors=None)),
    ("phi3", "gate and up swapped", swapped("mlp.gate", "mlp.up")),
    ("phi3", "window off by one", windows(lambda w: w and w - 1)),
    ("phi3, part of each head turns", "the whole head turns", rope(dims=16)),
    ("phi3 longrope, within", "attention factor dropped", rope(gain=1.0)),
    ("phi3 longrope, beyond", "short factors",
     rope(divisors=tuple(1.0 + 0.1 * i for i in range(8)))),
    ("olmo2", "norm of k forgotten", changed("attn.k_norm", zero)),
    ("olmo2", "norms after attention and MLP swapped",
     swapped("attn_post_norm", "mlp_post_norm")),
    ("smollm3", "a layer that must not turns", ropes_in_the_other_layers),
    ("gpt2", "positions dropped", changed("positions", zero)),
    ("gpt2", "gelu that is not its tanh form", config(activation="gelu")),
    ("gpt2", "k and v swapped", swapped("attn.k", "attn.v")),
    ("gpt neox", "q and k swapped", swapped("attn.q", "attn.k")),
    ("gpt neox", "serial, not parallel", config(parallel=False)),
    ("gpt neox", "the tanh form of gelu", config(activation="gelu_tanh")),
    ("gpt neox, serial", "half of the turned dimensions", rope(dims=4)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "fault"), [pytest.param(n, f, id=f"{n}: {what}") for n, what, f in FAULTS]
)
def test_a_fault_is_caught(tiny: Callable[[str], Tiny], name: str, fault: Fault) -> None:
    checkpoint, ops = tiny(name).checkpoint(), backend("torch")
    sound = describe(checkpoint, tiny(name).variant.context_length)
    faulty, bound = fault(sound, bind(checkpoint, sound))
    model = Model(faulty, load_weights(bound, faulty, ops), ops)
    ids, truth = tiny(name).sequences[0], tiny(name).logits[0]
    assert relative_error(whole(model, ids), truth) > 10 * BOUNDS["torch"]


def test_every_family_has_a_fault(tiny: Callable[[str], Tiny]) -> None:
    tried = {name for name, _, _ in FAULTS}
    assert tried <= VARIANTS.keys()
    assert {describe(tiny(name).checkpoint()).family for name in tried} == set(FAMILIES)
