"""Secrets of every shape, and the places that they are written to."""

from __future__ import annotations

import json
import random
import re._constants as constants
import re._parser as parser
import string
from collections.abc import Iterator
from typing import Any, NamedTuple

from seawall.core.secret_shapes import SHAPES

ANY = string.ascii_letters + string.digits


class Secret(NamedTuple):
    """A text with a secret in it."""

    shape: str
    form: str
    text: str
    secret: str
    """What must not be left of it."""


def from_pattern(pattern: str, rng: random.Random) -> str:
    """Returns a text that a pattern without look-arounds matches."""
    return _drawn(parser.parse(pattern), rng)


def _drawn(items: Any, rng: random.Random) -> str:
    return "".join(_one(operation, argument, rng) for operation, argument in items)


def _one(operation: Any, argument: Any, rng: random.Random) -> str:
    match operation:
        case constants.LITERAL:
            return chr(argument)
        case constants.IN:
            return rng.choice(_members(argument))
        case constants.MAX_REPEAT | constants.MIN_REPEAT | constants.POSSESSIVE_REPEAT:
            least, most, items = argument
            count = rng.randint(least, max(least, min(int(most), least + 20)))
            return "".join(_drawn(items, rng) for _ in range(count))
        case constants.SUBPATTERN:
            return _drawn(argument[-1], rng)
        case constants.BRANCH:
            return _drawn(rng.choice(argument[1]), rng)
        case constants.ASSERT | constants.ASSERT_NOT | constants.AT:
            return ""
    raise ValueError(f"{operation} is not drawn from")


def _members(items: Any) -> list[str]:
    members: list[str] = []
    for operation, argument in items:
        if operation is constants.LITERAL:
            members.append(chr(argument))
        elif operation is constants.RANGE:
            members += map(chr, range(argument[0], argument[1] + 1))
        else:
            raise ValueError(f"{operation} is not drawn from")
    return members


FORMS: dict[str, str] = {
    "alone": "{}",
    "in a sentence": "It is {} as of today.",
    "at the start": "{} is it",
    "at the end": "it is {}",
    "in quotes": "say '{}' twice",
    "in backticks": "say `{}` twice",
    "assigned": "X={}\n",
    "behind an escaped line end": r"first\n{}\nlast",
    "behind an escape": r"x\u003d{}\u0026",
    "behind %20": "a%20{}%20b",
    "behind a colour": "\x1b[32m{}\x1b[0m",
    "in a list": '["a","{}","b"]',
    "in JSON": '{{"a": 1, "it": "{}", "b": 2}}',
    "as a JSON key": '{{"{}": 1}}',
    "in JSON in JSON": '{{"body": "{{\\"it\\": \\"{}\\"}}"}}',
    "in XML": "<a>{}</a>",
    "in a URL": "https://example.org/?a={}&b=1",
    "on a line of its own": "first\n{}\nlast",
    "in a diff": "-old\n+{}\n same",
    "behind a letter that is not ASCII": "é{}é",
}


def shaped(rng: random.Random, each: int) -> Iterator[Secret]:
    """Secrets of every shape of the table, in every form."""
    for shape in SHAPES:
        for _ in range(each):
            for form, template in FORMS.items():
                secret = from_pattern(shape.sample or shape.pattern, rng)
                if shape.name == "Sentry DSN" or shape.name == "Teams webhook":
                    yield Secret(shape.name, form, template.format(f"https://{secret}"), secret)
                else:
                    yield Secret(shape.name, form, template.format(secret), secret)


def _mixed(rng: random.Random, least: int, most: int, more: str = "") -> str:
    """Letters of both cases and digits."""
    size = rng.randint(least, most)
    drawn = [
        rng.choice(string.ascii_lowercase),
        rng.choice(string.ascii_uppercase),
        rng.choice(string.digits),
    ]
    drawn += [rng.choice(ANY + more) for _ in range(size - 3)]
    middle = drawn[1:]
    rng.shuffle(middle)
    return drawn[0] + "".join(middle)


