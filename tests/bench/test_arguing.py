"""The program that looks for texts that go round in recorded runs, on recordings of our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from arguing import CHOICES, Talk, audit_reads, count_talks, hear, load, measure

from audit.runs import recorded, write
from seawall import WasteGuard

NOTES = (
    "The autumn release brings a faster search, a calmer start page and the report that finance has wanted since "
    "spring. Customers with older contracts keep their prices until the end of the year. Support answers on weekdays, "
    "and the status page tells of every outage within minutes."
)
ROUNDS = [(who, f"{NOTES} Thank you{'!' * number}") for number, who in enumerate(["writer", "editor"] * 3)]
WORK = [
    ("writer", f"Chapter {word} deals with {word} harbours and {word} bridges. " * 9)
    for word in ("north", "quiet")
]


def talk(messages: list[tuple[str, str]], *, good: bool | None = True) -> Talk:
    return Talk(source="ours", id="1", good=good, messages=tuple(messages))


def write_folder(folder: Path) -> Path:
    (folder / "blame").mkdir()
    (folder / "conversations").mkdir()
    (folder / "loops").mkdir()
    history = [{"name": who, "role": "user", "content": text} for who, text in ROUNDS]
    history.append({"name": "Computer_terminal", "role": "user", "content": NOTES})
    rows: dict[str, Any] = {
        "blame/ours.jsonl": {"file": "1.json", "history": history},
        "conversations/ours.jsonl": {
            "id": "2",
            "success": True,
            "messages": [{"role": who, "content": text} for who, text in WORK],
        },
    }
    for name, row in rows.items():
        (folder / name).write_text(json.dumps(row) + "\n", encoding="utf-8")
    run = recorded([("read_file", {"path": "a"}, "text")] * 2, id="3", success=True, runaway=False)
    run["calls"][1]["agent"] = "other"
    write(folder / "loops" / "ours.jsonl", [run])
    return folder


def test_it_speaks_where_a_text_goes_round_and_not_of_work() -> None:
    assert hear(talk(ROUNDS), WasteGuard()).advice
    assert len(hear(talk(ROUNDS), WasteGuard()).pairs) == len(ROUNDS) - 1
    assert not hear(talk(WORK), WasteGuard()).advice


def test_what_an_orchestrator_says_to_itself_is_no_answer() -> None:
    inner = [("Orchestrator (thought)", text) for _, text in ROUNDS]

    assert hear(talk(inner), WasteGuard()).pairs == []


def test_it_counts_the_good_runs_among_those_in_which_it_speaks() -> None:
    talks = [talk(ROUNDS), talk(ROUNDS, good=None), talk(WORK)]

    counted = count_talks(talks, [hear(each, WasteGuard()) for each in talks])

    assert (counted["runs"], counted["good"], counted["spoke"], counted["spoke_good"]) == (3, 2, 2, 1)


def test_recordings_are_read_without_what_terminals_and_people_say(tmp_path: Path) -> None:
    talks = load(write_folder(tmp_path))

    assert [(each.source, each.good, len(each.messages)) for each in talks] == [
        ("ours", None, 6),
        ("ours", True, 2),
    ]
    measured = measure(talks, tmp_path)
    assert len(measured["texts"]) == len(CHOICES)
    assert measured["texts"][0]["spoke"] == 1 and measured["texts"][0]["spoke_good"] == 0


def test_a_read_of_another_agent_is_counted(tmp_path: Path) -> None:
    reads = audit_reads(write_folder(tmp_path))

    assert reads["ours"] == {"runs": 1, "agents": 1, "calls": 2, "advised": 1, "spoke": 1, "spoke_good": 1}
