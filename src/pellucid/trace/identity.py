"""Whether a trace is of a model: what it says of it must be so before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pellucid.errors import ParameterError
from pellucid.trace.origin import Origin
from pellucid.trace.trace import Trace


def check_identity(trace: Trace, origin: Origin, bytes_of: Callable[[int], bytes]) -> None:
    """Raises ParameterError for a trace of another model than this `origin`, and for one that says
    other things of it: a file may hold anything beside the fingerprint of a model.
    """
    told, config = trace.origin, origin.config
    if told.fingerprint != origin.fingerprint:
        raise ParameterError("trace", f"is of another model, {told.name}; this is {origin.name}")
    if len(trace.ids) > config.context_length:
        reason = f"has {len(trace.ids)} tokens; the model's context has {config.context_length}"
        need = f"open it with context_length={told.config.context_length}"
        raise ParameterError("trace", f"{reason}: {need}")
    if replace(told.config, context_length=config.context_length) != config:
        reason = "describes this model otherwise than its files do"
        need = f"open it with context_length={told.config.context_length}, or make the trace again"
        raise ParameterError("trace", f"{reason}: {need}")
    for token, piece in trace.words.items():
        if bytes_of(token) != piece:
            reason = f"says {piece!r:.40} of token {token}, which is {bytes_of(token)!r:.40}"
            raise ParameterError("trace", f"{reason} in this model: it was altered")
