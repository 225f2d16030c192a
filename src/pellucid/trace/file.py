"""A trace as a file: safetensors, whose metadata "pellucid.trace" is the JSON of the rest.

docs/trace.md describes it. Numbers are tensors: `ids`, `words.*`, `values/<site>`,
`readings/<number>/<array>`, `generation/...`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from pellucid.choose.parameters import parameters
from pellucid.errors import FormatError, ParameterError, PellucidError, UnsupportedError
from pellucid.model import sites
from pellucid.model.config import MOST_HEADS, MOST_LAYERS, ModelConfig
from pellucid.model.probe import Edit
from pellucid.trace import answer, form
from pellucid.trace.columns import whole, within
from pellucid.trace.origin import Origin
from pellucid.trace.readings import expected
from pellucid.trace.trace import Array, Reading, Trace
from pellucid.weights.safetensors import read_annotated, write_annotated
from pellucid.weights.tensor import Tensor

VERSION = 2
KEY = "pellucid.trace"
_MOST_TEXT = 6 << 20  # of a header of 8 MiB, which `weights/safetensors.py` reads
_DAMAGE = (
    KeyError, TypeError, ValueError, IndexError, OverflowError, RecursionError, ParameterError,
)  # fmt: skip
_SIZES = {  # of a model: names, and the most that there can be
    **dict.fromkeys(("vocab_size", "hidden_size", "intermediate_size", "context_length"), 1 << 31),
    "layers": MOST_LAYERS,
    **dict.fromkeys(("heads", "kv_heads", "head_dim"), MOST_HEADS),
}
_SMALL, _LARGE = 1e-6, 1e6  # scales of attention: beyond, float32 has no scores
_DTYPES = {"F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U8": "u1"}


class _Origin(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    fingerprint: str
    backend: str
    settings: dict[str, str]
    config: ModelConfig


class _Reading(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    arguments: dict[str, Any]


class _Version(msgspec.Struct):
    version: int


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON, checked field by field."""

    version: int
    origin: _Origin
    text: str
    prompt_length: int
    messages: list[dict[str, Any]] | None
    template: str | None
    parameters: dict[str, Any]
    edits: list[dict[str, Any]]
    readings: list[_Reading]
    generation: answer.Words | None


def save(trace: Trace, path: Path) -> None:
    """Write a trace; what was there is replaced only by a whole file.

    Raises OSError, and ParameterError where there is more to be said than a header holds: changes
    that carry many numbers.
    """
    said, tensors = _generation(trace)
    header = _Header(
        VERSION,
        _Origin(**{**vars(trace.origin), "settings": dict(trace.origin.settings)}),
        trace.text,
        trace.prompt_length,
        None if trace.messages is None else [dict(message) for message in trace.messages],
        trace.template,
        dict(trace.parameters),
        list(trace.edits),
        [_Reading(reading.name, dict(reading.arguments)) for reading in trace.readings],
        said,
    )
    tensors |= {"ids": np.array(trace.ids, np.int64), **_words(trace.words)}
    tensors |= {f"values/{site}": value for site, value in trace.values.items()}
    for number, reading in enumerate(trace.readings):
        tensors |= {f"readings/{number}/{name}": a for name, a in reading.arrays.items()}
    text = msgspec.json.encode(header).decode()
    if len(text) > _MOST_TEXT:
        reason = f"{len(text) >> 20} MiB of text, and a header has room for {_MOST_TEXT >> 20}"
        raise ParameterError("trace", f"{reason}: change less, such as fewer rows of a patch")
    _write(path, tensors, text)


def is_trace(path: Path) -> bool:
    """Whether a file is a trace, of whatever version; never an error."""
    if not path.is_file():
        return False
    with suppress(PellucidError):
        return KEY in read_annotated(path)[1]
    return False


def open_trace(path: Path) -> Trace:
    """The trace in a file; values stay in the memory map until they are looked at.

    Raises FormatError for a file that is none, or damaged, and UnsupportedError for one of another
    version.
    """
    try:
        tensors, metadata = read_annotated(path)
    except FormatError as error:
        raise FormatError(path, error.place, f"{error.reason}; is it a trace?") from None
    if KEY not in metadata:
        raise FormatError(path, "", "is no trace: `pellucid trace` writes one")
    with _read(path):
        header = _header(path, metadata[KEY])
        arrays = {name: _array(tensor) for name, tensor in tensors.items()}
        _check_config(header.origin.config)
        trace = _made(header, arrays, str(path))
        _check(trace)
        if header.text != trace.text:
            raise ValueError("its text is not that of its tokens")
        return trace


def _made(header: _Header, arrays: Mapping[str, Array], file: str) -> Trace:
    """What the header and the arrays say, of which each has its kind, and is not checked else."""
    ids = tuple(whole(arrays, "ids").tolist())
    if not 0 < header.prompt_length <= len(ids):
        raise ValueError(f"a prompt of {header.prompt_length} of {len(ids)} tokens")
    said, numbers = header.generation, within(arrays, "generation/")
    readings = [
        Reading(one.name, one.arguments, within(arrays, f"readings/{number}/"))
        for number, one in enumerate(header.readings)
    ]
    values = _values(arrays, header.origin.config)
    return Trace(
        Origin(**{name: getattr(header.origin, name) for name in _Origin.__struct_fields__}),
        ids,
        header.prompt_length,
        _read_words(arrays),
        header.messages,
        header.template,
        header.parameters,
        answer.unpacked(said, numbers, ids[: header.prompt_length]) if said else None,
        header.edits,
        values,
        readings,
        file,
        frozenset(values),
    )