PASSWORD_NAMES = (
    *(
        "password",
        "PASSWORD",
        "Password",
        "passwd",
        "db_password",
        "DB_PASSWORD",
        "dbPassword",
        "user.password",
    ),
    *(
        "POSTGRES_PASSWORD",
        "passphrase",
        "MYSQL_PWD",
        "pwd",
        "DB_PASS",
        "new_password",
        "password2",
        "Passwort",
    ),
)
KEY_NAMES = (
    *(
        "api_key",
        "apiKey",
        "API_KEY",
        "api-key",
        "apikey",
        "OPENAI_API_KEY",
        "x-api-key",
        "secret",
        "SECRET_KEY",
    ),
    *("client_secret", "clientSecret", "aws_secret_access_key", "private_key", "access_key", "signing-key"),
    *("encryption_key", "app_key", "subscription-key", "DD_API_KEY", "webhook_secret", "master_key"),
)
TOKEN_NAMES = (
    *(
        "token",
        "TOKEN",
        "access_token",
        "accessToken",
        "ACCESS_TOKEN",
        "refresh_token",
        "auth-token",
        "authToken",
    ),
    *("bot_token", "X-Auth-Token", "id_token", "SessionToken", "private-token"),
)
NAMED_FORMS: dict[str, str] = {
    "=": "{name}={value}",
    "= with spaces": "{name} = {value}\n",
    "= in quotes": '{name}="{value}"',
    "= in single quotes": "{name} = '{value}'",
    "=>": "{name} => '{value}'",
    ":=": '{name} := "{value}"',
    ":": "{name}: {value}",
    ": tight": "{name}:{value}",
    "in a sentence": "The {name} is {value}",
    "YAML": "a: 1\n{name}: {value}\nb: 2\n",
    "YAML in quotes": 'x:\n  {name}: "{value}"\n',
    "YAML block": "x:\n  {name}: |\n    {value}\n",
    "YAML name and value": "- name: {name}\n  value: {value}\n",
    "environment": "A=1\n{name}={value}\nB=2\n",
    "export": "export {name}='{value}'\n",
    "JSON": '{{"{name}": "{value}", "a": 1}}',
    "JSON tight": '{{"a":1,"{name}":"{value}"}}',
    "JSON spread": '{{\n  "{name}" :\n    "{value}"\n}}',
    "JSON in JSON": '{{"body": "{{\\"{name}\\": \\"{value}\\"}}"}}',
    "JSON in JSON in JSON": r'{{"b": "{{\"b\": \"{{\\\"{name}\\\":\\\"{value}\\\"}}\"}}"}}',
    "JSON name and value": '{{"name": "{name}", "value": "{value}"}}',
    "Python dict": "{{'{name}': '{value}'}}",
    "Python subscript": "d['{name}'] = '{value}'",
    "Python annotated": '{name}: str = "{value}"',
    "TOML": '[x]\n{name} = "{value}"\n',
    "XML": "<x><{name}>{value}</{name}></x>",
    "XML attribute": '<add key="{name}" value="{value}"/>',
    "query": "https://example.org/x?{name}={value}&b=1",
    "query, escaped": r"https://example.org/x?a=1\u0026{name}={value}",
    "header": "GET / HTTP/1.1\r\n{name}: {value}\r\nHost: x\r\n",
    "option": "run --{name} {value} --more",
    "option with =": "run --{name}={value} --more",
    "behind an escaped line end": r"a=1\n{name}={value}\nb=2",
    "behind text": "please use {name}={value}, thank you",
    "in a diff": "-{name}=\n+{name}={value}\n",
}


def named(rng: random.Random, each: int) -> Iterator[Secret]:
    """Values that are secrets by their names, in every form."""
    for kind, names in (("password", PASSWORD_NAMES), ("key", KEY_NAMES), ("token", TOKEN_NAMES)):
        for form, template in NAMED_FORMS.items():
            for _ in range(each):
                name = rng.choice(names)
                value = {
                    "password": lambda: _mixed(rng, 8, 24, "!_-+^"),
                    "key": lambda: _mixed(rng, 16, 64, "_-"),
                    "token": lambda: _mixed(rng, 16, 64, "_-"),
                }[kind]()
                yield Secret(f"named {kind}", form, template.format(name=name, value=value), value)


CARDS = (
    "4" + "0" * 15,
    "5" + "1" + "0" * 14,
    "37" + "0" * 13,
    "6011" + "0" * 12,
    "3530" + "0" * 12,
    "2223" + "0" * 12,
)


def _card(rng: random.Random) -> str:
    shape = rng.choice(CARDS)
    kept = len(shape.rstrip("0")) or 1
    digits = [int(digit) for digit in shape[:kept]] + [
        rng.randrange(10) for _ in range(len(shape) - kept - 1)
    ]
    doubled = sum(digits[-2::-2]) + sum(2 * digit - 9 * (digit > 4) for digit in digits[-1::-2])
    return "".join(map(str, digits)) + str(-doubled % 10)


