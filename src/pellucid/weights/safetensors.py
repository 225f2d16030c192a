"""Safetensors files: a JSON header that says where each tensor is, then their bytes.

The format is described at https://github.com/huggingface/safetensors: 8 bytes of header length,
a JSON object `{name: {dtype, shape, data_offsets}}`, and the tensors without a gap.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pellucid.errors import FormatError, UnsupportedError
from pellucid.weights.kinds import SAFETENSORS, SAFETENSORS_UNREAD
from pellucid.weights.mapped import MappedFile
from pellucid.weights.strict_json import parse_object
from pellucid.weights.tensor import Kind, Tensor

# The largest published files hold about a thousand tensors (DeepSeek-V3: 92,000 in 163 files). The
# public reader allows headers of 100 MB, and takes 12 s and 1.45 GB for such a one.
_MAX_HEADER_BYTES = 8 << 20
_MAX_TENSORS = 1 << 16
_MAX_INDEX_BYTES = 32 << 20

Span = tuple[int, int, str]  # from byte, to byte, of the tensor's name


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of one file, by name, in the header's order; none of their bytes is read.

    Raises FormatError unless the file is exactly as the format says, without a byte too many,
    and UnsupportedError for a dtype that exists but is not in `kinds.SAFETENSORS`.
    """
    return read_annotated(path)[0]


def read_annotated(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of one file, and the texts in its metadata. Raises as `read_safetensors`."""
    file = MappedFile(path)
    header_bytes = int.from_bytes(file.view[:8], "little")
    start = 8 + header_bytes
    header = _header(file, header_bytes)
    if len(header) > _MAX_TENSORS:
        raise file.error("header", f"{len(header)} tensors, at most {_MAX_TENSORS} are read")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise file.error("__metadata__", "only strings by name are allowed")
    tensors, spans = {}, []
    for name, entry in header.items():
        file.check_name(name, "header")
        kind, shape, begin, end = _entry(file, name, entry)
        tensor = file.tensor(name, shape, kind, start + begin)
        if tensor.nbytes != end - begin:
            reason = f"{end - begin} bytes, but {kind.name} {list(shape)} takes {tensor.nbytes}"
            raise file.error(f"tensor {name}", reason)
        tensors[name] = tensor
        spans.append((begin, end, name))
    _check_spans(file, spans, file.size - start)
    return tensors, metadata


def read_sharded(index: Path) -> dict[str, Tensor]:
    """The tensors of all files that an index (model.safetensors.index.json) names.

    Raises FormatError for a file that is missing or outside the index's folder, and for tensors
    that are twice there, or not where the index says.
    """
    weight_map = _weight_map(index)
    tensors: dict[str, Tensor] = {}
    for shard in sorted(set(weight_map.values())):
        path = index.parent / shard
        if not path.is_file():
            raise FormatError(index, shard, "the file is missing; fetch the model again")
        for name, tensor in read_safetensors(path).items():
            expected = weight_map.get(name, shard)
            if name in tensors or expected != shard:
                place = "also in another file" if name in tensors else f"it should be in {expected}"
                raise FormatError(index, f"tensor {name}", f"in {shard}, but {place}")
            tensors[name] = tensor
    for name, shard in weight_map.items():
        if name not in tensors:
            raise FormatError(index, f"tensor {name}", f"should be in {shard} but is not")
    return tensors


def _header(file: MappedFile, header_bytes: int) -> dict[str, Any]:
    if file.size < 8 or header_bytes > file.size - 8:
        reason = f"a header of {header_bytes} bytes does not fit in a file of {file.size}"
        raise file.error("header", reason)
    if header_bytes > _MAX_HEADER_BYTES:
        raise file.error("header", f"{header_bytes} bytes, at most {_MAX_HEADER_BYTES} are read")
    data = file.view[8 : 8 + header_bytes].tobytes()
    if not data.startswith(b"{"):
        raise file.error("header", f"must begin with a brace, not {data[:1]!r}")
    return parse_object(data, file.path, "header")


def _entry(file: MappedFile, name: str, entry: Any) -> tuple[Kind, tuple[int, ...], int, int]:
    """What the header says of one tensor: kind, shape, first byte, byte after the last."""
    place = f"tensor {name}"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise file.error(place, "exactly dtype, shape and data_offsets must be given")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not _are_sizes(shape):
        raise file.error(place, "the shape must be a list of whole numbers from 0 up")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise file.error(place, "data_offsets must be two whole numbers in ascending order")
    if offsets[1] >= 1 << 64:  # Python writes no more than 4,300 digits, so an error could not
        raise file.error(place, "data_offsets are beyond 64 bits")
    kind = SAFETENSORS.get(dtype) if isinstance(dtype, str) else None
    if kind is None and str(dtype) in SAFETENSORS_UNREAD:
        raise UnsupportedError(f"{file.path}: {place}: numbers of kind {dtype} cannot be read")
    if kind is None:
        raise file.error(place, f"the dtype {str(dtype)[:40]!r} is unknown")
    return kind, tuple(shape), offsets[0], offsets[1]


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)


def _check_spans(file: MappedFile, spans: list[Span], data_bytes: int) -> None:
    """Tensors must follow each other without overlap or hole, up to the file's last byte."""
    reached, last = 0, "the header"
    for begin, end, name in sorted(spans):
        if begin != reached:
            what = "overlaps" if begin < reached else "leaves a hole after"
            raise file.error(f"tensor {name}", f"{what} {last} (byte {begin} of the data)")
        reached, last = end, name
    if reached != data_bytes:
        raise file.error("", f"{data_bytes - reached} bytes after the last tensor belong to none")


def _weight_map(index: Path) -> dict[str, str]:
    file = MappedFile(index)
    if file.size > _MAX_INDEX_BYTES:
        raise file.error("", f"{file.size} bytes, at most {_MAX_INDEX_BYTES} are read")
    weight_map = parse_object(file.view.tobytes(), index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise file.error("weight_map", "an object that names a file for each tensor is expected")
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or not shard.endswith(".safetensors"):
            raise file.error(f"tensor {name}", f"{str(shard)[:80]!r} is not a safetensors file")
        file.check_name(shard, f"tensor {name}")
        if "/" in shard or "\\" in shard or ":" in shard:
            raise file.error(f"tensor {name}", f"{shard!r} is not in the index's own folder")
    return weight_map
