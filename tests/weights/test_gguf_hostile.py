"""GGUF files from strangers: the unusual is read, the broken is refused with a reason."""

from __future__ import annotations

import struct
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pellucid.errors import FormatError, UnsupportedError
from pellucid.weights.gguf import read_gguf

HUGE = (1 << 63) - 1
U8, U32, F32, BOOL, STRING, ARRAY, U64 = 0, 4, 6, 7, 8, 9, 10


def text(value: str | bytes, length: int | None = None) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data) if length is None else length) + data


def pair(key: str | bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def array(kind: int, count: int, items: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, count) + items


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def tensor(name: str | bytes, dims: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    axes = struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
    return text(name) + axes + struct.pack("<IQ", kind, offset)


def gguf_bytes(pairs=(), tensors=(), data=b"", version=3, keys=None, count=None, align=32) -> bytes:
    counts = (len(tensors) if count is None else count, len(pairs) if keys is None else keys)
    head = b"GGUF" + struct.pack("<IQQ", version, *counts) + b"".join((*pairs, *tensors))
    return head + bytes(-len(head) % align) + data


def read(tmp_path: Path, data: bytes):
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    return read_gguf(path)


# -- What is sound, if unusual -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "shapes"),
    [
        (gguf_bytes(), {}),
        (gguf_bytes(version=2), {}),
        (gguf_bytes(tensors=[tensor("scalar", ())], data=bytes(4)), {"scalar": ()}),
        (gguf_bytes(tensors=[tensor("empty", (0,))]), {"empty": (0,)}),
        (gguf_bytes(tensors=[tensor("empty", (32, 0), kind=8)]), {"empty": (0, 32)}),
        (gguf_bytes(tensors=[tensor("empty", (0, 4, 3))]), {"empty": (3, 4, 0)}),
        (gguf_bytes(tensors=[tensor("t", (1, 2, 3, 4))], data=bytes(96)), {"t": (4, 3, 2, 1)}),
        (gguf_bytes(tensors=[tensor("t", (2,), offset=64)], data=bytes(72)), {"t": (2,)}),
        (gguf_bytes(tensors=[tensor("t", (2,))], data=bytes(1000)), {"t": (2,)}),
    ],
    ids=["nothing", "version 2", "scalar", "no numbers", "no rows", "no columns", "four axes",
         "a gap", "bytes behind"],
)  # fmt: skip
def test_the_unusual_but_valid_is_accepted(tmp_path, data, shapes):
    tensors = read(tmp_path, data).tensors
    assert {name: t.shape for name, t in tensors.items()} == shapes
    assert {name: t.float32().shape for name, t in tensors.items()} == shapes


def test_tokens_that_are_not_utf8_can_be_had_as_bytes(tmp_path):
    items = text("ok") + text(b"\xe2\x96") + text("")
    tokens = read(tmp_path, gguf_bytes([pair("tokens", ARRAY, array(STRING, 3, items))]))
    tokens = tokens.metadata["tokens"]
    assert len(tokens) == 3
    assert (tokens[0], tokens[-1], tokens[0:1]) == ("ok", "", ["ok"])
    assert (tokens.bytes(1), tokens.bytes(-3)) == (b"\xe2\x96", b"ok")
    assert list(tokens.all_bytes()) == [b"ok", b"\xe2\x96", b""]
    for reading in (lambda: tokens[1], lambda: list(tokens)):
        with pytest.raises(FormatError, match=r"key tokens\[1\]: not UTF-8"):
            reading()
    for i in (3, -4):
        with pytest.raises(IndexError):
            tokens.bytes(i)


# -- What is broken -------------------------------------------------------------------------------

STRINGS_4_BILLION_LONG = array(STRING, 2, text("a", length=1 << 32) + text("b"))
NESTED = b"".join(array(ARRAY, 1) for _ in range(3000))
BIG_ENDIAN = b"GGUF" + struct.pack(">IQQ", 3, 0, 0)
TWO_AT_ONE_PLACE = [tensor("a", (8,)), tensor("b", (8,))]
OVERLAPPING = [tensor("a", (16,)), tensor("b", (8,), offset=32)]

HOSTILE = {
    "no bytes": (b"", FormatError, "the file is empty"),
    "magic alone": (b"GGUF", FormatError, "version: goes beyond the file's end"),
    "wrong magic": (b"GGML" + bytes(20), FormatError, "does not begin with GGUF"),
    "version 0": (gguf_bytes(version=0), FormatError, "version 0 is unknown"),
    "version 1": (gguf_bytes(version=1), UnsupportedError, "convert the model again"),
    "version 99": (gguf_bytes(version=99), FormatError, "version 99 is unknown"),
    "big-endian": (BIG_ENDIAN, UnsupportedError, "big-endian"),
    "keys near 2^63": (gguf_bytes(keys=HUGE), FormatError, "keys do not fit"),
    "keys that could fit": (gguf_bytes(keys=50_000, data=bytes(10**6)), UnsupportedError, "keys"),
    "tensors near 2^63": (gguf_bytes(count=HUGE), FormatError, "tensors do not fit"),
    "tensors missing": (gguf_bytes(count=1, data=bytes(8)), FormatError, "goes beyond"),
    "key length near 2^63": (
        gguf_bytes([text("k", length=HUGE) + bytes(20)]), FormatError, "at most 65535",
    ),
    "key cut": (gguf_bytes([text("k", length=1000) + bytes(20)]), FormatError, "goes beyond"),
    "key not UTF-8": (gguf_bytes([pair(b"\xff", U8, b"\0")]), FormatError, "not UTF-8 at byte 0"),
    "key with NUL": (gguf_bytes([pair("a\0b", U8, b"\0")]), FormatError, r"'a\\x00b' is not"),
    "key given twice": (
        gguf_bytes([pair("k", U8, b"\1"), pair("k", U8, b"\2")]), FormatError, "k: given twice",
    ),
    "string length near 2^63": (
        gguf_bytes([pair("k", STRING, text("", length=HUGE))]), FormatError, "key k: a string of",
    ),
    "string not UTF-8": (
        gguf_bytes([pair("k", STRING, text(b"ab\xff"))]), FormatError, "not UTF-8 at byte 2",
    ),
    "array length near 2^63": (
        gguf_bytes([pair("k", ARRAY, array(U8, HUGE))]), FormatError, "key k: goes beyond",
    ),
    "array whose bytes wrap": (
        gguf_bytes([pair("k", ARRAY, array(U64, 1 << 61))]), FormatError, "key k: goes beyond",
    ),
    "string array near 2^63": (
        gguf_bytes([pair("k", ARRAY, array(STRING, HUGE))]), FormatError, "more than the file",
    ),
    "string array too long": (
        gguf_bytes([pair("k", ARRAY, array(STRING, 5_000_000))], data=bytes(40_000_000)),
        UnsupportedError, "at most 4194304",
    ),
    "string in array too long": (
        gguf_bytes([pair("k", ARRAY, STRINGS_4_BILLION_LONG)]), FormatError, r"key k\[0\]",
    ),
    "string in array near 2^63": (
        gguf_bytes([pair("k", ARRAY, array(STRING, 2, text("a", HUGE) + text("b")))]),
        FormatError, r"key k\[0\]: the string goes beyond",
    ),
    "last string too long": (
        gguf_bytes([pair("k", ARRAY, array(STRING, 1, text("", 1000)))]), FormatError, r"k\[0\]",
    ),
    "arrays nested 3,000 deep": (
        gguf_bytes([pair("k", ARRAY, NESTED)]), UnsupportedError, "arrays within arrays",
    ),
    "unknown value type": (
        gguf_bytes([pair("k", 99, b"\0")]), FormatError, "key k: the value type 99 is unknown",
    ),
    "unknown item type": (
        gguf_bytes([pair("k", ARRAY, array(99, 0))]), FormatError, "value type 99 is unknown",
    ),
    "a bool of 7": (gguf_bytes([pair("k", BOOL, b"\7")]), FormatError, "7 is no boolean"),
    "bools of 7": (
        gguf_bytes([pair("k", ARRAY, array(BOOL, 3, b"\0\7\1"))]), FormatError, "7 is no boolean",
    ),
    "a number of parts that is an array": (
        gguf_bytes([pair("split.count", ARRAY, array(U32, 2, bytes(8)))]),
        FormatError, "file 0 of 1, but it calls itself None of None",
    ),
    "alignment 0": (
        gguf_bytes([pair("general.alignment", U32, u32(0))]), FormatError, "power of two, not '0'",
    ),
    "alignment 13": (
        gguf_bytes([pair("general.alignment", U32, u32(13))]), FormatError, "not '13'",
    ),
    "alignment a string": (
        gguf_bytes([pair("general.alignment", STRING, text("32"))]), FormatError, "power of two",
    ),
    "alignment a bool": (
        gguf_bytes([pair("general.alignment", BOOL, b"\1")]), FormatError, "not 'True'",
    ),
    "alignment 2^31": (
        gguf_bytes([pair("general.alignment", U32, u32(1 << 31))], [tensor("t", (1,))], bytes(64)),
        FormatError, "beyond the file",
    ),
    "5 dimensions": (
        gguf_bytes(tensors=[tensor("t", (1,) * 5)], data=bytes(64)), FormatError, "5 dimensions",
    ),
    "2^31 dimensions": (
        gguf_bytes(tensors=[text("t") + u32(1 << 31)], data=bytes(64)), FormatError, "2147483648",
    ),
    "dimensions whose product wraps": (
        gguf_bytes(tensors=[tensor("t", (1 << 32, 1 << 32))], data=bytes(64)),
        FormatError, "beyond any memory",
    ),
    "no numbers in 2^63 rows": (
        gguf_bytes(tensors=[tensor("t", (0, HUGE))]), FormatError, "beyond any memory",
    ),
    "offset past the end": (
        gguf_bytes(tensors=[tensor("t", (8,), offset=64)], data=bytes(64)),
        FormatError, "tensor t: ends at byte",
    ),
    "offset near 2^63": (
        gguf_bytes(tensors=[tensor("t", (8,), offset=HUGE - 31)], data=bytes(64)),
        FormatError, "tensor t: ends at byte",
    ),
    "offset misaligned": (
        gguf_bytes(tensors=[tensor("t", (8,), offset=16)], data=bytes(64)),
        FormatError, "offset 16 is not a multiple of 32",
    ),
    "tensors at one place": (
        gguf_bytes(tensors=TWO_AT_ONE_PLACE, data=bytes(64)), FormatError, "b: overlaps tensor a",
    ),
    "tensors overlapping": (
        gguf_bytes(tensors=OVERLAPPING, data=bytes(64)), FormatError, "b: overlaps tensor a",
    ),
    "tensor given twice": (
        gguf_bytes(tensors=[tensor("t", (8,)), tensor("t", (8,), offset=32)], data=bytes(64)),
        FormatError, "tensor t: given twice",
    ),
    "tensor cut short": (
        gguf_bytes(tensors=[tensor("t", (8,))], data=bytes(31)), FormatError, "beyond the file's",
    ),
    "tensor name with ../": (
        gguf_bytes(tensors=[tensor("../t", (8,))], data=bytes(32)), FormatError, "not allowed",
    ),
    "tensor name that turns text around": (
        gguf_bytes(tensors=[tensor("a\u202eb", (8,))], data=bytes(32)), FormatError, "u202eb",
    ),
    "an unknown kind": (
        gguf_bytes(tensors=[tensor("t", (256,), kind=77)], data=bytes(999)),
        FormatError, "the tensor type 77 is unknown",
    ),
    "a kind that is not read": (
        gguf_bytes(tensors=[tensor("t", (256,), kind=16)], data=bytes(999)),
        UnsupportedError, "kind IQ2_XXS, which is not read",
    ),
    "a kind that was removed": (
        gguf_bytes(tensors=[tensor("t", (256,), kind=31)], data=bytes(999)),
        UnsupportedError, "Q4_0_4_4, which GGML removed",
    ),
    "half a block": (
        gguf_bytes(tensors=[tensor("t", (48, 2), kind=2)], data=bytes(999)),
        FormatError, "rows of 48 numbers do not fill Q4_0 blocks of 32",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("data", "error", "message"), HOSTILE.values(), ids=HOSTILE)
def test_the_hostile_is_refused_with_a_reason(tmp_path, data, error, message):
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(error, match=message) as raised:
            read(tmp_path, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < 10  # it loops over nothing that a file claims
    assert peak < len(data) + 1_000_000
    assert str(tmp_path / "model.gguf") in str(raised.value)
    assert "\n" not in str(raised.value)


# -- Damage ---------------------------------------------------------------------------------------

SOUND = gguf_bytes(
    [
        pair("general.alignment", U32, u32(32)),
        pair("name", STRING, text("a model")),
        pair("tokens", ARRAY, array(STRING, 3, text("a") + text("") + text("ccc"))),
        pair("scores", ARRAY, array(F32, 2, bytes(8))),
        pair("flag", BOOL, b"\1"),
    ],
    [tensor("a", (32, 2), kind=2), tensor("b", (3,), offset=64)],
    bytes(64 + 12),
)


def use(contents) -> None:
    """Look at everything that a file gave."""
    for value in contents.metadata.values():
        if not isinstance(value, (int, float, str)):
            list(value)
    with np.errstate(all="ignore"):
        for weights in contents.tensors.values():
            assert weights.float32().shape == weights.shape


def test_the_file_that_is_to_be_damaged_is_sound(tmp_path):
    use(read(tmp_path, SOUND))


def test_a_file_cut_anywhere_is_refused(tmp_path):
    for size in range(len(SOUND)):
        with pytest.raises(FormatError):
            read(tmp_path, SOUND[:size])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), min_size=1, max_size=6
    ),
    st.integers(0, len(SOUND)),
)
def test_damage_is_refused_or_harmless(tmp_path, changes, size):
    data = bytearray(SOUND)
    for at, value in changes:
        data[at] = value
    with suppress(FormatError, UnsupportedError):
        use(read(tmp_path, bytes(data[:size])))


@pytest.mark.parametrize("flip", [0x80, 0xFF])
def test_every_byte_of_the_head_may_be_wrong(tmp_path, flip):
    for at in range(len(SOUND) - 76):
        data = bytearray(SOUND)
        data[at] ^= flip
        with suppress(FormatError, UnsupportedError):
            use(read(tmp_path, bytes(data)))
