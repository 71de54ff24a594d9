"""The exceptions of hivewright: one class for each kind of error."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Tuple


class Error(Exception):
    """An error of hivewright. ``str()`` of it is one line for people; the attributes are for programs."""

    kind: str = ""
    """The kind, as the class has it: ``io``, ``corrupt``, ``unsupported``, ``refused`` ..."""
    code: str = ""
    """The stable code, such as ``dirty`` or ``in-use``; docs/codes.md lists them all."""
    what: str = ""
    """The message without kind and places."""
    advice: Optional[str] = None
    """What to do."""
    file: Optional[Path] = None
    """The file that the error is about."""
    expected: Optional[str] = None
    """What the format wants at the place."""
    actual: Optional[str] = None
    """What is there instead."""
    places: List[Tuple[str, int]]
    """Where the fault is: address space (``hive``, ``volume``, ``disk``, ``file``) and offset, the innermost first."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.places = []


class IoError(Error, OSError):
    """A call of the operating system failed; ``errno`` is its number, if it has one."""


class CorruptError(Error, ValueError):
    """The bytes break their format."""


class UnsupportedError(Error):
    """The bytes may be valid, but hivewright does not read or write such."""


class RefusedError(Error):
    """It would do harm. Nothing was changed."""


class NotFoundError(Error, LookupError):
    """There is no such file, installation, key or value."""


class NoRoomError(Error):
    """The change needs more room than there is."""


class UnfinishedError(Error):
    """Writing began and did not end; the message names the undo file, which takes it back."""


_CLASSES = {
    "io": IoError,
    "corrupt": CorruptError,
    "unsupported": UnsupportedError,
    "refused": RefusedError,
    "not-found": NotFoundError,
    "no-room": NoRoomError,
    "unfinished": UnfinishedError,
}


def make(message: str, *, kind: str, errno: Optional[int], **about: object) -> Error:
    """Makes the exception of an error."""
    error = _CLASSES[kind](message)
    error.kind = kind
    for name, value in about.items():
        setattr(error, name, value)
    if isinstance(error, IoError):
        error.errno = errno
    return error
