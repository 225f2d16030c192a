"""llama.cpp's own samplers, through llama-cpp-python's low-level interface: the outside truth."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_RECORD = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


def sampler(name: str, *values: Any) -> Any:
    """One of llama.cpp's samplers by its name."""
    return getattr(llama_cpp, f"llama_sampler_init_{name}")(*values)


class Vocabulary:
    """The vocabulary of a GGUF file, without its weights; DRY needs one."""

    def __init__(self, path: Path) -> None:
        settings = llama_cpp.llama_model_default_params()
        settings.vocab_only = True
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), settings)
        self.handle = llama_cpp.llama_model_get_vocab(self._model)

    def dry(
        self, multiplier: float, base: float, allowed: int, last_n: int, breakers: Sequence[str]
    ) -> Any:
        """A DRY sampler over this vocabulary."""
        texts = (ctypes.c_char_p * len(breakers))(*(text.encode() for text in breakers))
        values = (self.handle, multiplier, base, allowed, last_n, texts, len(breakers))
        return sampler("dry", *values)


class Chain:
    """Samplers one after the other, with what they remember."""

    def __init__(self, *samplers: Any) -> None:
        self._chain = llama_cpp.llama_sampler_chain_init(
            llama_cpp.llama_sampler_chain_default_params()
        )
        for each in samplers:
            llama_cpp.llama_sampler_chain_add(self._chain, each)

    def __del__(self) -> None:
        llama_cpp.llama_sampler_free(self._chain)

    def accept(self, ids: Sequence[int]) -> None:
        """Tell it which tokens were there, or were chosen."""
        for token in ids:
            llama_cpp.llama_sampler_accept(self._chain, token)

    def __call__(self, logits: Floats) -> tuple[Floats, int | None]:
        """The scores that it leaves, minus infinity for what it removed; and the token it chose."""
        records = np.empty(len(logits), _RECORD)
        records["id"] = np.arange(len(logits))
        records["logit"] = logits
        data = records.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token_data))
        array = llama_cpp.llama_token_data_array(data, len(logits), -1, False)
        llama_cpp.llama_sampler_apply(self._chain, ctypes.byref(array))
        left = [array.data[i] for i in range(array.size)]
        scores = np.full(len(logits), -np.inf, np.float32)
        for each in left:
            scores[each.id] = each.logit
        chosen = array.selected
        return scores, (int(array.data[chosen].id) if chosen >= 0 else None)


def probs(scores: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The softmax of scores."""
    weights = np.exp(scores.astype(np.float64) - scores.max())
    return weights / weights.sum()
