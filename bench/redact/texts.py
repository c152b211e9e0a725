"""Texts without a secret, of the kinds that are taken for one."""

from __future__ import annotations

import base64
import gzip
import json
import random
import string
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

WORDS = [
    "order",
    "report",
    "customer",
    "final",
    "version",
    "north",
    "west",
    "quarter",
    "assessment",
    "invoice",
    "ticket",
    "desk",
    "task",
    "risk",
    "disk",
    "flask",
    "mask",
    "asset",
    "basket",
    "market",
    "worker",
    "network",
    "key",
    "token",
    "secret",
    "password",
    "basic",
    "bearer",
    "cookie",
    "author",
    "pass",
    "access",
    "api",
    "public",
    "primary",
    "service",
    "page",
    "next",
    "session",
    "sort",
    "cache",
    "index",
    "value",
    "name",
    "status",
    "shipping",
    "address",
    "total",
    "item",
    "summary",
    "draft",
]
PLACEHOLDERS = (
    *(
        "password=<your password>",
        "password: str",
        "password: string",
        "api_key=None",
        'password=os.environ["X"]',
    ),
    *(
        "token: 512",
        "PASSWORD=${DB_PASSWORD}",
        "password=****",
        "password: ********",
        "api_key: YOUR_API_KEY",
    ),
    *('api_key="your-api-key-here"', "password = getpass.getpass()", 'password = os.getenv("DB_PASSWORD")'),
    *("connect(user=user, password=password, token=token)", "password=self.password", '"password": "string"'),
    *(
        "token=args.token",
        "secret = config.secret",
        "const password = req.body.password;",
        "password: {{ vault_pw }}",
    ),
    *(
        '{"type": "password", "name": "new"}',
        '<input type="password" id="pw" name="pw">',
        "password: SecretStr",
    ),
    *(
        "The password must be at least 8 characters.",
        "Password: required",
        "Enter your password: ",
        "token: Token",
    ),
    *(
        "api_key=settings.API_KEY",
        "api_key: os.environ['OPENAI_API_KEY'],",
        "Bearer <token>",
        "Bearer $TOKEN",
    ),
    *(
        "Authorization: Bearer {token}",
        "Authorization: Bearer ${TOKEN}",
        "Authorization: required",
        "password=%s",
    ),
    *(
        '"Authorization": f"Bearer {key}"',
        "a bearer of bad news",
        "Basic training for all",
        "basic authentication",
    ),
    *(
        "max_tokens: 4096",
        "token count: 1500",
        "next_page_token=CAUQAA1234567",
        '"nextPageToken": "CAUQAA12345678"',
    ),
    *(
        "password: !vault |",
        "password=$DB_PASSWORD",
        "passwd: all authentication tokens updated successfully.",
    ),
    *('"password": ["This field is required."]', '"password": "Enter your password"', 'password:"Password"'),
    *(
        "{password:e.password,token:t.token}",
        "secret: my-tls-secret-2",
        "secretName: web-tls-1",
        "tokenizer: gpt2-m",
    ),
    *("primary_key=order_id2", '"key": "abc123def"', "cache_key=user2profile", "sort_key: 2031-01-01T00:00"),
    *(
        "PASSWORD_FILE=/run/secrets/pw1",
        "PWD=/usr/local/x",
        "the token is expired",
        "secret santa: bring 20 gifts",
    ),
    *("https://user:password@example.org/x", "https://<user>:<password>@example.org", "http://host:8080/a@b"),
    *(
        "git clone https://<your-token>@example.org/x",
        "ssh git@example.org:owner/repo.git",
        "cookie: a small biscuit",
    ),
    *(
        "if password == other.password:",
        "token = create_token2(user)",
        'password = input("Password: ")',
        "sk-...",
    ),
    *(
        "if password1 != password2:",
        "token_type: bearer",
        '"secret": true',
        '"token": "the"',
        "password: 12 or more characters",
    ),
    *(
        "passwords: 12",
        "password=password",
        "AKIA****************",
        "ghp_xxxxxxxxxxxx",
        "sk-…",
        "api_key: <api_key>",
    ),
    *(
        "password: [redacted]",
        "token=[redacted]",
        "Authorization: [redacted]",
        "key=value&page=2",
        "API_KEY=changeme",
    ),
    *(
        "adduser --disabled-password --gecos x",
        "x.tiktoken:PT09PT09PT09PT09PT0= 4578",
        "password | string | yes",
    ),
)


def _random_bytes(rng: random.Random, encode: Callable[[bytes], bytes], size: int) -> str:
    return encode(rng.randbytes(size)).decode()


def _joined(rng: random.Random, gap: str, least: int = 2, most: int = 7) -> str:
    parts = [rng.choice(WORDS) for _ in range(rng.randint(least, most))]
    parts += [str(rng.randrange(10**6)), rng.choice("ABCDEF"), f"v{rng.randrange(20)}"][: rng.randrange(4)]
    rng.shuffle(parts)
    return gap.join(part.title() if rng.random() < 0.4 else part for part in parts)


