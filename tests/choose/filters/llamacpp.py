"""llama.cpp's own samplers, through llama-cpp-python's low-level interface: the outside truth."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt

from .llamacpp_cases import Case

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

    def token_bytes(self, token: int) -> bytes:
        """What a token stands for."""
        text = ctypes.create_string_buffer(256)
        length = llama_cpp.llama_token_to_piece(self.handle, token, text, len(text), 0, True)
        return text.raw[:length]

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
        kept = ctypes.cast(array.data, ctypes.POINTER(ctypes.c_byte))  # may begin further on
        left = np.ctypeslib.as_array(kept, (array.size * _RECORD.itemsize,)).view(_RECORD)
        scores = np.full(len(logits), -np.inf, np.float32)
        scores[left["id"]] = left["logit"]
        chosen = array.selected
        return scores, (int(array.data[chosen].id) if chosen >= 0 else None)


def probs(scores: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The softmax of scores."""
    weights = np.exp(scores.astype(np.float64) - scores.max())
    return weights / weights.sum()


def samplers(given: dict[str, Any], size: int, vocabulary: Vocabulary | None) -> list[Any]:
    """The samplers that these parameters, by our names, stand for; in llama.cpp's own order."""
    temperature = given.get("temperature", 1.0)
    if version := given.get("mirostat"):
        aim = (given.get("mirostat_tau", 5.0), given.get("mirostat_eta", 0.1))
        first = sampler("mirostat", size, 1, *aim, 100)
        return [
            sampler("temp", temperature),
            first if version == 1 else sampler("mirostat_v2", 1, *aim),
        ]
    keep = given.get("min_keep", 0)
    chain = [
        sampler(
            "penalties",
            size,
            given.get("repeat_last_n", 64),
            given.get("repetition_penalty", 1.0),
            given.get("frequency_penalty", 0.0),
            given.get("presence_penalty", 0.0),
        )
    ]
    if vocabulary:
        last = given.get("dry_penalty_last_n", -1)
        breakers = given.get("dry_sequence_breakers", ("\n", ":", '"', "*"))
        settings = (given["dry_multiplier"], given.get("dry_base", 1.75))
        allowed = given.get("dry_allowed_length", 2)
        chain.append(vocabulary.dry(*settings, allowed, 8192 if last < 0 else last, breakers))
    chain += [
        sampler("top_n_sigma", given.get("top_n_sigma", -1.0)),
        sampler("top_k", given.get("top_k", 0)),
        sampler("typical", given.get("typical_p", 1.0), keep),
        sampler("top_p", given.get("top_p", 1.0), keep),
        sampler("min_p", given.get("min_p", 0.0), keep),
        sampler("xtc", given.get("xtc_probability", 0.0), given.get("xtc_threshold", 0.1), keep, 1),
        sampler(
            "temp_ext",
            temperature,
            given.get("dynatemp_range", 0.0),
            given.get("dynatemp_exponent", 1.0),
        ),
    ]
    if "adaptive_target" in given:
        decay = given.get("adaptive_decay", 0.9)
        chain.append(sampler("adaptive_p", given["adaptive_target"], decay, 1))
    return chain


def theirs(case: Case, vocabulary: Vocabulary | None = None) -> list[dict[str, Any]]:
    """What llama.cpp leaves at each step, and what is chosen then: its choice, else the likeliest.

    `left` are the leading ids, `probs` their probabilities, `count` how many ids are left in all.
    """
    chain = Chain(*samplers(dict(case.given), case.size, vocabulary))
    chain.accept(case.history)
    steps = []
    for step in range(case.steps):
        scores, token = chain(case.logits(step))
        left = np.argsort(-scores, kind="stable")[: min(40, np.isfinite(scores).sum())]
        token = int(left[0]) if token is None else token
        chain.accept([token])
        steps.append(
            {
                "token": token,
                "count": int(np.isfinite(scores).sum()),
                "left": left.tolist(),
                "probs": [float(f"{p:.6g}") for p in probs(scores)[left]],
            }
        )
    return steps
