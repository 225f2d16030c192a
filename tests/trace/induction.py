"""A model of two layers whose every weight is known: it says what followed the last time.

    ^ b i e d h g b  ->  i

A head of layer 0 looks at the token before and writes its name beside each token; a head of
layer 1 looks for the token whose name beside it is the current one, and says that token (Olsson et
al. 2022, arXiv:2209.11895). The MLPs are zero, and the other heads are small noise. So whoever
explains an answer of this model must find these two heads, and no other.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

Floats = npt.NDArray[np.float32]

LETTERS = "^abcdefghijklmnopqrstuvw"  # token 0 starts a text; who finds nothing looks there
PREVIOUS_HEAD = (0, 1)  # layer, head
INDUCTION_HEAD = (1, 2)
LAYERS, HEADS = 2, 4

TEXT = "^biedhgb"
IDS = [LETTERS.index(letter) for letter in TEXT]
ANSWER = LETTERS.index("i")
VALUE_POSITION = 2  # where the answer is read off: behind the first "b"
KEY_POSITION = 1  # where the first "b" is

_WORDS, _PLACES, _HEAD_DIM, _HIDDEN = len(LETTERS), 32, 32, 128
# The residual in parts: which token, which place, which token before, what to say.
_TOKEN, _PLACE, _BEFORE, _SAID = (
    np.arange(start, start + size) for start, size in ((0, 24), (24, 32), (56, 24), (80, 24))
)
_NOISE = 0.01


def write_model(folder: Path) -> Path:
    """Save the model, GPT-2's family, with a tokenizer of single letters; gives the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(_CONFIG))
    (folder / "tokenizer.json").write_text(json.dumps(_TOKENIZER))
    save_file(_tensors(), folder / "model.safetensors")
    return folder


def bytes_of(token: int) -> bytes:
    """The letter of a token."""
    return LETTERS[token].encode()


_CONFIG = {
    "model_type": "gpt2", "vocab_size": _WORDS, "n_embd": _HIDDEN, "n_layer": LAYERS,
    "n_head": HEADS, "n_positions": _PLACES, "n_inner": 32, "tie_word_embeddings": False,
    "activation_function": "relu", "layer_norm_epsilon": 1e-5,
}  # fmt: skip
_TOKENIZER = {
    "version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
    "post_processor": None, "decoder": None, "truncation": None, "padding": None,
    "model": {"type": "BPE", "vocab": {letter: i for i, letter in enumerate(LETTERS)},
              "merges": []},
}  # fmt: skip


def _tensors() -> dict[str, Floats]:
    made = {
        "wte.weight": _picks((_WORDS, _HIDDEN), np.arange(_WORDS), _TOKEN),
        "wpe.weight": _picks((_PLACES, _HIDDEN), np.arange(_PLACES), _PLACE),
        "lm_head.weight": _picks((_WORDS, _HIDDEN), np.arange(_WORDS), _SAID),
        **_norm("ln_f"),
    }
    rng = np.random.default_rng(0)
    heads = {PREVIOUS_HEAD: _previous(), INDUCTION_HEAD: _induction()}
    for layer in range(LAYERS):
        weights = [heads.get((layer, head)) or _noise(rng) for head in range(HEADS)]
        made |= _layer(f"h.{layer}", weights)
    return {f"transformer.{name}".replace("transformer.lm_head", "lm_head"): np.ascontiguousarray(x)
            for name, x in made.items()}  # fmt: skip


_Head = tuple[Floats, Floats, Floats, Floats, Floats]  # q, its bias, k, v, o; all [in, out]


def _previous() -> _Head:
    """A place asks for the place before it, and is told the token there."""
    first = np.arange(_PLACES - 1)
    q = _picks((_HIDDEN, _HEAD_DIM), _PLACE[1:], first)
    k = _picks((_HIDDEN, _HEAD_DIM), _PLACE[:-1], first)
    v = _picks((_HIDDEN, _HEAD_DIM), _TOKEN, np.arange(_WORDS))
    o = _picks((_HEAD_DIM, _HIDDEN), np.arange(_WORDS), _BEFORE)
    return q, np.zeros(_HEAD_DIM, np.float32), k, v, 0.13 * o  # about 1, as an embedding is


def _induction() -> _Head:
    """A token asks for itself among the tokens before, or else for the start of the text."""
    names, start = np.arange(1, _WORDS), _WORDS
    q = _picks((_HIDDEN, _HEAD_DIM), _TOKEN[1:], names)
    k = _picks((_HIDDEN, _HEAD_DIM), _BEFORE[1:], names)
    k[_TOKEN[0], start] = 1
    bias = np.zeros(_HEAD_DIM, np.float32)
    bias[start] = 3  # less than a match, which has 5 and more
    v = _picks((_HIDDEN, _HEAD_DIM), _TOKEN[1:], names)
    o = _picks((_HEAD_DIM, _HIDDEN), names, _SAID[1:])
    return q, bias, k, v, o


def _noise(rng: np.random.Generator) -> _Head:
    def small(*shape: int) -> Floats:
        return rng.normal(0, _NOISE, shape).astype(np.float32)

    inward = (_HIDDEN, _HEAD_DIM)
    q, k, v, o = small(*inward), small(*inward), small(*inward), small(_HEAD_DIM, _HIDDEN)
    return q, small(_HEAD_DIM), k, v, o


def _layer(name: str, heads: list[_Head]) -> dict[str, Floats]:
    q, bias, k, v, o = zip(*heads, strict=True)
    nothing = np.zeros(_HIDDEN, np.float32)
    return {
        **_norm(f"{name}.ln_1"), **_norm(f"{name}.ln_2"),
        f"{name}.attn.c_attn.weight": np.hstack([*q, *k, *v]),
        f"{name}.attn.c_attn.bias": np.concatenate([*bias, nothing, nothing]),
        f"{name}.attn.c_proj.weight": np.vstack(o),
        f"{name}.attn.c_proj.bias": nothing,
        f"{name}.mlp.c_fc.weight": np.zeros((_HIDDEN, 32), np.float32),
        f"{name}.mlp.c_fc.bias": np.zeros(32, np.float32),
        f"{name}.mlp.c_proj.weight": np.zeros((32, _HIDDEN), np.float32),
        f"{name}.mlp.c_proj.bias": nothing,
    }  # fmt: skip


def _norm(name: str) -> dict[str, Floats]:
    return {
        f"{name}.weight": np.ones(_HIDDEN, np.float32),
        f"{name}.bias": np.zeros(_HIDDEN, np.float32),
    }


def _picks(shape: tuple[int, int], rows: npt.NDArray[np.int64], columns: object) -> Floats:
    """A matrix of zeros and, at these places, ones."""
    made = np.zeros(shape, np.float32)
    made[rows, columns] = 1
    return made
