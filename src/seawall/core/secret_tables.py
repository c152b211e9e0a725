"""Secrets in the columns of tables: of CSV files, of Markdown, and of the programs of databases.

A line is a header if one of its cells is the name of a secret. The cells below it are secrets if their values look like
one, for as long as each line has as many cells as the header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from seawall.core.secret_names import find_kind
from seawall.core.secret_values import Form, Kind, is_secret

MAX_LINE_CHARS = 4_096
"""Characters of the longest row."""
MAX_HEADER_CHARS = 1_024
_LEAST_TOKEN_CHARS = 20
"""Characters of the shortest token in a column that is named `token` alone: the tokens of a text are words."""

_HEADER_CELL = re.compile(
    r"(?:(?<=[|,;\t\n])|(?<![\s\S]))[ \"'`*]{0,16}(?P<name>[^\W\d](?:[^\W_]|[_ ./()#’'-]){1,47}?)[ \"'`*]{0,48}(?=[|,;\t\r\n]|\Z)"
)
_RULE = re.compile(r"[ \t]{0,8}[|+:-][|+: \t-]{2,4000}")
"""A line between the header and the rows."""
_CELLS = {
    mark: re.compile(
        rf"[ ]*+(?P<cell>\"(?:[^\"\n]|\"\")*+\"|[^{re.escape(mark)}\n]*+)(?:{re.escape(mark)}|\Z)"
    )
    for mark in "|,;\t"
}
_BARE_HEADER = re.compile(r"\"[^\"\n,;]{1,64}\"|'[^'\n,;]{1,64}'|[^\W\d][\w .()#/-]{0,47}")
"""A cell in the header of a CSV file. A space before it, as in a sentence, rules out a header."""


class Tables(NamedTuple):
    """The secrets in the tables of a text."""

    places: list[tuple[int, int]]
    header: tuple[int, int] | None
    """Start and end of the header of a table that more rows may follow."""
    open_at: int
    """Start of the last row if more text may change it; the text's length if not."""


class _Header(NamedTuple):
    start: int
    end: int
    mark: str
    cells: int
    columns: tuple[tuple[int, Kind, str, int], ...]
    """The place of each column of secrets, their kind, the word that says so, and their fewest characters."""


def find_tables(text: str, cells: list[int], since: int, at_line: bool) -> Tables:
    """Returns the secrets in the tables of `text`: `cells` are the places of names that are a cell, except for those
    before `since`. `at_line` says whether `text` begins a line.
    """
    places: list[tuple[int, int]] = []
    done = 0
    open_header: tuple[int, int] | None = None
    open_at = len(text)
    before = [match.start("name") for match in _HEADER_CELL.finditer(text, 0, since)]
    for at_name in [*before, *sorted(cells)]:
        header = _read_header(text, at_name) if at_name >= done else None
        if header is None or (header.start == 0 and not at_line):
            continue
        at, end = _read_rows(text, header, places)
        done = max(end, header.end)
        if at >= 0:
            open_header, open_at = (header.start, min(header.end, len(text))), min(at, len(text))
    return Tables(places, open_header, open_at)


def _find_line_end(text: str, at: int) -> int:
    end = text.find("\n", at, at + MAX_LINE_CHARS)
    return min(len(text), at + MAX_LINE_CHARS) if end < 0 else end


def _read_header(text: str, at: int) -> _Header | None:
    """Returns the header in whose line `at` is, with the line after it if that is a rule; None if it is none."""
    start = text.rfind("\n", max(0, at - MAX_HEADER_CHARS), at) + 1
    end = _find_line_end(text, at)
    if end - start > MAX_HEADER_CHARS:
        return None
    line = text[start:end]
    mark = next((mark for mark in "\t|;," if mark in line), "")
    if not mark:
        return None
    cells = [line[a:b] for a, b in _list_cells(line, mark)]
    kinds = [find_kind(cell) for cell in cells]
    columns = tuple(
        (place, *kind, _LEAST_TOKEN_CHARS if cells[place].lower() == "token" else 0)
        for place, kind in enumerate(kinds)
        if kind is not None
    )
    if len(cells) < 2 or not columns:
        return None
    if mark == "|":
        rule = text[end + 1 : _find_line_end(text, end + 1)]
        if end < len(text) and not _RULE.fullmatch(rule.rstrip()) and end + 1 + len(rule) < len(text):
            return None
        end = min(len(text), end + 1 + len(rule))
    elif not all(map(_BARE_HEADER.fullmatch, re.split(rf"[{mark}\r]", line.rstrip("\r")))):
        return None
    return _Header(start, min(len(text), end + 1), mark, len(cells), columns)


def _read_rows(text: str, header: _Header, places: list[tuple[int, int]]) -> tuple[int, int]:
    """Adds the secrets below a header. Returns the start of the row that more text may change, or -1, and where the
    table ends.
    """
    at = header.end
    form: Form = "said" if header.mark == "|" else "line"
    while at < len(text):
        end = _find_line_end(text, at)
        line = text[at:end]
        if header.mark == "|" and _RULE.fullmatch(line.rstrip()):
            at = end + 1
            continue
        cells = list(_list_cells(line, header.mark))
        if len(cells) != header.cells and end < len(text):
            return -1, at
        for column, kind, stem, least_chars in header.columns:
            if column < len(cells):
                start, stop = cells[column]
                value = line[start:stop]
                of_kind: Form = "query" if kind == "hint" else form
                if len(value) >= least_chars and " " not in value and is_secret(value, kind, of_kind, stem):
                    places.append((at + start, at + stop))
        if end == len(text):
            return at, end
        at = end + 1
    return at, len(text)


def _list_cells(line: str, mark: str) -> Iterator[tuple[int, int]]:
    """Yields start and end of each cell, without spaces, quotes and marks of Markdown around it."""
    at, stop = 0, len(line.rstrip("\r \t" if mark != "\t" else "\r"))
    if mark == "|":
        at = len(line) - len(line.lstrip(" \t|")) if line.lstrip(" \t").startswith("|") else 0
        stop = stop - 1 if line[:stop].endswith("|") else stop
    while at <= stop:
        match = _CELLS[mark].match(line, at, stop)
        if match is None:
            return
        start, end = match.span("cell")
        inner = line[start:end].strip(" \t\"'`*")
        start += len(line[start:end]) - len(line[start:end].lstrip(" \t\"'`*"))
        yield start, start + len(inner)
        if match.end() >= stop and not line[:stop].endswith(mark):
            return
        at = match.end() if match.end() > at else at + 1
        if at > stop or (at == stop and match.end() == stop and line[stop - 1 : stop] != mark):
            return
