"""Passwords on command lines: `curl -u name:password`, `sshpass -p password`, `mysql -ppassword`.

What an option means depends on the program, so each program has its own options. Options are read up to the end of the
line, in the notation of a shell or of a list of arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from seawall.core.secret_values import is_secret

MAX_LINE_CHARS = 400
"""Characters after the name of a program in which its options are read."""

_GAP = r"""(?:["']?,?[ \t]{1,4}|["'],|=)(?:\\{0,7}["'])?"""
"""Text between an option and its value: a space, or the quotes and the comma of a list of arguments."""
_TIGHT = r"""["']?"""
_VALUE = r"""(?P<secret>[^\s"'\\,;|&<>()]{3,200})"""


def _build_option(names: str, gap: str, value: str = _VALUE) -> re.Pattern[str]:
    return re.compile(rf"""(?<=[\s"'])(?:{names}){gap}{value}""")


_LOGIN = rf"[^\s:\"'\\]{{0,64}}:{_VALUE}"
_PROGRAMS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("curl", _build_option("-u|-U|--user|--proxy-user", rf"(?:{_GAP}|{_TIGHT})", _LOGIN)),
    ("wget", _build_option("--user", _GAP, _LOGIN)),
    ("sshpass", _build_option("-p", rf"(?:{_GAP}|{_TIGHT})")),
    ("docker", _build_option("-p", _GAP, rf"(?![0-9.:]+(?:/|[\s\"']|\Z)){_VALUE}")),
    ("podman", _build_option("-p", _GAP, rf"(?![0-9.:]+(?:/|[\s\"']|\Z)){_VALUE}")),
    ("mongo", _build_option("-p", _GAP)),
    ("mysql", _build_option("-p", _TIGHT)),
    ("mariadb", _build_option("-p", _TIGHT)),
    ("redis-cli", _build_option("-a", _GAP)),
    ("ldap", _build_option("-w", _GAP)),
    ("sqlcmd", _build_option("-P", _GAP)),
    ("unzip", _build_option("-P", _GAP)),
    ("zip", _build_option("-P", _GAP)),
    ("7z", _build_option("-p", _TIGHT)),
    ("smbclient", _build_option("-U", _GAP, rf"[^\s%\"'\\]{{1,64}}%{_VALUE}")),
    ("openssl", re.compile(rf"""(?<=[\s"'])pass:{_VALUE}""")),
    ("keytool", _build_option("-storepass|-keypass", _GAP)),
)
_LINE_ENDS = re.compile(r"(?<!\\)[\n\r]|\\n")
_BEGINS = "abcdefghijklmnopqrstuvwxyz0123456789_"

MAY_BE_OPTION = re.compile(r"-(?<=[\s\"'].)(?:[uUpPaw]|-user|-proxy-user|storepass|keypass)")
"""An option that a password may follow. Most texts have none."""
PROGRAMS = tuple(program for program, _ in _PROGRAMS)


def find_in_commands(text: str, lower: str, since: int) -> Iterator[tuple[int, int, int, bool]]:
    """Yields start and end of each password, or twice the end of the text, the place of its program, and whether more
    text may change this. `lower` is `text` in small letters.
    """
    for program, option in _PROGRAMS:
        at = lower.find(program, max(0, since - MAX_LINE_CHARS))
        while at >= 0:
            after = at + len(program)
            limit = min(len(text), after + MAX_LINE_CHARS)
            ended = _LINE_ENDS.search(text, after, limit)
            end = limit if ended is None else ended.start()
            found = False
            if lower[at - 1 : at] not in _BEGINS or at == 0:
                for match in option.finditer(text, after, end):
                    if is_secret(match["secret"], "password", "query", "pass"):
                        found = True
                        yield *match.span("secret"), at, match.end() == len(text)
                if end == len(text) and not found:
                    yield end, end, at, True
            # a second name in the line would find the same again
            at = lower.find(program, end)
