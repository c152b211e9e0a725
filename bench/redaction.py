"""How many secrets are found in every form, how many texts without one are changed, and what it costs.

python bench/redaction.py [--quick] [--seed 1] [--data PATH] [--json]
"""

from __future__ import annotations

import argparse
import base64
import inspect
import json
import platform
import random
import shlex
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from redact import drawn, texts
from rich.console import Console
from rich.table import Table

from seawall.core.redact import Redactor, StreamRedactor

ROOT = Path(__file__).resolve().parent.parent
DATA = Path("..") / "shared" / "data"
REDACTOR = Redactor()
MISSES_SHOWN = 3
SMALL = {
    "prose, 200 characters": (
        "The customer asked about the order that was placed last week, and the clerk said that it had been sent to the"
        " wrong address in the north-west; a refund of 40.50 was offered, which she accepted."
    ),
    "JSON, 200 characters": (
        '{"order_id": "A-1042", "customer_name": "Jane Doe", "status": "shipped", "items": [{"sku": "KB-1042", "qty":'
        ' 2, "unit_price": "19.99"}, {"sku": "MS-77", "qty": 1}], "shipping_address": {"city": "Leeds"}}'
    ),
    "code, 200 characters": (
        "def total(items: list[Item], *, rate: float = 0.2) -> float:\n    net = sum(item.price * item.quantity for item"
        " in items)\n    return round(net * (1 + rate), 2)\n\n\nclass Basket:\n    items: list[Item]\n"
    ),
}


def recall(secrets: Iterable[drawn.Secret], rng: random.Random) -> dict[str, Any]:
    """How many secrets of each shape are found, as text, as bytes and in pieces, and what was not."""
    count: Counter[str] = Counter()
    found: Counter[str] = Counter()
    missed: dict[str, list[str]] = defaultdict(list)
    for each in secrets:
        count[each.shape] += 1
        shown = REDACTOR.text(each.text)
        whole = each.secret not in shown and shown != each.text
        as_bytes = REDACTOR.data(each.text.encode())
        if whole and each.secret.encode() not in as_bytes and in_pieces(each.text, rng) == shown:
            found[each.shape] += 1
        else:
            missed[each.shape].append(f"{each.form}: {each.text[:200]}")
    return {
        shape: {"drawn": count[shape], "found": found[shape], "missed": missed[shape][:MISSES_SHOWN]}
        for shape in count
    }


def in_pieces(text: str, rng: random.Random) -> str:
    """What is told of a text that comes in pieces."""
    stream = StreamRedactor(REDACTOR)
    cuts = sorted(rng.randrange(len(text) + 1) for _ in range(rng.randrange(9)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return "".join(map(stream.feed, pieces)) + stream.end()


def false_hits(rng: random.Random, each: int) -> dict[str, Any]:
    """How many texts of each kind are changed, and where."""
    hits: dict[str, Any] = {}
    for kind in texts.KINDS:
        hits[kind] = _changed(texts.written(rng, kind) for _ in range(each))
    hits[texts.LARGE] = _changed(texts.large(rng) for _ in range(min(each, 300)))
    return hits


def _changed(drawn_texts: Iterable[str]) -> dict[str, Any]:
    count = changed = lost = 0
    shown: list[str] = []
    for text in drawn_texts:
        count += 1
        if places := REDACTOR.places(text):
            changed += 1
            lost += sum(end - start for start, end in places)
            shown.append(text[max(0, places[0][0] - 40) : places[0][1]][:200])
    return {"texts": count, "changed": changed, "characters_lost": lost, "shown": shown[:MISSES_SHOWN]}


def costs(seed: int, rounds: int) -> dict[str, float]:
    """Nanoseconds of CPU for each text, the least of some rounds."""
    rng = random.Random(seed)
    rows = [{"order_id": f"A-{number}", "customer": "Jane Doe", "total": 19.99} for number in range(900)]
    large = {
        "JSON, 30 kB": json.dumps(rows)[:30_000],
        "prose, 30 kB": (SMALL["prose, 200 characters"] + "\n") * 150,
        "code, 30 kB": inspect.getsource(argparse)[:30_000],
        "base64, 30 kB": base64.b64encode(rng.randbytes(22_500)).decode(),
        "base64url, 30 kB": base64.urlsafe_b64encode(rng.randbytes(22_500)).decode(),
    }
    small = {name: _ns(REDACTOR.text, text, 2_000, rounds) for name, text in SMALL.items()}
    return small | {name: _ns(REDACTOR.text, text, 20, rounds) for name, text in large.items()}


def _ns(call: Callable[[str], str], text: str, times: int, rounds: int) -> float:
    least = float("inf")
    for _ in range(rounds):
        start = time.process_time_ns()
        for _ in range(times):
            call(text)
        least = min(least, (time.process_time_ns() - start) / times)
    return round(least)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help=f"a folder of recordings (default: {DATA}, from the repository)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a tenth of it")
    parser.add_argument("--json", action="store_true", help="print the results instead of the tables")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "redaction.json")
    return parser.parse_args()


def main() -> int:
    """Measure, print and keep."""
    options = _options()
    data = options.data or ROOT / DATA
    rng = random.Random(options.seed)
    print("secrets in every form", file=sys.stderr, flush=True)
    found = recall(drawn.secrets(rng, 1 if options.quick else 10), rng)
    print("texts without a secret", file=sys.stderr, flush=True)
    hits = false_hits(rng, 200 if options.quick else 5_000)
    if data.exists():
        print(f"recordings in {data}", file=sys.stderr, flush=True)
        hits["recorded runs"] = _changed(texts.recorded(data))
    else:
        print(f"no recordings at {data}: played without", file=sys.stderr)
    written = {
        "command": shlex.join(["python", "bench/redaction.py", "--seed", str(options.seed)]),
        "python": platform.python_version(),
        "seed": options.seed,
        "recall": found,
        "false_hits": hits,
        "nanoseconds": costs(options.seed, 3 if options.quick else 9),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(written, indent=1, ensure_ascii=False))
    else:
        _print(written)
    is_wrong = any(row["found"] < row["drawn"] for row in found.values())
    return int(is_wrong or any(row["changed"] for kind, row in hits.items() if kind != "recorded runs"))


def _print(written: dict[str, Any]) -> None:
    console = Console()
    table = Table("secret", "drawn", "found", "missed, some", title="What is found")
    for shape, row in written["recall"].items():
        table.add_row(shape, f"{row['drawn']:,}", f"{row['found']:,}", "\n".join(row["missed"]))
    console.print(table, markup=False)
    table = Table("text without a secret", "texts", "changed", "characters lost", title="What is changed")
    for kind, row in written["false_hits"].items():
        table.add_row(kind, f"{row['texts']:,}", f"{row['changed']:,}", f"{row['characters_lost']:,}")
    console.print(table)
    table = Table("text without a secret", "µs of CPU", title="What it costs")
    for name, nanoseconds in written["nanoseconds"].items():
        table.add_row(name, f"{nanoseconds / 1000:,.1f}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
