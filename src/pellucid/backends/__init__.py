"""How the forward is computed: native, for speed; NumPy, the specification; torch, for gradients."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from pellucid.errors import BackendError, ParameterError
from pellucid.model.backend import Backend

BACKENDS = ("native", "reference", "torch")
DTYPES = ("float32", "bfloat16")


def backend(name: str = "native", *, dtype: str = "float32", device: str = "cpu") -> Backend:
    """A backend by name, computing in `dtype` on `device`; only torch has a choice of these.

    Raises ParameterError for a name or a combination there is none of, and BackendError where
    what it needs is not installed.

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
    if name == "torch":
        return _torch(dtype, device)
    if dtype != "float32":
        raise ParameterError("dtype", f"the {name} backend computes in float32 only")
    if device != "cpu":
        raise ParameterError("device", f"the {name} backend computes on the cpu only")
    made: Backend = getattr(import_module(f"pellucid.backends.{name}"), name.capitalize())()
    return made


def _torch(dtype: str, device: str) -> Backend:
    if find_spec("torch") is None:
        raise BackendError("the torch backend needs torch: pip install 'pellucid[torch]'")
    made: Backend = import_module("pellucid.backends.torch").Torch(dtype, device)
    return made
