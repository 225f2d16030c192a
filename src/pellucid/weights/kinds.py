"""The kinds of numbers that files hold: one table for safetensors, one for GGUF.

Adding a kind is a row here, and for a packed one a function in `blocks.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import numpy as np

from pellucid.weights import blocks as b
from pellucid.weights.tensor import PLAIN, Bytes, Floats, Kind


def _plain(name: str, dtype: str, scales: tuple[int, ...] | None = None) -> Kind:
    """One number a block, of a type that numpy has; little-endian."""
    stored = np.dtype(dtype)

    def unpack(blocks: Bytes) -> Floats:
        with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite; is_finite tells
            numbers: Floats = blocks.view(stored).astype(np.float32)
            return numbers

    return Kind(name, 1, stored.itemsize, unpack, scales)


def _unpack_bf16(blocks: Bytes) -> Floats:
    """bfloat16 is the upper half of a float32."""
    numbers: Floats = (blocks.view("<u2").astype(np.uint32) << 16).view(np.float32)
    return numbers


def _unpack_bool(blocks: Bytes) -> Floats:
    return np.minimum(blocks, 1).astype(np.float32)


def _small_float(name: str, exponent_bits: int, infinities: bool) -> Kind:
    """A float of one byte, looked up in a table that is made on first use."""

    def unpack(blocks: Bytes) -> Floats:
        table: Floats = _small_float_table(exponent_bits, infinities)[blocks]
        return table

    return Kind(name, 1, 1, unpack)


@cache
def _small_float_table(exponent_bits: int, infinities: bool) -> Floats:
    """What each byte stands for (Micikevicius et al. 2022, arXiv:2209.05433, table 1).

    With `infinities` (E5M2) the top exponent holds infinity and NaN, as in IEEE 754; without
    (E4M3) it holds numbers too, and only the byte of all ones, either sign, is NaN.

    >>> _small_float_table(4, False)[[0x38, 0xC0, 0x7E, 0x7F]].tolist()
    [1.0, -2.0, 448.0, nan]
    """
    codes = np.arange(128)
    mantissa_bits = 7 - exponent_bits
    exponents, mantissas = np.divmod(codes, 1 << mantissa_bits)
    fractions = mantissas / (1 << mantissa_bits) + (exponents > 0)
    bias = (1 << exponent_bits - 1) - 1
    values = np.ldexp(fractions, np.maximum(exponents, 1) - bias)
    if infinities:
        top = exponents == (1 << exponent_bits) - 1
        values[top] = np.where(mantissas[top] == 0, np.inf, np.nan)
    else:
        values[127] = np.nan
    table: Floats = np.concatenate([values, -values]).astype(np.float32)
    return table


def _packed(
    fill: b.Fill, block_size: int, block_bytes: int, scales: tuple[int, ...] | None
) -> Kind:
    name = fill.__name__.upper()
    return Kind(name, block_size, block_bytes, b.unpacker(fill, block_size), scales)


_F16 = _plain("F16", "<f2", scales=(0,))
_F64 = _plain("F64", "<f8")
_BF16 = Kind("BF16", 1, 2, _unpack_bf16)
_I8 = _plain("I8", "i1", scales=())
_I16 = _plain("I16", "<i2", scales=())
_I32 = _plain("I32", "<i4", scales=())
_I64 = _plain("I64", "<i8", scales=())

SAFETENSORS: Mapping[str, Kind] = MappingProxyType({
    "F64": _F64,
    "F32": PLAIN,
    "F16": _F16,
    "BF16": _BF16,
    "F8_E4M3": _small_float("F8_E4M3", exponent_bits=4, infinities=False),
    "F8_E5M2": _small_float("F8_E5M2", exponent_bits=5, infinities=True),
    "I64": _I64,
    "I32": _I32,
    "I16": _I16,
    "I8": _I8,
    "U64": _plain("U64", "<u8", scales=()),
    "U32": _plain("U32", "<u4", scales=()),
    "U16": _plain("U16", "<u2", scales=()),
    "U8": _plain("U8", "u1", scales=()),
    "BOOL": Kind("BOOL", 1, 1, _unpack_bool, scales=()),
})  # fmt: skip
"""Kinds by the `dtype` of a safetensors header; all are read as float32."""

GGML: Mapping[int, Kind] = MappingProxyType({
    0: PLAIN,
    1: _F16,
    2: _packed(b.q4_0, 32, 18, (0,)),
    3: _packed(b.q4_1, 32, 20, (0, 2)),
    6: _packed(b.q5_0, 32, 22, (0,)),
    7: _packed(b.q5_1, 32, 24, (0, 2)),
    8: _packed(b.q8_0, 32, 34, (0,)),
    10: _packed(b.q2_k, 256, 84, (80, 82)),
    11: _packed(b.q3_k, 256, 110, (108,)),
    12: _packed(b.q4_k, 256, 144, (0, 2)),
    13: _packed(b.q5_k, 256, 176, (0, 2)),
    14: _packed(b.q6_k, 256, 210, (208,)),
    20: _packed(b.iq4_nl, 32, 18, (0,)),
    23: _packed(b.iq4_xs, 256, 136, (0,)),
    24: _I8,
    25: _I16,
    26: _I32,
    27: _I64,
    28: _F64,
    30: _BF16,
    39: _packed(b.mxfp4, 32, 17, None),
})  # fmt: skip
"""Kinds by the type number of a GGUF tensor (`ggml_type` in ggml.h)."""

GGML_UNREAD: Mapping[int, str] = MappingProxyType({
    4: "Q4_2, which GGML removed in 2023",
    5: "Q4_3, which GGML removed in 2023",
    9: "Q8_1",
    15: "Q8_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
    18: "IQ3_XXS",
    19: "IQ1_S",
    21: "IQ3_S",
    22: "IQ2_S",
    29: "IQ1_M",
    31: "Q4_0_4_4, which GGML removed in 2024",
    32: "Q4_0_4_8, which GGML removed in 2024",
    33: "Q4_0_8_8, which GGML removed in 2024",
    34: "TQ1_0",
    35: "TQ2_0",
    36: "IQ4_NL_4_4, which GGML removed in 2024",
    37: "IQ4_NL_4_8, which GGML removed in 2024",
    38: "IQ4_NL_8_8, which GGML removed in 2024",
    40: "NVFP4",
    41: "Q1_0",
})  # fmt: skip
"""What GGUF's other type numbers mean, so that an error can say what a file asks for."""

SAFETENSORS_UNREAD = frozenset(
    {"F4", "F6_E2M3", "F6_E3M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64"}
)
"""The safetensors dtypes that exist but are not read."""