def _camel(rng: random.Random) -> str:
    parts = [rng.choice(WORDS).title() for _ in range(rng.randint(2, 5))]
    parts.insert(rng.randrange(len(parts)), str(rng.randrange(2020, 2040)))
    return "".join(parts)


def _path(rng: random.Random) -> str:
    parts = [
        _joined(rng, rng.choice("-_ .")) if rng.random() < 0.5 else rng.choice(WORDS)
        for _ in range(rng.randint(1, 5))
    ]
    start = rng.choice(["/", "/srv/", "./", "C:\\\\", "s3://bucket/", "~/"])
    return (
        start
        + "/".join(parts)
        + f"/{rng.choice(['desk', 'risk', 'task', 'x'])}-{_camel(rng)}."
        + rng.choice(["pdf", "py", "json"])
    )


def _code(rng: random.Random) -> str:
    kind = rng.randrange(5)
    if kind == 0:
        return (
            rng.choice(["ASIAPACIFIC", "AKIABARA", "EUROPE", "NORTHWEST"])
            + rng.choice(WORDS).upper()
            + f"{rng.randrange(10**4):04}"
        )
    if kind == 1:
        return "-".join(
            "".join(rng.choice(string.ascii_uppercase + string.digits) for _ in range(4)) for _ in range(4)
        )
    if kind == 2:
        return rng.choice(["SKU", "SK", "KB", "TASK", "key"]) + f"-{rng.randrange(10**10)}"
    return (
        f"{rng.choice(['task', 'desk', 'risk', 'flask', 'sku'])}-{_camel(rng)}"
        if kind == 3
        else f"task-{rng.randbytes(10).hex()}"
    )


def _with_check_digit(digits: str) -> str:
    numbers = list(map(int, digits))
    doubled = sum(numbers[-2::-2]) + sum(2 * digit - 9 * (digit > 4) for digit in numbers[-1::-2])
    return digits + str(-doubled % 10)


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(string.digits) for _ in range(count))


def _number(rng: random.Random) -> str:
    return rng.choice(
        [
            f"+{rng.randrange(1, 99)} {rng.randrange(100, 999)} {rng.randrange(10**6, 10**7)}",
            f"({rng.randrange(200, 999)}) {rng.randrange(200, 999)}-{rng.randrange(10**3, 10**4)}",
            f"order {_with_check_digit('4' + _digits(rng, 14))}",
            f'"tracking_number": "{_with_check_digit(rng.choice("4567") + _digits(rng, 14))}"',
            f"tracking no. {_with_check_digit('51' + _digits(rng, 13))}",
            f"1Z{_digits(rng, 6)}{_digits(rng, 10)}",
            f"94{_digits(rng, 20)}",
            f"DE{_digits(rng, 2)} {_digits(rng, 4)} {_digits(rng, 4)} {_digits(rng, 4)} {_digits(rng, 4)} {_digits(rng, 2)}",
            f"GB{_digits(rng, 2)} NWBK {_digits(rng, 4)} {_digits(rng, 4)} {_digits(rng, 4)} {_digits(rng, 2)}",
            f"FR{_digits(rng, 2)}{_digits(rng, 10)}AB{_digits(rng, 11)}",
            f'"at": {rng.randrange(10**9, 2 * 10**9)}{_digits(rng, 6)}',
            f'"timestamp": {rng.randrange(10**12, 2 * 10**12)}',
            f"0.{_digits(rng, 16)}",
            f"-{rng.randrange(10)}.{_digits(rng, 15)}e-05",
            f"{rng.randrange(1, 9)}.{_digits(rng, 16)}",
            f"a{_with_check_digit('4' + _digits(rng, 14))}f",
            f"IMEI: 35{_digits(rng, 13)}",
            f"2031-0{rng.randrange(1, 9)}-1{rng.randrange(9)} 10:1{rng.randrange(9)}:00.{_digits(rng, 6)}",
            f'"id": {_with_check_digit("5" + rng.choice("12345") + _digits(rng, 13))}',
            " ".join(_digits(rng, 4) for _ in range(rng.choice([2, 3, 5, 6, 8]))),
        ]
    )


def _package(rng: random.Random) -> str:
    name = _joined(rng, rng.choice("-_."), 1, 4)
    return rng.choice(
        [
            f"{name}=={rng.randrange(9)}.{rng.randrange(99)}.0",
            f"@{rng.choice(WORDS)}/{name}@^{rng.randrange(9)}.0.0",
            f"npm_{name}_{name}",
            f"flask-SQLAlchemy2{_camel(rng)}",
            f'"integrity": "sha512-{base64.b64encode(rng.randbytes(64)).decode()}"',
            f"sha256:{rng.randbytes(32).hex()}",
            f"ghcr.io/{name}/x@sha256:{rng.randbytes(32).hex()}",
            f"hf_{name}_{name}",
            f"r8_{name}",
            f"gh_{name}",
        ]
    )


