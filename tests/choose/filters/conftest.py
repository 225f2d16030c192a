"""transformers' processors run on one thread: on small tensors, several wait for each other."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

# Doctests are looked for in every module, and these need the library.
collect_ignore = [] if find_spec("llama_cpp") else ["llamacpp.py", "make_llamacpp.py"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
