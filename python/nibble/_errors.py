"""Errors: one class, seven kinds, in the words of the command."""
from __future__ import annotations

import logging
import warnings
from typing import Optional

_log = logging.getLogger("nibble")


class NibbleWarning(UserWarning):
    """What is odd but not wrong."""


class Error(Exception):
    """One line that says what is wrong, where, what was expected and found, and what to do.

    kind: "invalid_argument", "not_found", ...; file and where: empty where nothing is to blame;
    reason: the line without them."""

    kind = "error"

    def __init__(self, message: str, file: str = "", where: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.where = where
        self.reason = reason or message

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[type[Error], tuple[str, str, str, str]]:
        return type(self), (self.message, self.file, self.where, self.reason)


class InvalidArgument(Error, ValueError):
    """What was asked for contradicts itself or the model."""
    kind = "invalid_argument"


class NotFound(Error, FileNotFoundError):
    """An input is missing."""
    kind = "not_found"


class Corrupt(Error, ValueError):
    """A file's bytes are not what it promises."""
    kind = "corrupt"


class Unsupported(Error, NotImplementedError):
    """nibble does not do that."""
    kind = "unsupported"


class IoError(Error, OSError):
    """Reading or writing failed."""
    kind = "io"


class Cancelled(Error):
    """The work was asked to stop (Ctrl-C is KeyboardInterrupt)."""
    kind = "cancelled"


class OutOfMemory(Error, MemoryError):
    """The work needs more memory than there is."""
    kind = "out_of_memory"


_KINDS: dict[str, type[Error]] = {
    c.kind: c for c in (InvalidArgument, NotFound, Corrupt, Unsupported, IoError, Cancelled,
                        OutOfMemory)
}


def of_kind(kind: str, message: str, file: str, where: str, reason: str) -> Error:
    """For the compiled half."""
    return _KINDS[kind](message, file, where, reason)


def tell(line: str, stacklevel: int = 4) -> None:
    """A line that the command would say on stderr: a warning, or news for the log."""
    warning: Optional[str] = None
    if line.startswith("nibble: warning: "):
        warning = line[len("nibble: warning: "):]
    if warning is not None:
        warnings.warn(warning, NibbleWarning, stacklevel=stacklevel)
    else:
        _log.info(line[len("nibble: "):] if line.startswith("nibble: ") else line)
