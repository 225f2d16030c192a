"""How the forward is computed: NumPy, the specification; torch, for gradients and GPUs."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from pellucid.errors import BackendError, ParameterError
from pellucid.model.ops import Ops

BACKENDS = ("reference", "torch")
DTYPES = ("float32", "bfloat16")


def backend(name: str = "reference", *, dtype: str = "float32", device: str = "cpu") -> Ops:
    """The operations by name, computing in `dtype` on `device`.

    Raises ParameterError for a name or a combination there is none of, and BackendError where
    the package it needs is not installed.

    >>> backend("reference").name
    'reference'
    >>> backend("reference", dtype="bfloat16")
    Traceback (most recent call last):
    pellucid.errors.ParameterError: dtype: the reference backend computes in float32 only
    """
    if name not in BACKENDS:
        raise ParameterError("backend", f"must be one of {', '.join(BACKENDS)}, not {name!r}")
    if dtype not in DTYPES:
        raise ParameterError("dtype", f"must be one of {', '.join(DTYPES)}, not {dtype!r}")
    if name == "reference":
        if dtype != "float32":
            raise ParameterError("dtype", "the reference backend computes in float32 only")
        if device != "cpu":
            raise ParameterError("device", "the reference backend computes on the cpu only")
        ops: Ops = import_module("pellucid.backends.reference").Reference()
        return ops
    if find_spec("torch") is None:
        raise BackendError("the torch backend needs torch: pip install 'pellucid[torch]'")
    torch_ops: Ops = import_module("pellucid.backends.torch").Torch(dtype, device)
    return torch_ops
