"""The standard streams of a command. A stream that fails does not stop a command in the middle of its work.

Python raises an error in the code that writes when the reader of a pipe has gone (`seawall runs | head -1`), when the
disk behind a file is full, or when a stream was closed before the command began (`>&-`). Such an error must not end a
run that is being driven. So a write to these streams never raises: the stream keeps the first failure and drops what
is written after it, and `main` turns the failure into an exit code.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import select
import sys
from typing import IO, TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

READER_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN})
"""The errors of a pipe, or a socket, that nobody reads any more."""
LOOK_ALIKES = str.maketrans(
    "✓✗⊘↺‖…■✂├└│╴─→←·–—“”„‘’×█▏▎▍▌▋▊▉\u00a0\ufffd",  # noqa: RUF001  # the signs that are replaced, some of which look like ASCII
    '+x!@#.*%|`|--><---"""\'\'x######## _',
)
"""The ASCII character that replaces each sign of Seawall which an encoding lacks. It is never `?`, the sign of a
lost step."""
ERRORS = "seawall-look-alikes"
"""The name of the codec error handler that writes these characters."""


class StandardStream(io.RawIOBase):
    """The raw stream below stdout or stderr. Once a write fails, it keeps the reason and drops what is written later."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.failure: OSError | None = None
        """Why it could not be written; None if it could."""

    def __repr__(self) -> str:
        return f"<StandardStream {self._descriptor} {self.failure or 'open'}>"

    def writable(self) -> bool:
        """Returns that it can be written."""
        return True

    def fileno(self) -> int:
        """Returns its file descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Returns whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: ReadableBuffer, /) -> int:
        """Writes all of the data, or drops it."""
        left = memoryview(data).cast("B")
        size = len(left)
        while left and self.failure is None:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # another process has made the pipe non-blocking
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.failure = error
        return size


def open_streams() -> tuple[StandardStream, StandardStream]:
    """Replaces `sys.stdout` and `sys.stderr` by streams that never raise, and opens closed ones. Returns the raw streams."""
    _open_descriptors()
    if sys.stdin is None:  # `<&-`
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # as long as the process
    out, err = StandardStream(1), StandardStream(2)
    sys.stdout, sys.stderr = _wrap(out, sys.stdout), _wrap(err, sys.stderr)
    return out, err


def get_failure(file: IO[str]) -> OSError | None:
    """Returns why a stream can't be written any more; None if it can, or if `open_streams` has not made it."""
    raw = getattr(getattr(file, "buffer", None), "raw", None)
    return raw.failure if isinstance(raw, StandardStream) else None


def replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Returns the replacement of characters that an encoding lacks: a look-alike, or else an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return replace_signs(error.object[error.start : error.end]), error.end


codecs.register_error(ERRORS, replace_unencodable)


def replace_signs(text: str) -> str:
    """Returns text with a look-alike, or else an escape, for each character beyond ASCII."""
    return text.translate(LOOK_ALIKES).encode("ascii", "backslashreplace").decode()


def fit_encoding(text: str, file: IO[str]) -> str:
    """Returns text as `file` will show it, so that its width is known before it is written."""
    encoding = getattr(file, "encoding", None) or "utf-8"
    if text.isascii() or encoding.lower().startswith("utf"):
        return text
    return text.encode(encoding, ERRORS).decode(encoding)


def write_directly(descriptor: int, text: str) -> None:
    """Writes text to a descriptor at once, past all buffers, or drops it. A signal handler, which must not raise, uses it."""
    with contextlib.suppress(OSError):
        os.write(descriptor, text.encode("utf-8", "replace"))


def _open_descriptors() -> None:
    """Opens the null device in place of the standard streams that are closed.

    Otherwise the next file that is opened, such as the journal, would get the number of a standard stream, and this
    process would write its messages into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number is this


def _wrap(raw: StandardStream, before: TextIO | Any) -> TextIO:
    if before is not None:
        before.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(before, "encoding", None) or "utf-8",
        errors=ERRORS,
        line_buffering=raw.isatty() or raw.fileno() == 2,
        write_through=bool(getattr(before, "write_through", False)),
    )
