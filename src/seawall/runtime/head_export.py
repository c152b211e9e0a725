"""Exports the journal's head: the hash of the newest batch, which stands for all that was recorded before it.

A person who can write the journal can rewrite it with its whole chain, but can't rewrite a head that is kept elsewhere.
`seawall verify --head HASH` finds out whether the history before that head was changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec

from seawall.core.clock import Clock
from seawall.core.errors import Broken, Misused, describe_error
from seawall.core.threads import start_in_thread
from seawall.journal.protocol import Head, Journal

_SCHEMES = ("http://", "https://")
_log = logging.getLogger("seawall.journal")


@dataclass(frozen=True, kw_only=True)
class HeadExport:
    """Where the head of the journal is exported to, and how often.

    A head is one line of JSON with the fields `genesis`, `batch`, `hash` and `at`. It is exported when the journal is
    opened, then whenever there is a new one, and when it is closed. A failure is logged and tried again; runs go on.
    """

    to: Path | str | Sequence[str]
    """A file, which always holds the newest head; a URL (http or https), to which each head is posted; or a command with
    its arguments, which reads each head from its standard input. Choose a place that people who can write the journal
    can't write. There is no default, because only you know such a place."""
    every_s: float = 60.0
    """Seconds between two exports. A change of the history before the last exported head is found. With 60, only the last
    minute is unprotected, and a day makes 1,440 lines."""
    timeout_s: float = 10.0
    """Seconds after which an export is given up, and tried again at the next time. 10 is enough for a slow endpoint, and
    well below `every_s`, so that exports never overlap."""

    def __post_init__(self) -> None:
        """Raises `Misused` for an invalid place, and for times that are not above zero."""
        to = cast("object", self.to)
        if isinstance(to, str):
            if not to.startswith(_SCHEMES):
                raise Misused(
                    f"HeadExport: to is {to!r}; write Path(…) for a file, https://… for an endpoint, or a list of "
                    "texts for a command"
                )
            if not to.isascii() or not to.isprintable() or " " in to:
                raise Misused("HeadExport: a URL has no white space and no characters outside of ASCII")
            if "@" in to.partition("://")[2].partition("/")[0]:
                raise Misused(
                    "HeadExport: names and passwords in a URL are not sent; use a command such as curl"
                )
        elif not isinstance(to, Path) and not (
            isinstance(to, Sequence)
            and to
            and all(isinstance(each, str) for each in cast("Sequence[object]", to))
        ):
            raise Misused(f"HeadExport: to is {to!r}; it must be a Path, a URL, or a list of texts")
        for name in ("every_s", "timeout_s"):
            value: object = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
                raise Misused(f"HeadExport: {name} is {value!r}; it must be a number of seconds above zero")

    @property
    def place(self) -> str:
        """The place of the heads, for a message. A URL is shown without its path and query, which may hold a token."""
        if isinstance(self.to, Path):
            return str(self.to)
        if isinstance(self.to, str):
            scheme, _, rest = self.to.partition("://")
            return f"{scheme}://{rest.partition('/')[0].partition('?')[0]}"
        return self.to[0]


class HeadExporter:
    """Exports heads until it is closed."""

    def __init__(self, options: HeadExport, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._journal: Journal | None = None
        self._task: asyncio.Task[None] | None = None
        self._exported: str | None = None
        self._sending: asyncio.Future[None] | None = None
        """The newest export in a thread. No other export begins while it hangs, so at most one thread is held."""

    def open(self, journal: Journal) -> None:
        """Begins to export the heads of this journal."""
        self._journal, self._exported = journal, None
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Exports the last head, and stops. The next process exports later heads."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await self._export()
        self._journal = None

    async def _run(self) -> None:
        while True:
            await self._export()
            await self._clock.sleep(self._options.every_s)

    async def _export(self) -> None:
        assert self._journal is not None
        try:
            head = await self._journal.head()
            if head.hash == self._exported:
                return
            async with asyncio.timeout(
                self._options.timeout_s
            ):  # `wait_for` of Python 3.11 can lose a cancellation
                await self._send(head)
            self._exported = head.hash
        except Exception as error:  # noqa: BLE001 -- a failure of the other system must not stop runs
            _log.warning(
                "the journal's head was not exported to %s: %s", self._options.place, describe_error(error)
            )

    async def _send(self, head: Head) -> None:
        to, line = self._options.to, msgspec.json.encode(head) + b"\n"
        if not isinstance(to, Path | str):
            await _run_command(to, line)
            return
        if self._sending is not None:
            await asyncio.wait([self._sending])  # its own export has logged its failure
        if isinstance(to, Path):
            work = partial(_replace_file, to, line)
        else:
            work = partial(_post, to, line, self._options.timeout_s)
        self._sending = start_in_thread(work, "seawall-head-export")
        await asyncio.shield(self._sending)


def _replace_file(path: Path, line: bytes) -> None:
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    with beside.open("wb") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _post(url: str, line: bytes, timeout_s: float) -> None:
    import urllib.error  # noqa: PLC0415 -- both take 20 ms to import, and few export to an endpoint
    import urllib.request  # noqa: PLC0415 -- the same

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        """Follows no redirect, because a redirected request would be a GET without the head."""

        def redirect_request(self, *_: Any, **__: Any) -> None:
            return None

    request = urllib.request.Request(
        url, data=line, headers={"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.build_opener(NoRedirect).open(request, timeout=timeout_s):
            pass
    except urllib.error.HTTPError as error:
        with error:
            raise Broken(f"it answered {error.code} {error.reason}") from None


async def _run_command(command: Sequence[str], line: bytes) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await process.communicate(line)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise Broken(f"it ended with exit code {process.returncode}")
