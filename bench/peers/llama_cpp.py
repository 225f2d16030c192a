"""llama.cpp, through the C interface of llama-cpp-python: no copy of scores is timed.

Settings are its own defaults; its context holds just what a scenario needs.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from bench.files import ModelFile
from pellucid.weights.tensor import Floats

_COLD = """
import sys
from llama_cpp import Llama
path, threads, text = sys.argv[1:]
model = Llama(path, n_threads=int(threads), n_threads_batch=int(threads), verbose=False)
print(model(text, max_tokens=1, temperature=0)["choices"][0]["text"])
"""


class LlamaCpp:
    """Takes part where llama-cpp-python is installed."""

    name = "llama.cpp"

    def absent(self, file: ModelFile) -> str | None:
        return None if find_spec("llama_cpp") else "llama-cpp-python is not installed"

    def open(self, file: ModelFile, threads: int, sequences: int, length: int) -> LoadedLlama:
        return LoadedLlama(str(file.path()), threads, sequences, length)

    def cold(self, file: ModelFile, threads: int, text: str) -> list[str]:
        return [sys.executable, "-c", _COLD, str(file.path()), str(threads), text]


@cache
def library() -> Any:
    """The module, with its log turned off."""
    llama = import_module("llama_cpp")
    llama.llama_log_set(_silence(), ctypes.c_void_p(0))
    llama.llama_backend_init()
    return llama


@cache  # the library keeps only the address of the function, which must stay alive
def _silence() -> Any:
    return import_module("llama_cpp").llama_log_callback(lambda level, text, data: None)


class LoadedLlama:
    """A model and a context with room for `sequences` of `length` tokens."""

    def __init__(self, path: str, threads: int, sequences: int, length: int) -> None:
        llama = self.llama = library()
        self.model = llama.llama_model_load_from_file(
            path.encode(), llama.llama_model_default_params()
        )
        if not self.model:
            raise RuntimeError(f"llama.cpp cannot load {path}")
        params = llama.llama_context_default_params()
        params.n_ctx = sequences * length
        params.n_seq_max = sequences
        params.n_threads = params.n_threads_batch = threads
        self.context = llama.llama_init_from_model(self.model, params)
        if not self.context:
            raise RuntimeError(f"llama.cpp has no room for {sequences} x {length} tokens")
        self.largest = int(llama.llama_n_batch(self.context))
        self.batch = llama.llama_batch_init(self.largest, 0, 1)
        self.length = 0

    def start(self, prompts: Sequence[Sequence[int]]) -> None:
        self._forget()
        self.length = len(prompts[0])
        if len(prompts) == 1:
            for first in range(0, self.length, self.largest):
                self._decode_one(prompts[0][first : first + self.largest])
            return
        rows = [(i, p, at) for i, ids in enumerate(prompts) for at, p in enumerate(ids)]
        last = self.length - 1
        self._decode([(token, at, i, at == last) for i, token, at in rows])

    def step(self, tokens: Sequence[int]) -> None:
        if len(tokens) == 1:
            self._decode_one(tokens)
        else:
            self._decode([(token, self.length, i, True) for i, token in enumerate(tokens)])
        self.length += 1

    def logits(self, ids: Sequence[int]) -> Floats:
        self._forget()
        self._decode([(token, at, 0, True) for at, token in enumerate(ids)])
        vocab = self.llama.llama_vocab_n_tokens(self.llama.llama_model_get_vocab(self.model))
        return np.stack(
            [
                np.ctypeslib.as_array(
                    self.llama.llama_get_logits_ith(self.context, at), shape=(vocab,)
                )
                for at in range(len(ids))
            ]
        )  # a copy: the next decode writes there

    def close(self) -> None:
        self.llama.llama_batch_free(self.batch)
        self.llama.llama_free(self.context)
        self.llama.llama_model_free(self.model)

    def _forget(self) -> None:
        # False: the old keys and values need not be overwritten with zeros, which takes time.
        self.llama.llama_memory_clear(self.llama.llama_get_memory(self.context), False)

    def _decode_one(self, tokens: Sequence[int]) -> None:
        """Tokens of the one sequence: the logits of the last are computed."""
        array = (self.llama.llama_token * len(tokens))(*tokens)
        self._checked(self.llama.llama_batch_get_one(array, len(tokens)))

    def _decode(self, rows: Sequence[tuple[int, int, int, bool]]) -> None:
        """Rows of token, position, sequence, and whether its logits are wanted."""
        batch = self.batch
        batch.n_tokens = len(rows)
        for i, (token, position, sequence, wanted) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.logits[i] = token, position, wanted
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
        self._checked(batch)

    def _checked(self, batch: Any) -> None:
        if code := self.llama.llama_decode(self.context, batch):
            raise RuntimeError(f"llama_decode returned {code}")
        self.llama.llama_synchronize(self.context)