def _grouped(card: str, gap: str) -> str:
    groups = (
        [card[:4], card[4:10], card[10:]]
        if len(card) == 15
        else [card[at : at + 4] for at in range(0, 16, 4)]
    )
    return gap.join(groups)


def _base64(rng: random.Random, size: int) -> str:
    return "".join(rng.choice(ANY + "+/") for _ in range(size))


def others(rng: random.Random, each: int) -> Iterator[Secret]:
    """What is no word of fixed letters: cards, headers, URLs, cookies, keys of many lines, connection strings."""
    for _ in range(each):
        for form, template in FORMS.items():
            if form != "behind a letter that is not ASCII":
                card = _card(rng)
                yield Secret("card number", form, template.format(card), card)
            for gap in " -":
                grouped = _grouped(_card(rng), gap)
                yield Secret("card number, grouped", form, template.format(grouped), grouped)
            yield from _formed(rng, form, template)


def _formed(rng: random.Random, form: str, template: str) -> Iterator[Secret]:
    import base64

    password, token = _mixed(rng, 7, 20, "!_-"), _mixed(rng, 8, 40, "_-")
    account = _base64(rng, 86) + "=="
    basic = base64.b64encode(f"user:{password}".encode()).decode()
    lines = "\n".join(_base64(rng, 64) for _ in range(4))
    kind = rng.choice(["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
    pem = f"-----BEGIN {kind}PRIVATE KEY-----\n{lines}\n-----END {kind}PRIVATE KEY-----"
    pgp = f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{lines}\n-----END PGP PRIVATE KEY BLOCK-----"
    putty = f"PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\nPrivate-Lines: 4\n{lines}\nPrivate-MAC: {'0a' * 32}"
    for shape, text, secret in (
        ("Authorization: Bearer", f"Authorization: Bearer {token}", token),
        ("authorization: bearer", f"authorization: bearer {token}", token),
        ("Authorization: Basic", f"Authorization: Basic {basic}", basic),
        ("Bearer", f"Bearer {token}", token),
        ("Basic", f"Basic {basic}", basic),
        ("password in a URL", f"postgres://user:{password}@db.example.org:5432/x", password),
        ("password in a URL", f"https://u:{password}@example.org", password),
        ("password in a URL", f"redis://:{password}@10.0.0.1", password),
        ("AWS secret key", f"aws_secret_access_key={_base64(rng, 39)}7", ""),
        (
            "Azure storage",
            f"DefaultEndpointsProtocol=https;AccountName=x;AccountKey={account};EndpointSuffix=y",
            account,
        ),
        (
            "Azure service bus",
            f"Endpoint=sb://x/;SharedAccessKeyName=y;SharedAccessKey={account[:43]}=",
            account[:43],
        ),
        (
            "Azure SAS",
            f"?sv=2024-11-04&sp=r&sig={account[:43].replace('/', '%2F').replace('+', '%2B')}%3D",
            "",
        ),
        ("connection string", f"Server=x;Database=y;User Id=z;Password={password};Encrypt=yes", password),
        ("Cookie", f"Cookie: sid={token}; theme=dark", token),
        ("Set-Cookie", f"Set-Cookie: sid={token}; Path=/; HttpOnly", token),
        ("private key", pem.replace("\n", r"\n"), lines[:64]),
        ("PGP private key", pgp.replace("\n", r"\n"), lines[:64]),
        ("PuTTY private key", putty.replace("\n", r"\n"), lines[:64]),
    ):
        if '"' not in template or "{}" in template:
            hidden = secret or text.partition("=")[2].rpartition("sig=")[2]
            yield Secret(shape, form, template.format(text), hidden)
    yield Secret("private key", "lines", f"here:\n{pem}\nthat was it", lines[:64])
    yield Secret("PGP private key", "lines", f"here:\n{pgp}\nthat was it", lines[:64])
    yield Secret("PuTTY private key", "lines", f"here:\n{putty}\nthat was it", lines[:64])
    yield Secret("private key", "in JSON", json.dumps({"key": pem}), lines[:64])


def secrets(rng: random.Random, each: int) -> Iterator[Secret]:
    """Everything that must be found."""
    yield from shaped(rng, each)
    yield from named(rng, 3 * each)
    yield from others(rng, each)
