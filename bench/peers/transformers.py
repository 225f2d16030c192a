"""transformers on PyTorch, at float32 or bfloat16: its forward with its cache, step by step.

Its own reading of a GGUF file takes 21 s, so that a copy in safetensors is made once and loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from bench.files import ModelFile
from pellucid.weights.tensor import Floats

_COLD = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, threads, text, dtype = sys.argv[1:]
torch.set_num_threads(int(threads))
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
ids = tokenizer(text, return_tensors="pt")
print(tokenizer.decode(model.generate(**ids, max_new_tokens=1, do_sample=False)[0, -1]))
"""


class Transformers:
    """Takes part where transformers and torch are installed."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.name = f"transformers {dtype}"

    def absent(self, file: ModelFile) -> str | None:
        missing = [name for name in ("transformers", "torch") if not find_spec(name)]
        if missing:
            return f"{' and '.join(missing)} not installed"
        return None if file.alias else "has no copy of a file of one's own"

    def open(self, file: ModelFile, threads: int, sequences: int, length: int) -> LoadedTorch:
        return LoadedTorch(str(file.copy()), self.dtype, threads)

    def cold(self, file: ModelFile, threads: int, text: str) -> list[str]:
        return [sys.executable, "-c", _COLD, str(file.copy()), str(threads), text, self.dtype]


def library() -> Any:
    """The module, without its progress bars."""
    transformers = import_module("transformers")
    transformers.utils.logging.disable_progress_bar()
    return transformers


class LoadedTorch:
    """A model, and the cache of the sequences that are going."""

    def __init__(self, folder: str, dtype: str, threads: int) -> None:
        self.torch: Any = import_module("torch")
        self.torch.set_num_threads(threads)
        self.model = (
            library()
            .AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(self.torch, dtype))
            .eval()
        )
        self.cache: Any = None

    def start(self, prompts: Sequence[Sequence[int]]) -> None:
        self.cache = None
        self._forward(prompts)

    def step(self, tokens: Sequence[int]) -> None:
        self._forward([[token] for token in tokens])

    def logits(self, ids: Sequence[int]) -> Floats:
        with self.torch.inference_mode():
            logits = self.model(self.torch.tensor([ids]), use_cache=False).logits[0]
        numbers: Floats = logits.float().numpy()
        return numbers

    def close(self) -> None:
        self.cache = self.model = None

    def _forward(self, rows: Sequence[Sequence[int]]) -> None:
        with self.torch.inference_mode():
            made = self.model(
                self.torch.tensor(rows),
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=1,
            )
        self.cache = made.past_key_values
