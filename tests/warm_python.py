"""Python programs that begin at once: each is forked from a process that has imported Seawall, and is as good as new.

A new interpreter takes longer to import what a program needs than most programs take for their work. `start` is
`subprocess.Popen` of a Python program, `run` is `subprocess.run` of one; what is about the start of an interpreter (its
options, its encodings, what it imports) needs `subprocess` itself. Run as a program, this file is the process that they
are forked from, one for each process that runs tests. It has one thread and has opened nothing. What a program has
imported and compiled late it imports and compiles for the programs after it, if that was installed.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import io
import json
import os
import re
import runpy
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, TracebackType
from typing import IO, Any, Generic, TypeVar

import pydantic

DEVNULL, PIPE = subprocess.DEVNULL, subprocess.PIPE
_LENGTH_BYTES = 4
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
    "PYTHONWARNINGS": "error"
}
"""That of the tests, before one of them has changed it."""
_PATTERNS: dict[tuple[type, str, int], object] = vars(re)["_cache"]
"""The patterns that `re` has compiled and keeps."""
_INSTALLED = (
    *{sysconfig.get_path(each) for each in ("stdlib", "purelib", "platlib")},
    str(Path(__file__).resolve().parents[1] / "src"),
)

T = TypeVar("T", str, bytes)


class Process(Generic[T]):
    """A program, as `subprocess.Popen` shows one."""

    def __init__(self, words: list[str], ends: Mapping[int, IO[T]], status: IO[bytes]) -> None:
        self.args = words
        self.stdin, self.stdout, self.stderr = (ends.get(number) for number in range(3))
        self._status = status
        self.pid = int(status.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Returns the exit code, or None if the program is still there."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Returns the exit code. Raises `subprocess.TimeoutExpired` after `timeout` seconds."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code

    def communicate(self, input: T | None = None, timeout: float | None = None) -> tuple[T, T]:  # noqa: A002 -- its name there
        """Writes `input`, and returns what comes on both outputs until the end. A program without an end is killed."""
        with ThreadPoolExecutor(2) as pool:
            reading = [pool.submit(each.read) for each in (self.stdout, self.stderr) if each is not None]
            if self.stdin is not None:
                with contextlib.suppress(BrokenPipeError):  # the program has read what it wanted
                    if input is not None:
                        self.stdin.write(input)
                    self.stdin.close()
            try:
                self.wait(timeout)
            finally:
                self.kill()
                got = [each.result() for each in reading]
                self._close()
        nothing: Any = None
        out = nothing if self.stdout is None else got.pop(0)
        return out, nothing if self.stderr is None else got.pop(0)

    def send_signal(self, number: int) -> None:
        """Sends a signal, if the program is still there."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Asks the program to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the program."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Process[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        self.wait()

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], timeout)[0]:
            self.returncode = int(self._status.readline())
            self._status.close()
        return self.returncode

    def _close(self) -> None:
        for each in (self.stdin, self.stdout, self.stderr):
            if each is not None:
                each.close()


def start(
    words: Sequence[str],
    *,
    text: bool = False,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int = DEVNULL,
    stdout: int = PIPE,
    stderr: int = PIPE,
) -> Process[Any]:
    """Starts `python WORDS`: `-c CODE …`, `-m MODULE …` or `SCRIPT …`. Each stream is `PIPE`, `DEVNULL` or a number of a file."""
    mine: dict[int, IO[Any]] = {}
    theirs: list[int] = []
    for number, wanted in enumerate((stdin, stdout, stderr)):
        if wanted != PIPE:
            theirs.append(os.open(os.devnull, os.O_RDWR) if wanted == DEVNULL else os.dup(wanted))
            continue
        reader, writer = os.pipe()
        theirs.append(writer if number else reader)
        mode, kept = ("r", reader) if number else ("w", writer)
        mine[number] = os.fdopen(kept, mode if text else f"{mode}b", encoding="utf-8" if text else None)
    reader, writer = os.pipe()
    theirs.append(writer)
    asked = {
        "words": list(words),
        "directory": os.fspath(cwd or Path.cwd()),
        "environment": dict(os.environ if env is None else env),
    }
    _fork_server().ask(json.dumps(asked).encode(), theirs)
    for each in theirs:
        os.close(each)
    return Process(list(words), mine, os.fdopen(reader, "rb", buffering=0))


