"""SentencePiece `.model` files: the few fields of sentencepiece_model.proto that encoding needs.

The wire format is described at https://protobuf.dev/programming-guides/encoding; the numbers of
the fields are in SentencePiece's src/sentencepiece_model.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from pellucid.errors import FormatError, UnsupportedError
from pellucid.tokens.scored import NORMAL, USER_DEFINED, Scored
from pellucid.tokens.spelling import SPACE

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3  # fields of ModelProto
_TEXT, _SCORE, _TYPE = 1, 2, 3  # of a piece
_MODEL_TYPE, _SUFFIX, _UNK, _BOS, _EOS, _PAD = 3, 24, 40, 41, 42, 43  # of TrainerSpec
_CHARSMAP, _PREFIX, _TRIM, _ESCAPE = 2, 3, 4, 5  # of NormalizerSpec

_METHODS: dict[int, Literal["unigram", "bpe"]] = {1: "unigram", 2: "bpe"}
_UNREAD_METHODS = {3: "word", 4: "char"}

Field = tuple[int, int, int | bytes]  # number, wire type, value


@dataclass(frozen=True)
class Model:
    """What a `.model` file says: the vocabulary, and the ids of its special tokens."""

    vocabulary: Scored
    unk_id: int | None
    bos_id: int | None
    eos_id: int | None
    pad_id: int | None


def read_model(data: bytes, path: str | Path) -> Model:
    """Read a `.model` file; `path` is for errors.

    Raises FormatError where it is damaged, UnsupportedError for models by word or character.
    """
    texts: list[str] = []
    scores: list[float] = []
    types: list[int] = []
    settings: dict[int, dict[int, int | bytes]] = {_TRAINER: {}, _NORMALIZER: {}}
    for number, wire, value in _fields(data, path, "model"):
        if number in (_PIECES, *settings) and wire != _BYTES:
            raise FormatError(path, f"field {number}", "is not a message")
        if number == _PIECES:
            text, score, kind = _piece(bytes(value), path, len(texts))
            texts.append(text.replace(SPACE, " ") if kind == USER_DEFINED else text)
            scores.append(score)
            types.append(kind)
        elif number in settings:
            found = _fields(bytes(value), path, "settings")
            settings[number].update({field: item for field, _, item in found})
    if not texts:
        raise FormatError(path, "", "not a SentencePiece model: it holds no pieces")
    trainer, normalizer = settings[_TRAINER], settings[_NORMALIZER]
    ids = [_id(trainer.get(field, default)) for field, default in _ID_DEFAULTS.items()]
    vocabulary = Scored(
        method=_method(trainer, normalizer, path),
        texts=texts,
        scores=np.array(scores, np.float32),
        types=np.array(types, np.int32),
        unk_id=ids[0],
        space_prefix=bool(normalizer.get(_PREFIX, True)),
        trims_spaces=bool(normalizer.get(_TRIM, True)),
        charsmap=_charsmap(normalizer, path),
    )
    return Model(vocabulary, *ids)


_ID_DEFAULTS = {_UNK: 0, _BOS: 1, _EOS: 2, _PAD: -1}


def _id(value: int | bytes) -> int | None:
    """An int32: negative ones, which mean "none", are written as 64-bit two's complement."""
    return value if isinstance(value, int) and value < 1 << 31 and value >= 0 else None


def _method(
    trainer: dict[int, int | bytes], normalizer: dict[int, int | bytes], path: str | Path
) -> Literal["unigram", "bpe"]:
    kind = trainer.get(_MODEL_TYPE, 1)
    method = _METHODS.get(kind) if isinstance(kind, int) else None
    if method is None:
        name = _UNREAD_METHODS.get(kind, str(kind)) if isinstance(kind, int) else "?"
        raise UnsupportedError(f"{path}: SentencePiece models of type {name} are not supported")
    if trainer.get(_SUFFIX):
        raise UnsupportedError(f"{path}: spaces as the end of a word are not supported")
    if not normalizer.get(_ESCAPE, True):
        raise UnsupportedError(f"{path}: spaces that are not written as {SPACE} are not supported")
    return method


def _charsmap(normalizer: dict[int, int | bytes], path: str | Path) -> bytes:
    charsmap = normalizer.get(_CHARSMAP, b"")
    if not isinstance(charsmap, bytes):
        raise FormatError(path, "normalizer", "the table of characters is not bytes")
    return charsmap


def _piece(data: bytes, path: str | Path, index: int) -> tuple[str, float, int]:
    text: int | bytes = b""
    score, kind = 0.0, NORMAL
    for number, wire, value in _fields(data, path, f"piece {index}"):
        if number == _TEXT and wire == _BYTES:
            text = value
        elif number == _SCORE and wire == _FIXED32 and isinstance(value, bytes):
            score = struct.unpack("<f", value)[0]
        elif number == _TYPE and wire == _VARINT and isinstance(value, int):
            kind = value
    try:
        return bytes(text).decode(), score, kind
    except UnicodeDecodeError:
        raise FormatError(path, f"piece {index}", f"not UTF-8: {text!r}") from None


def _fields(data: bytes, path: str | Path, place: str) -> Iterator[Field]:
    """The fields of a message, in the order they are written."""
    at, size = 0, len(data)
    while at < size:
        key, at = _varint(data, at, path, place)
        number, wire = key >> 3, key & 7
        value: int | bytes
        if wire == _VARINT:
            value, at = _varint(data, at, path, place)
        else:
            length = {_FIXED64: 8, _FIXED32: 4}.get(wire)
            if wire == _BYTES:
                length, at = _varint(data, at, path, place)
            if length is None or not number:
                raise FormatError(path, place, f"not a SentencePiece model (byte {at})")
            if length > size - at:
                raise FormatError(path, place, f"field {number} goes beyond the end")
            value, at = data[at : at + length], at + length
        yield number, wire, value


def _varint(data: bytes, at: int, path: str | Path, place: str) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        if at >= len(data):
            raise FormatError(path, place, "ends in the middle of a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise FormatError(path, place, f"a number of more than 64 bits (byte {at})")