def _url(rng: random.Random) -> str:
    name = _joined(rng, "-")
    return rng.choice(
        [
            f"https://example.org/{name}/{uuid.UUID(int=rng.getrandbits(128))}?page={rng.randrange(99)}&sort=name",
            f"https://example.org:8443/{name}#section-{rng.randrange(9)}",
            f"https://example.org/a?id={rng.randbytes(16).hex()}&key={rng.choice(WORDS)}&next_token=x{rng.randrange(10**9)}",
            f"https://cdn.example.org/{rng.randbytes(20).hex()}/{name}.min.js?v={rng.randrange(10**6)}",
            f"mailto:{rng.choice(WORDS)}@example.org",
            f"https://discord.com/channels/{_digits(rng, 18)}/{_digits(rng, 18)}",
            f"data:image/png;base64,{base64.b64encode(rng.randbytes(300)).decode()}",
            f"https://example.org/{base64.urlsafe_b64encode(rng.randbytes(30)).decode()}",
        ]
    )


def _diff(rng: random.Random) -> str:
    lines = [
        f"diff --git a/{_path(rng)} b/{_path(rng)}",
        f"index {rng.randbytes(4).hex()[:7]}..{rng.randbytes(4).hex()[:7]} 100644",
    ]
    for _ in range(rng.randint(2, 8)):
        name = _joined(rng, "_").lower()
        lines += [
            f"-    {name} = {rng.choice(WORDS)}.{rng.choice(WORDS)}({rng.choice(WORDS)}={rng.choice(WORDS)})",
            f"+    {name}: {rng.choice(['str', 'int', 'bytes'])} = {rng.choice(WORDS)}_{rng.choice(WORDS)}",
            f"+    password = {rng.choice(WORDS)}.get_{rng.choice(WORDS)}()",
            f"     {rng.choice(WORDS)}(token=token, api_key=self._api_key, secret=secrets[{rng.choice(WORDS)}])",
        ]
    return "\n".join(lines)


def _minified(rng: random.Random) -> str:
    letters = string.ascii_lowercase
    parts = [
        f"function {rng.choice(letters)}({rng.choice(letters)},{rng.choice(letters)})"
        f"{{return {rng.choice(letters)}.{rng.choice(WORDS)}?{rng.choice(letters)}.token:{rng.choice(letters)}[{rng.randrange(99)}]}}"
        f'var {rng.choice(letters)}={{password:{rng.choice(letters)}.password,key:"{rng.choice(WORDS)}",'
        f"secret:!{rng.randrange(2)},apiKey:{rng.choice(letters)}.apiKey,token:{rng.choice(letters)}}};"
        for _ in range(rng.randint(3, 20))
    ]
    return "".join(parts) + f"//# sourceMappingURL=x.{rng.randbytes(10).hex()}.js.map"


def _prose(rng: random.Random) -> str:
    return (
        " ".join(rng.choice(WORDS) for _ in range(rng.randint(8, 60))).capitalize()
        + f": {rng.randrange(100)}."
    )


KINDS: dict[str, Callable[[random.Random], str]] = {
    "UUID": lambda rng: str(uuid.UUID(int=rng.getrandbits(128))),
    "hash": lambda rng: rng.randbytes(rng.choice([16, 20, 32, 64])).hex(),
    "base64": lambda rng: _random_bytes(rng, base64.b64encode, rng.choice([30, 300, 3_000])),
    "base64url": lambda rng: _random_bytes(rng, base64.urlsafe_b64encode, rng.choice([30, 300, 3_000])),
    "base64 in lines": lambda rng: _random_bytes(rng, base64.encodebytes, 3_000),
    "base32": lambda rng: _random_bytes(rng, base64.b32encode, rng.choice([10, 20, 300])),
    "path": _path,
    "product code": _code,
    "slug": lambda rng: _joined(rng, rng.choice("-_")),
    "package": _package,
    "URL": _url,
    "diff": _diff,
    "minified script": _minified,
    "number": _number,
    "prose": _prose,
    "placeholder": lambda rng: rng.choice(PLACEHOLDERS),
}
"""A text of each kind, drawn from a seed."""
LARGE = "base64url of 30 kB"


def large(rng: random.Random) -> str:
    """An attachment as mail servers give it."""
    return _random_bytes(rng, base64.urlsafe_b64encode, 30_000)


WRITTEN = ("{}", "see {}, please", '{{"it": "{}"}}', "{}\n{}", "a={}&b=1")
"""How these texts are written: what stands beside them is no reason either."""


def written(rng: random.Random, kind: str) -> str:
    """A text of a kind, in a place."""
    text = KINDS[kind](rng)
    return (
        text
        if "\n" in text or kind in ("placeholder", "number")
        else rng.choice(WRITTEN).replace("{{", "{").replace("}}", "}").replace("{}", text)
    )


def recorded(folder: Path) -> Iterator[str]:
    """Every text of recorded runs, once."""
    seen: set[str] = set()
    for path in sorted(folder.rglob("*.jsonl*")):
        read = gzip.open if path.suffix == ".gz" else open
        with read(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                for text in _strings(json.loads(line)):
                    if text not in seen:
                        seen.add(text)
                        yield text


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)