def run(
    words: Sequence[str],
    *,
    input: Any = None,  # noqa: A002 -- its name there
    timeout: float | None = None,
    check: bool = False,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """Runs `python WORDS` to its end; see `start`."""
    if input is not None:
        options["stdin"] = PIPE
    process = start(words, **options)
    out, err = process.communicate(input, timeout)
    done = subprocess.CompletedProcess(process.args, process.wait(), out, err)
    if check:
        done.check_returncode()
    return done


class _ForkServer:
    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                cwd=Path(__file__).parent,
                env=_ENVIRONMENT,
                stdin=DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def ask(self, what: bytes, streams: list[int]) -> None:
        socket.send_fds(self._control, [len(what).to_bytes(_LENGTH_BYTES)], streams)
        self._control.sendall(what)

    def close(self) -> None:
        self._control.close()
        self._process.wait()


@functools.cache
def _fork_server() -> _ForkServer:
    made = _ForkServer()
    atexit.register(made.close)
    return made


# ---- the process that programs are forked from


class Late:
    """What this process imports and compiles from here on, so that the process it was forked from can do it, too."""

    def __init__(self) -> None:
        self._modules, self._patterns = set(sys.modules), set(_PATTERNS)

    def note(self) -> bytes:
        """Returns what was new. Of modules those alone that are the same for every program."""
        origins = {
            name: getattr(sys.modules[name], "__file__", None) for name in sys.modules.keys() - self._modules
        }
        modules = sorted(name for name, origin in origins.items() if (origin or "").startswith(_INSTALLED))
        new = [(pattern, flags) for kind, pattern, flags in set(_PATTERNS) - self._patterns if kind is str]
        return json.dumps([modules, new]).encode()


def catch_up(noted: bytes) -> None:
    """Imports and compiles what `Late.note` has noted in a process that was forked from this one."""
    modules, patterns = json.loads(noted)
    for name in modules:
        # Some are there under another name, or after a part of the work alone.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for pattern, flags in patterns:
        re.compile(pattern, flags)
    gc.freeze()  # a collection in a fork would copy the pages of all that it shares with this process


def get_ready() -> None:
    """Does what the first model of pydantic would do in every fork: look through all packages for plugins."""
    pydantic.create_model("First")
    gc.collect()
    gc.freeze()


def _serve(control: socket.socket) -> Callable[[], object] | None:
    """Forks a program each time that one is asked for. Returns in each fork, with what to do; else None at the end."""
    importlib.import_module("seawall.cli.app")
    get_ready()
    woken, wakes = os.pipe()
    for each in (woken, wakes):
        os.set_blocking(each, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wakes)
    living: dict[int, tuple[int, int]] = {}
    while True:
        ready, _, _ = select.select([control, woken], [], [])
        if woken in ready:
            os.read(woken, 4_096)
            _reap(living)
            continue
        head, streams, _, _ = socket.recv_fds(control, _LENGTH_BYTES, 4)
        if not head:
            for pid in living:
                os.kill(pid, signal.SIGKILL)
            control.close()
            return None
        asked = json.loads(_receive(control, int.from_bytes(head)))
        notes, name = tempfile.mkstemp()
        Path(name).unlink()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for each in (woken, wakes, *(each for pair in living.values() for each in pair)):
                os.close(each)
            control.close()
            return _become(asked, streams, notes)
        *its, status = streams
        for each in its:
            os.close(each)
        os.write(status, b"%d\n" % pid)
        living[pid] = status, notes


def _receive(control: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        got += control.recv(size - len(got))
    return got


def _reap(living: dict[int, tuple[int, int]]) -> None:
    while living:
        pid, ended = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        status, notes = living.pop(pid)
        with contextlib.suppress(BrokenPipeError):  # whoever has started it does not ask any more
            os.write(status, b"%d\n" % os.waitstatus_to_exitcode(ended))
        os.close(status)
        os.lseek(notes, 0, os.SEEK_SET)
        with os.fdopen(notes, "rb") as file:
            noted = file.read()
        if noted:  # a program that was killed has noted nothing
            catch_up(noted)


def _become(asked: dict[str, Any], streams: list[int], notes: int) -> Callable[[], object]:
    """Makes this process what a new interpreter would be; returns what runs the program."""
    *its, status = streams
    os.close(status)
    for number, each in enumerate(its):
        os.dup2(each, number)
        os.close(each)
    os.chdir(asked["directory"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    _open_streams(unbuffered=bool(os.environ.get("PYTHONUNBUFFERED")))
    warnings.filters.remove(("error", None, Warning, None, 0))  # pyright: ignore[reportAttributeAccessIssue] -- a list
    for action in filter(None, os.environ.get("PYTHONWARNINGS", "").split(",")):
        warnings.simplefilter(action)  # pyright: ignore[reportArgumentType] -- tests name no message and no module
    atexit.register(_note_late, Late(), notes)
    first, *rest = asked["words"]
    sys.path[0:1] = ["", *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    main = sys.modules["__main__"] = ModuleType("__main__")
    if first == "-c":
        sys.argv = ["-c", *rest[1:]]
        return lambda: exec(compile(rest[0], "<string>", "exec"), vars(main))  # noqa: S102 -- what `python -c` does
    if first == "-m":
        sys.argv = rest
        sys.path[0] = asked["directory"]
        return lambda: runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    sys.argv = [first, *rest]
    sys.path[0] = str(Path(first).resolve().parent)
    main.__file__ = first
    code = compile(Path(first).read_bytes(), first, "exec")
    return lambda: exec(code, vars(main))  # noqa: S102 -- what `python SCRIPT` does


def _note_late(late: Late, notes: int) -> None:
    with contextlib.suppress(OSError):  # a program that has made its disk full can note nothing
        os.write(notes, late.note())


def _open_streams(*, unbuffered: bool) -> None:
    encoding = os.environ.get("PYTHONIOENCODING", "utf-8")
    raw = io.FileIO(0, "r", closefd=False)
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BufferedReader(raw), encoding)
    for number, name in ((1, "stdout"), (2, "stderr")):
        raw = io.FileIO(number, "w", closefd=False)
        made = io.TextIOWrapper(
            raw if unbuffered else io.BufferedWriter(raw),
            encoding,
            "backslashreplace" if number == 2 else "strict",
            line_buffering=number == 2,
            write_through=unbuffered,
        )
        setattr(sys, name, made)
        setattr(sys, f"__{name}__", made)


if __name__ == "__main__":
    _program = _serve(socket.socket(fileno=int(sys.argv[1])))
    if _program is not None:
        _program()
