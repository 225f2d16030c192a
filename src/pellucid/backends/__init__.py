"""How the forward is computed: native for speed; NumPy, the specification; torch for gradients."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from pellucid.errors import BackendError, ParameterError
from pellucid.model.backend import Backend

# name -> the options it takes; each is a module here, with a class of that name
BACKENDS = {
    "native": ("threads", "quantize", "cache_dtype"),
    "reference": (),
    "torch": ("dtype", "device"),
}


def backend(
    name: str = "native",
    *,
    dtype: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    quantize: str | None = None,
    cache_dtype: str | None = None,
) -> Backend:
    """A backend by name. `dtype` and `device` are torch's, the other options native's.

    Raises ParameterError for a name or a combination there is none of, and BackendError where
    what it needs is not installed.

    >>> backend("reference").name
    'reference'
    >>> backend("reference", dtype="bfloat16")
    Traceback (most recent call last):
    pellucid.errors.ParameterError: dtype: has no effect with the reference backend
    """
    if name not in BACKENDS:
        raise ParameterError("backend", f"must be one of {', '.join(BACKENDS)}, not {name!r}")
    if name == "torch" and find_spec("torch") is None:
        raise BackendError("the torch backend needs torch: pip install 'pellucid[torch]'")
    options = {
        "dtype": dtype, "device": device,
        "threads": threads, "quantize": quantize, "cache_dtype": cache_dtype,
    }  # fmt: skip
    given = {option: value for option, value in options.items() if value is not None}
    for option in given:
        if option not in BACKENDS[name]:
            raise ParameterError(option, f"has no effect with the {name} backend")
    made: Backend = getattr(import_module(f"pellucid.backends.{name}"), name.capitalize())(**given)
    return made
