"""`python -m seawall.testing.model_server --recording FILE`: the model server in a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import stat
import sys
import threading
from collections.abc import Sequence
from typing import Any

from seawall.core.errors import Misused
from seawall.testing.model_server.server import ModelServer
from seawall.testing.recording import Recording


def main(argv: Sequence[str] | None = None) -> None:
    """Serves until SIGTERM, SIGINT or the end of a piped stdin.

    The first line on stdout is `{"base_url": …}`; the last line is the report: requests, matched, mismatched, and the
    kept mismatches. The exit status is 0, even with mismatches, and 2 if the server can't start.
    """
    parser = argparse.ArgumentParser(prog="python -m seawall.testing.model_server", description=main.__doc__)
    parser.add_argument("--recording", required=True, help="JSON lines of {id, messages}; may be gzipped")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    given = parser.parse_args(argv)
    try:
        report = asyncio.run(_serve(Recording.load(given.recording), given.port))
    except Misused as error:
        parser.exit(2, f"{error}\n")
    _write(report)


async def _serve(recording: Recording, port: int) -> dict[str, Any]:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if _is_piped(sys.stdin.fileno()):

        def wait_for_end() -> None:
            while os.read(sys.stdin.fileno(), 4096):
                pass
            loop.call_soon_threadsafe(stopped.set)

        threading.Thread(target=wait_for_end, daemon=True).start()
    async with ModelServer(recording, port=port, keep_requests=0) as server:
        _write({"base_url": server.base_url, "pid": os.getpid()})
        await stopped.wait()
        return {"requests": server.request_count, "shed": server.shed_count, **recording.report()}


def _write(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _is_piped(descriptor: int) -> bool:
    """Returns whether the end of this input means that its writer has closed it; /dev/null and files end at once."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


if __name__ == "__main__":
    main()