def _header(path: Path, text: str) -> _Header:
    version = msgspec.json.decode(text, type=_Version).version
    if version != VERSION:
        reason = f"this Pellucid reads version {VERSION}"
        raise UnsupportedError(f"{path}: a trace of version {version}; {reason}")
    return msgspec.json.decode(text, type=_Header)


def _check_config(config: ModelConfig) -> None:
    """Raises ValueError for a model that there cannot be: what is counted is gone through later."""
    for name, most in _SIZES.items():
        if not 0 < getattr(config, name) <= most:
            raise ValueError(f"a model of {name} {getattr(config, name)}, not 1 to {most}")
    if config.heads % config.kv_heads:
        raise ValueError(f"a model of {config.heads} heads, which {config.kv_heads} do not divide")
    for number in (config.attention_scale, config.attention_softcap or 1):
        if not _SMALL <= number <= _LARGE:
            raise ValueError(f"a model that scales its attention by {number}")
    if not all(window is None or window > 0 for window in config.window):
        raise ValueError("a model with windows that show nothing")
    kinds = [config.rope, config.window, *([config.experts.layers] if config.experts else [])]
    if any(len(kind) != config.layers for kind in kinds):
        raise ValueError(f"a model of {config.layers} layers describes others")


def _check(trace: Trace) -> None:
    """What no trace is without. Raises ValueError or ParameterError."""
    config, said = trace.config, trace.generation
    parameters(**trace.parameters)
    for number, told in enumerate(trace.edits):
        _check_edit(config, number, told)
    if len(trace.ids) > config.context_length:
        raise ValueError(f"{len(trace.ids)} tokens, and a context of {config.context_length}")
    if trace.ids[trace.prompt_length :] != (said.ids if said else ()):
        raise ValueError("the tokens behind the prompt are not those of the answer")
    for token in trace.ids:
        if not 0 <= token < config.vocab_size or token not in trace.words:
            raise ValueError(f"token {token} has no bytes")
    for number, reading in enumerate(trace.readings):
        _check_reading(trace, number, reading)


def _check_edit(config: ModelConfig, number: int, told: dict[str, Any]) -> None:
    """Raises ValueError where it can be no edit of this model; of a function's only what it does is
    unknown.
    """
    if not isinstance(told.get("site"), str):
        raise ValueError(f"edit {number} has no site")
    by_function = isinstance(told.get("change"), str)
    try:
        Edit.from_dict({**told, "change": {"name": "zero"}} if by_function else told).check(config)
    except ParameterError as error:
        raise ValueError(f"edit {number}: {error.reason}") from error


def _check_reading(trace: Trace, number: int, reading: Reading) -> None:
    """Raises ValueError where it is not what a reading of this name and these arguments gives."""
    try:
        forms = expected(trace, reading.name, reading.arguments)
        form.check(forms, reading.arrays, trace.largest)
    except (*_DAMAGE, UnsupportedError) as error:
        raise ValueError(f"reading {number}, {reading.name[:80]!r}: {error}") from error


def _values(arrays: Mapping[str, Array], config: ModelConfig) -> dict[str, Array]:
    """What was watched, in the order of the forward; a safetensors file sorts names otherwise."""
    stored, rows = within(arrays, "values/"), len(arrays["ids"])
    known = [site for site in sites.names(config) if site in stored]
    for site in stored.keys() - set(known):
        raise ValueError(f"{site[:80]!r} is no site of this model")
    for site, value in stored.items():
        expected = (rows, *sites.shape(site, config, rows))
        if value.shape != expected or value.dtype != np.float32:
            shape = f"{value.dtype} {list(value.shape)}"
            raise ValueError(f"{site} is {shape}, not float32 {list(expected)}")
    return {site: stored[site] for site in known}


@contextmanager
def _read(path: Path) -> Iterator[None]:
    """What can be wrong with a trace, as one error."""
    try:
        yield
    except _DAMAGE as error:
        told = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise FormatError(path, KEY, told[:300]) from error


def _generation(trace: Trace) -> tuple[answer.Words | None, dict[str, Array]]:
    if trace.generation is None:
        return None, {}
    said, arrays = answer.packed(trace.generation)
    return said, {f"generation/{name}": array for name, array in arrays.items()}


def _words(words: Mapping[int, bytes]) -> dict[str, Array]:
    """Ids, all their bytes one after the other, and where each ends."""
    return {
        "words.ids": np.fromiter(words, np.int64),
        "words.bytes": np.frombuffer(b"".join(words.values()), np.uint8),
        "words.ends": np.cumsum([len(piece) for piece in words.values()], dtype=np.int64),
    }


def _read_words(arrays: Mapping[str, Array]) -> dict[int, bytes]:
    """The bytes of each token, each byte once: overlapping ones could be more than memory holds."""
    data, ends = arrays["words.bytes"].tobytes(), whole(arrays, "words.ends")
    starts = np.concatenate([[0], ends[:-1]])
    if (ends < starts).any() or ends[-1:].tolist() != [len(data)]:
        raise ValueError("words.ends do not part words.bytes")
    pairs = zip(starts.tolist(), ends.tolist(), strict=True)
    pieces = [data[start:end] for start, end in pairs]
    return dict(zip(whole(arrays, "words.ids").tolist(), pieces, strict=True))


def _array(tensor: Tensor) -> Array:
    if tensor.kind.name not in _DTYPES:
        raise ValueError(f"{tensor.name} is of kind {tensor.kind.name}, which no trace has")
    flat = np.ascontiguousarray(tensor.data).reshape(-1)
    return flat.view(_DTYPES[tensor.kind.name]).reshape(tensor.shape)


def _write(path: Path, tensors: Mapping[str, Array], header: str) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("xb") as file:
            write_annotated(file, tensors, {KEY: header})
        os.replace(scratch, path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
