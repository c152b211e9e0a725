"""Reads recordings from files and folders. Finds the format of each value by its shape, and reports values that it can't
read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from seawall.audit.formats import FORMATS, Format, Reader
from seawall.audit.json_fields import describe_type, get_fields, get_list
from seawall.audit.recording import BadLine, RecordedRun
from seawall.audit.values import MAX_LINE_BYTES, Lines, Value

MAX_BAD_LINES = 20
"""Bad lines in a row after which the rest of a file is not read, because it is most likely not a recording."""
ENDINGS = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz")
"""Endings of the files that are read from a folder. A file that is given by its path is read whatever its ending."""
_SHOWN_KEYS = 8
_KEY_CHARS = 40


def list_files(path: Path) -> list[Path]:
    """Returns the files of a folder and its sub-folders that may be recordings, sorted; for any other path, the path itself."""
    if not path.is_dir():
        return [path]
    return sorted(each for each in path.rglob("*") if each.name.lower().endswith(ENDINGS) and each.is_file())


def read_runs(path: Path, *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[RecordedRun | BadLine]:
    """Yields the runs of a file, and its bad lines. Never raises because of what the file holds."""
    file = RecordingFile(path, max_line_bytes=max_line_bytes)
    yield from file.read()
    yield from file.finish()


class RecordingFile:
    """Reads the runs of a file.

    After `MAX_BAD_LINES` bad lines in a row it stops. A file that is not JSON from its first line on yields one
    `BadLine`.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_line_bytes: int = MAX_LINE_BYTES,
        on_bytes: Callable[[int], None] | None = None,
    ) -> None:
        """`on_bytes` is called from time to time with the number of bytes of the file that were read so far."""
        self._path = path
        self._lines = Lines(path, max_line_bytes, on_bytes)
        self._reader = _FileReader(path)
        self._bad: list[BadLine] = []
        """The newest bad lines in a row."""
        self._yielded = 0
        """How many of `_bad` were yielded. They are held back until a value was read, because the file may not be JSON at
        all."""
        self._has_read = False

    def read(self) -> Iterator[RecordedRun | BadLine]:
        """Yields the runs that are complete while the file is read, and the bad lines."""
        for item in self._lines.read_values():
            found = list(self._reader.read(item)) if isinstance(item, Value) else [item]
            problems = [each for each in found if isinstance(each, BadLine)]
            if not problems:
                yield from self._tell_bad()
                yield from found
                self._bad, self._yielded, self._has_read = [], 0, True
                continue
            yield from (each for each in found if isinstance(each, RecordedRun))
            self._bad += problems
            if self._has_read or self._bad[0].is_json:
                yield from self._tell_bad()
            if len(self._bad) >= MAX_BAD_LINES:
                if self._yielded:
                    why = f"{len(self._bad)} bad lines in a row: the rest of it is not read"
                    yield BadLine(str(self._path), why)
                break
        if len(self._bad) > 1 and not self._yielded:
            first = f"line {self._bad[0].where.rpartition(':')[2]} is {self._bad[0].why}"
            yield BadLine(str(self._path), f"not JSON, and nothing else is read ({first})", is_json=False)
        else:
            yield from self._tell_bad()

    def _tell_bad(self) -> Iterator[BadLine]:
        yield from self._bad[self._yielded :]
        self._yielded = len(self._bad)

    def finish(self) -> Iterator[RecordedRun | BadLine]:
        """Yields the runs that were still open at the end of the file, or when reading has stopped."""
        yield from self._reader.finish()
        if self._has_read and not self._reader.runs:
            why = f"it holds no run: it has no call of a model or a tool ({self._reader.describe()})"
            yield BadLine(str(self._path), why)


class _FileReader:
    """Gives each value of a file to the reader of its format."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._readers: dict[str, Reader] = {}
        self._newest: Format | None = None
        self.runs = 0

    def describe(self) -> str:
        """Returns a text with the formats that were found."""
        return f"read as {', '.join(self._readers)}" if self._readers else "it is empty"

    def read(self, value: Value) -> Iterator[RecordedRun | BadLine]:
        """Yields the runs that are complete after a value, or a `BadLine` that says what is wrong with the value."""
        try:
            yield from self._read_value(value.value, value.line)
        except RecursionError:
            yield BadLine(f"{self._path}:{value.line}", "it is nested too deeply")

    def _read_value(self, value: Any, line: int) -> Iterator[RecordedRun | BadLine]:
        found = self._find_format(value)
        if found is not None:
            self._newest = found
            reader = self._readers.get(found.name)
            if reader is None:
                reader = self._readers[found.name] = found.open(str(self._path))
            for each in reader.read(value, line):
                self.runs += isinstance(each, RecordedRun)
                yield each
        elif inner := self._find_inner(value):
            for each in inner:
                yield from self._read_value(each, line)
        else:
            yield BadLine(f"{self._path}:{line}", describe_unknown(value), is_unknown=True)

    def _find_inner(self, value: Any) -> list[Any]:
        """Returns the elements of a list, or of the list in an object (`{"data": […]}`), that may be recordings."""
        if isinstance(value, list):
            listed = get_list(value)
            return listed if any(isinstance(each, dict | list) for each in listed) else []
        for each in get_fields(value).values():
            listed = get_list(each)
            if listed and self._find_format(listed[0]) is not None:
                return listed
        return []

    def _find_format(self, value: Any) -> Format | None:
        newest = self._newest
        if newest is not None and newest.recognise(value):
            return newest
        return next((each for each in FORMATS if each.recognise(value)), None)

    def finish(self) -> Iterator[RecordedRun]:
        """Yields the runs that were still open when the file ended."""
        for reader in self._readers.values():
            for run in reader.finish():
                self.runs += 1
                yield run


def describe_unknown(value: Any) -> str:
    """Returns a text on a value that is not a recording."""
    if not isinstance(value, dict):
        return f"it is {describe_type(value)}, not a recording of a known format"
    names = [name if len(name) <= _KEY_CHARS else f"{name[:_KEY_CHARS]}…" for name in get_fields(value)]
    more = f", … ({len(names)} in all)" if len(names) > _SHOWN_KEYS else ""
    seen = f"with the keys {', '.join(map(repr, names[:_SHOWN_KEYS]))}{more}" if names else "that is empty"
    return f"it is an object {seen}, not a recording of a known format"
