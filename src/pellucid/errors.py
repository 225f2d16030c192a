"""Every error a user can meet. Each says what is wrong, where, and what to do.

```
PellucidError
├── ParameterError       a value that was given is unknown, out of range, or has no effect here
├── ModelNotFoundError   nothing by that name: no alias, directory, file, hub id or package
├── DownloadError        a model could not be fetched; what was fetched is kept or cleaned up
├── FormatError          a file is not what it claims to be
├── UnsupportedError     the file is sound, but asks for something that Pellucid does not have
├── TextError            text that cannot be tokenized, or ids that cannot be text
├── TemplateError        a chat template failed, refused, or took too much
└── BackendError         a backend that is not installed or cannot do what was asked
```
"""

from __future__ import annotations

from pathlib import Path


class PellucidError(Exception):
    """The base of every error that Pellucid raises on purpose.

    `str(error)` is one line for a person; `exit_code` is what the command line returns with it.
    """

    exit_code = 1


class ParameterError(PellucidError):
    """A parameter is unknown, out of range, or has no effect in this combination.

    >>> raise ParameterError("top_p", "must be above 0 and at most 1, not 1.5")
    Traceback (most recent call last):
    pellucid.errors.ParameterError: top_p: must be above 0 and at most 1, not 1.5
    """

    exit_code = 2

    def __init__(self, parameter: str, reason: str) -> None:
        super().__init__(f"{parameter}: {reason}")
        self.parameter = parameter
        self.reason = reason


class ModelNotFoundError(PellucidError):
    """A reference that names no model."""


class DownloadError(PellucidError):
    """A model could not be fetched or stored."""


class FormatError(PellucidError):
    """A file is not what it claims to be: `path`, the `place` in it, and the `reason`.

    >>> raise FormatError("m.gguf", "byte 4", "GGUF version 99 is unknown")
    Traceback (most recent call last):
    pellucid.errors.FormatError: m.gguf: byte 4: GGUF version 99 is unknown
    """

    def __init__(self, path: str | Path, place: str, reason: str) -> None:
        super().__init__(": ".join(str(part) for part in (path, place, reason) if str(part)))
        self.path = str(path)
        self.place = place
        self.reason = reason


class UnsupportedError(PellucidError):
    """A sound file asks for something that Pellucid does not have."""


class TextError(PellucidError):
    """Text that cannot be tokenized, or ids that cannot be text."""


class TemplateError(PellucidError):
    """A chat template failed, refused the conversation, or took too much time or space."""


class BackendError(PellucidError):
    """A backend is not installed, or cannot do what was asked."""
