"""GGML's packed blocks as float32: each function fills numbers from blocks, many at a time.

A block holds 32 numbers, or 256 in the "K" kinds, with scales of its own. The layouts are those of
ggml-common.h in https://github.com/ggml-org/ggml, and the arithmetic is done in the order of the
dequantisers of the `gguf` package, so that results agree with them to the last bit.

Every function has the form `fill(blocks, out)`: `blocks` is `[n, block_bytes]` of uint8, `out` is
`[n, block_size]` of float32, contiguous. `unpacker` turns one into the `unpack` of a `Kind`. Codes
are written into `out` as whole numbers, then scaled in place: that needs no float temporaries.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pellucid.weights.tensor import Bytes, Floats

Fill = Callable[[Bytes, Floats], None]

# So that codes and results (640 KB) stay in the second-level cache: SmolLM2's 106 million numbers
# of Q4_1 take 0.16 s on one core, against 0.2 to 0.45 s and 50 MB more in a single sweep.
_CHUNK_NUMBERS = 131_072

# The 16 values that 4-bit codes of IQ4_NL and IQ4_XS stand for (kvalues_iq4nl in ggml-common.h).
_NONLINEAR_4BIT = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)

# Twice the values of the 4-bit float E2M1 (OCP Microscaling Formats v1.0, section 5.3.3).
_E2M1_DOUBLED = (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)


def unpacker(fill: Fill, block_size: int) -> Callable[[Bytes], Floats]:
    """`fill` as the `unpack` of a `Kind`: allocates the result and works through it in chunks."""
    step = max(1, _CHUNK_NUMBERS // block_size)

    def unpack(blocks: Bytes) -> Floats:
        out = np.empty((len(blocks), block_size), np.float32)
        for start in range(0, len(blocks), step):
            fill(blocks[start : start + step], out[start : start + step])
        return out

    return unpack


def q4_0(blocks: Bytes, out: Floats) -> None:
    """Scale (f16), 32 codes of 4 bits, less 8."""
    _spread_nibbles(blocks[:, 2:18], 16, out)
    out -= 8
    out *= _half(blocks, 0)


def q4_1(blocks: Bytes, out: Floats) -> None:
    """Scale and offset (f16), 32 codes of 4 bits."""
    _spread_nibbles(blocks[:, 4:20], 16, out)
    out *= _half(blocks, 0)
    out += _half(blocks, 2)


def q5_0(blocks: Bytes, out: Floats) -> None:
    """Scale (f16), the fifth bits of 32 codes, their lower 4 bits, less 16."""
    _spread_nibbles(blocks[:, 6:22], 16, out)
    _add_fifth_bits(blocks[:, 2:6], out)
    out -= 16
    out *= _half(blocks, 0)


def q5_1(blocks: Bytes, out: Floats) -> None:
    """Scale and offset (f16), the fifth bits of 32 codes, their lower 4 bits."""
    _spread_nibbles(blocks[:, 8:24], 16, out)
    _add_fifth_bits(blocks[:, 4:8], out)
    out *= _half(blocks, 0)
    out += _half(blocks, 2)


def q8_0(blocks: Bytes, out: Floats) -> None:
    """Scale (f16), 32 signed bytes."""
    out[...] = blocks[:, 2:34].view(np.int8)
    out *= _half(blocks, 0)


def iq4_nl(blocks: Bytes, out: Floats) -> None:
    """Scale (f16), 32 codes of 4 bits into a table of unevenly spaced values."""
    _spread_table(blocks[:, 2:18], _NONLINEAR_4BIT, out)
    out *= _half(blocks, 0)


def mxfp4(blocks: Bytes, out: Floats) -> None:
    """Exponent (one byte, a power of two), 32 floats of 4 bits (E2M1)."""
    _spread_table(blocks[:, 1:17], _E2M1_DOUBLED, out)
    out *= _power_of_two_halved(blocks[:, :1])


def q2_k(blocks: Bytes, out: Floats) -> None:
    """16 scales and offsets of 4 bits, 256 codes of 2 bits, the scale of each (f16)."""
    groups = out.reshape(-1, 16, 16)
    _spread_bits(blocks[:, 16:80], 2, 32, out)
    groups *= _scaled(blocks, 80, blocks[:, :16] & 15)
    groups -= _scaled(blocks, 82, blocks[:, :16] >> 4)


def q3_k(blocks: Bytes, out: Floats) -> None:
    """Third bits of 256 codes, their lower 2 bits, 16 scales of 6 bits, their scale (f16)."""
    groups = out.reshape(-1, 16, 16)
    _spread_bits(blocks[:, 32:96], 2, 32, out)
    third_bits = _fields(blocks[:, :32], 1, 32) ^ 1  # a bit that is clear takes 4 away
    out -= (third_bits << 2).reshape(out.shape)
    groups *= _scaled(blocks, 108, _six_bit_scales(blocks[:, 96:108]))


def q4_k(blocks: Bytes, out: Floats) -> None:
    """Two f16, 8 scales and 8 offsets of 6 bits, 256 codes of 4 bits."""
    groups = out.reshape(-1, 8, 32)
    scales, offsets = _six_bit_pairs(blocks[:, 4:16])
    _spread_nibbles(blocks[:, 16:144], 32, out)
    groups *= _scaled(blocks, 0, scales)
    groups -= _scaled(blocks, 2, offsets)


def q5_k(blocks: Bytes, out: Floats) -> None:
    """Two f16, 8 scales and 8 offsets of 6 bits, fifth bits of 256 codes, their lower 4 bits."""
    groups = out.reshape(-1, 8, 32)
    scales, offsets = _six_bit_pairs(blocks[:, 4:16])
    _spread_nibbles(blocks[:, 48:176], 32, out)
    out += (_fields(blocks[:, 16:48], 1, 32) << 4).reshape(out.shape)
    groups *= _scaled(blocks, 0, scales)
    groups -= _scaled(blocks, 2, offsets)


def q6_k(blocks: Bytes, out: Floats) -> None:
    """Lower 4 and upper 2 bits of 256 codes, less 32; 16 scales (signed bytes), a scale (f16)."""
    groups = out.reshape(-1, 16, 16)
    _spread_nibbles(blocks[:, :128], 64, out)
    out += (_fields(blocks[:, 128:192], 2, 32) << 4).reshape(out.shape)
    out -= 32
    groups *= _scaled(blocks, 208, blocks[:, 192:208].view(np.int8))


def iq4_xs(blocks: Bytes, out: Floats) -> None:
    """Scale (f16), 8 scales of 6 bits less 32, 256 codes of 4 bits as in IQ4_NL."""
    groups = out.reshape(-1, 8, 32)
    low = _fields(blocks[:, 4:8], 4, 1).reshape(-1, 8)
    high = _fields(blocks[:, 2:4], 2, 1).reshape(-1, 8)
    _spread_table(blocks[:, 8:136], _NONLINEAR_4BIT, out)
    groups *= _scaled(blocks, 0, (low | high << 4).view(np.int8) - np.int8(32))


def _half(blocks: Bytes, at: int) -> Floats:
    """The float16 at byte `at` of each block, `[n, 1]`."""
    return blocks[:, at : at + 2].view("<f2").astype(np.float32)


def _scaled(blocks: Bytes, at: int, small: np.ndarray) -> Floats:
    """The float16 at byte `at` times small numbers, `[n, groups]` -> `[n, groups, 1]`."""
    return (_half(blocks, at) * small.astype(np.float32))[:, :, None]


def _fields(packed: Bytes, bits: int, group: int) -> Bytes:
    """Codes of `bits` bits: `[n, bytes]` -> `[n, bytes / group, 8 / bits, group]`.

    A group of bytes holds first the lowest bits of all its bytes, then the next, and so on.
    """
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    return packed.reshape(len(packed), -1, 1, group) >> shifts & np.uint8((1 << bits) - 1)


def _spread_bits(packed: Bytes, bits: int, group: int, out: Floats) -> None:
    """The codes of `_fields` into `out`."""
    out[...] = _fields(packed, bits, group).reshape(out.shape)


def _spread_nibbles(packed: Bytes, group: int, out: Floats) -> None:
    """`_spread_bits` for 4 bits, without its temporary: a third of the time."""
    planes = out.reshape(len(out), -1, 2, group)
    pairs = packed.reshape(len(out), -1, group)
    planes[:, :, 0] = pairs & 15
    planes[:, :, 1] = pairs >> 4


def _spread_table(packed: Bytes, values: tuple[int, ...], out: Floats) -> None:
    """What the codes of 4 bits, in groups of 16 bytes, stand for in `values`."""
    table = np.array(values, np.float32)
    codes = _fields(packed, 4, 16)
    np.take(table, codes.reshape(out.shape), out=out, mode="clip")  # "raise" would buffer `out`


def _add_fifth_bits(packed: Bytes, out: Floats) -> None:
    """Add 16 where a bit of `[n, 4]` is set, lowest bit first."""
    out += np.unpackbits(packed, axis=1, bitorder="little") << 4


def _six_bit_scales(packed: Bytes) -> np.ndarray:
    """16 numbers from -32 to 31 in 12 bytes: 8 bytes of low nibbles, 4 bytes of high pairs."""
    low = _fields(packed[:, :8], 4, 8).reshape(-1, 16)
    high = _fields(packed[:, 8:], 2, 4).reshape(-1, 16)
    return (low | high << 4).view(np.int8) - np.int8(32)


def _six_bit_pairs(packed: Bytes) -> tuple[Bytes, Bytes]:
    """8 scales and 8 offsets from 0 to 63 in 12 bytes; each `[n, 8]`.

    The first 4 of both have bytes of their own, whose spare top bits go to the last 4.
    """
    scales, offsets, lows = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    return (
        np.hstack([scales & 63, lows & 15 | scales >> 2 & 48]),
        np.hstack([offsets & 63, lows >> 4 | offsets >> 2 & 48]),
    )


def _power_of_two_halved(exponents: Bytes) -> Floats:
    """2 ** (exponent - 128) by its bits, as half of it undoes the doubled table; `[n, 1]`.

    Exponents 0 and 1 give subnormal numbers.
    """
    wide = exponents.astype(np.uint32)
    bits = np.where(wide < 2, 0x00200000 << wide, np.maximum(wide, 1) - 1 << 23)
    return bits.astype(np.uint32).view(np.float32)
