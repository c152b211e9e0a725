"""What no file of the repository holds, and how long files and functions may be."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

from house import code

FILE_LINES = 640  # a driver that reads in one go is better than files that exist so that another one fits
FUNCTION_LINES = 70

# Put together from pieces, so that this file does not hold what it looks for.
_INDEXES = ["py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "npm" + "js.com"]
_PATHS = ["/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "/op" + "t/wheels", "../sha" + "red/"]
_MAKING = [
    "co-auth" + "ored-by",
    "generated" + " with",
    "ai-gen" + "erated",
    "as an ai" + " ",
    "with claude" + " code",
]
_WORDS = [*_INDEXES, *_PATHS, *_MAKING]
FORBIDDEN = re.compile("|".join(map(re.escape, _WORDS)), re.IGNORECASE)

WAIVER = re.compile(
    r"#\s*(?:noqa\b(?::\s*[A-Z]+\d+(?:\s*,\s*[A-Z]+\d+)*)?|type:\s*ignore(?:\[[^\]]*\])?"
    r"|pyright:\s*(?:ignore(?:\[[^\]]*\])?|basic|standard|[a-zA-Z]+\s*=\s*\w+)|pragma:\s*no cover)(?P<reason>.*)$"
)


def _texts() -> list[tuple[Path, str]]:
    found: list[tuple[Path, str]] = []
    for path in code.files():
        try:
            found.append((path, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


def _may_hold_forbidden(folded: str) -> bool:
    """Whether the pattern may find something in a text without cases: it takes far longer, and finds no more."""
    return any(word in folded for word in _WORDS)


def test_no_file_names_a_package_index_a_path_of_one_machine_or_its_making() -> None:
    found = [
        f"{code.name(path)}:{number}: {match[0]}"
        for path, text in _texts()
        if _may_hold_forbidden(text.casefold())
        for number, line in enumerate(text.splitlines(), 1)
        if (match := FORBIDDEN.search(line))
    ]

    assert found == []


def test_no_lock_file_and_no_hashes_are_tracked() -> None:
    assert [code.name(path) for path in code.files() if path.name in ("uv.lock", "poetry.lock")] == []
    for name in (
        "constraints.txt",
        "bench/constraints.txt",
        "bench/constraints-crewai.txt",
        "bench/constraints-loop-peers.txt",
    ):
        lines = (code.ROOT / name).read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if not re.match(r"[a-z0-9][a-z0-9._-]*==[^\s;]+( ; .+)?$", line)] == []


def test_a_file_is_a_sitting() -> None:
    long = {
        code.name(path): lines
        for path in code.python("src", "tests", "bench", "tools")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > FILE_LINES
    }

    assert long == {}


def test_a_function_fits_a_screen() -> None:
    long = {
        f"{code.name(path)}:{node.lineno} {name}": lines
        for path in code.python("src", "tests", "bench", "tools")
        for name, node in code.functions(path)
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    }

    assert long == {}


def test_every_waiver_carries_its_reason_on_the_line() -> None:
    bare: list[str] = []
    for path in code.python("src", "tests", "bench", "tools"):
        text = path.read_text(encoding="utf-8")
        if not any(map(WAIVER.search, text.splitlines())):
            continue
        source = io.StringIO(text)
        comments = (
            each for each in tokenize.generate_tokens(source.readline) if each.type == tokenize.COMMENT
        )
        for comment in comments:
            match = WAIVER.search(comment.string)
            if match and len(re.findall(r"\w+", match["reason"])) < 2:
                bare.append(f"{code.name(path)}:{comment.start[0]}: {comment.string}")

    assert bare == []


def test_the_files_that_the_architecture_names_are_there() -> None:
    text = (code.ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    names = re.findall(r"`([a-z_]+/[a-z_/]+(?:\.py|/))`", text)

    assert len(names) > 20
    places = (code.SRC, code.SRC.parent, code.ROOT)
    assert [each for each in names if not any((place / each).exists() for place in places)] == []
