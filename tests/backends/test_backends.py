"""A backend by name, and what is said where there is none."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from pellucid import backends
from pellucid.backends import backend
from pellucid.errors import BackendError, ParameterError, PellucidError


@pytest.mark.parametrize(("given", "words"), [
    ({"name": "jax"}, "backend: must be one of native, reference, torch, not 'jax'"),
    ({"name": "torch", "dtype": "float16"}, "dtype: must be float32 or bfloat16, not 'float16'"),
    ({"dtype": "bfloat16"}, "dtype: has no effect with the native backend"),
    ({"name": "reference", "device": "cuda"}, "device: has no effect with the reference backend"),
    ({"name": "torch", "threads": 2}, "threads: has no effect with the torch backend"),
    ({"quantize": "q5"}, "quantize: must be one of q8, q4, not 'q5'"),
    ({"name": "torch", "device": "abacus"}, "device: 'abacus' cannot be used: "),
    ({"name": "torch", "device": "cuda:99"}, "device: 'cuda:99' cannot be used: "),
    ({"name": "torch", "device": "meta"}, "device: 'meta' cannot be used: "),
    ({"name": "torch", "device": 7.5}, "device: 7.5 cannot be used: "),
    ({"name": "torch", "device": "meta:x"}, "device: 'meta:x' cannot be used: "),
])  # fmt: skip
def test_what_there_is_none_of_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError) as caught:
        backend(**given)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match=r"pip install 'pellucid\[torch\]'"):
        backend("torch")
    assert issubclass(BackendError, PellucidError)


def test_the_default_imports_no_torch() -> None:
    code = "import sys, pellucid.backends as b; b.backend(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
