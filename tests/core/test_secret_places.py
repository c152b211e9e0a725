"""Secrets that are known by their place: in a table, on a command line, in markup, in a sentence of any language."""

# ruff: noqa: RUF001 -- signs of full width are what Chinese and Japanese texts have

from __future__ import annotations

import base64
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.core.redact import MARK, Redactor, StreamRedactor

REDACTOR = Redactor()
PASSWORD = "hunter22&blue"
KEY = "q8Zt5LmW2xVb9NcR4yHd"


def told(pieces: list[str]) -> str:
    stream = StreamRedactor(REDACTOR)
    return "".join(map(stream.feed, pieces)) + stream.end()


SENTENCES = [
    *("Das Passwort lautet {}", "Kennwort: {}", "mot de passe : {}", "Le mot de passe est {}"),
    *(
        "La contraseña es {}",
        "contrasena={}",
        "A senha é {}",
        "palavra-passe: {}",
        "пароль: {}",
        "Пароль — {}",
    ),
    *(
        "密码：{}",
        "密码是{}，请登录",
        "密碼: {}",
        "パスワード：{}",
        "パスワードは {} です",
        "비밀번호: {}",
        '{{"密码": "{}"}}',
    ),
    *("The new password → {}", "Password - {}", "I updated the password to '{}'", "**Password:** {}"),
    *("- **Password**: `{}`", "Password:\n{}\n", "<b>Password:</b> {}\n", "`password`: `{}`"),
]
KEYS = [
    *(
        "API-Schlüssel: {}",
        "clé API : {}",
        "jeton : {}",
        "clave de API: {}",
        "chave de acesso: {}",
        "chiave API: {}",
    ),
    *(
        "ключ API: {}",
        "API密钥：{}",
        "APIキー：{}",
        "token de acceso: {}",
        "API key:\n    {}\n",
        "('x-api-key', '{}')",
    ),
    *("[(b'x-api-key', b'{}')]", '["--api-key", "{}"]', "define('API_KEY', '{}');", "| **API key** | `{}` |"),
    *("<td>API key</td><td>{}</td>", "<key>APIKey</key>\n\t<string>{}</string>"),
    *(
        '<property name="apiKey">{}</property>',
        '{{"headers": {{"X-Api-Key": ["{}"]}}}}',
        '{{"api_key": [\n  "{}"\n]}}',
    ),
]
COMMANDS = [
    *(
        "curl -u admin:{} https://example.org",
        "curl -s -u 'admin:{}' https://example.org",
        "curl -uadmin:{} x",
    ),
    *("curl https://example.org \\\n  --user admin:{}", "['curl', '-u', 'admin:{}']", "sshpass -p {} ssh x"),
    *("docker login -u bob -p {} example.org", "mysql -uroot -p{} db", "redis-cli -a {} ping"),
    *("ldapsearch -x -w {} -b dc=x", "openssl rsa -passin pass:{}", "unzip -P {} x.zip", "7z x -p{} x.7z"),
    *("['docker', 'login', '-p', '{}']", '["mysqldump", "--password", "{}"]', "smbclient //a/b -U bob%{}"),
]
CALLS = [
    *(
        "pw: {}",
        'pw="{}"',
        "DB_PW={}",
        "my pw is {}",
        '{{"pw": "{}"}}',
        '{{"user": "ada", "pass": "{}"}}',
        "/?pass={}&a=b",
    ),
    *('ds.setPassword("{}");', "user.set_password('{}')", 'Options.builder().password("{}").build()'),
    *('requests.get(url, auth=("ada", "{}"))', "http_auth=('ada','{}')", 'auth=HTTPBasicAuth("ada", "{}")'),
    *('smtp.login("ada@example.org", "{}")', "page.login('ada', '{}')", "userPassword: {{SSHA}}{}"),
    *("db.example.org:5432:app:ada:{}\n", "*:*:*:ada:{}", "x\nlocalhost:5432:*:ada:{}\ny\n"),
]
TABLES = [
    *("user,pw\nada,{}\n", "user,pass\nada,{}\n", "name,access_token\nprod,{}\n"),
    *(
        "user,password,role\nann,x1y2z3,a\nbob,{},b\n",
        '"user","password"\n"bob","{}"\n',
        "user;password\nbob;{}\n",
    ),
    *("user\tpassword\nbob\t{}\n", "name,api_key,at\r\nprod,{},2031-01-01\r\n", "user,password\nbob,{}"),
    *("Users:\n\n| user | password |\n|---|:--|\n| ann | - |\n| bob | `{}` |\n", "user,密码\nbob,{}\n"),
    *(
        " id | password \n----+-----\n  1 | {}\n",
        "+--+--+\n| id | password |\n+--+--+\n|  1 | {} |\n+--+--+\n",
    ),
    "user,password\n" + "ann,x1y2z3\n" * 900 + "bob,{}\n",
    "a_wide_column," * 20 + "password\n" + "x," * 20 + "{}\n",
]


@pytest.mark.parametrize("before", ["", "Here it is.\n"])
@pytest.mark.parametrize("template", [*SENTENCES, *KEYS, *COMMANDS, *CALLS, *TABLES])
def test_a_secret_is_found_by_its_place_at_once_in_pieces_and_in_json(template: str, before: str) -> None:
    secret = KEY if template in KEYS or "api_key" in template else PASSWORD.replace("&", "")
    text = before + template.format(secret)

    shown = REDACTOR.text(text)

    assert secret not in shown
    assert MARK in shown
    assert told(list(text)) == shown
    assert secret not in REDACTOR.json(json.dumps({"content": text, "n": [text]}))
    assert secret.encode() not in REDACTOR.data(text.encode()) or not text.isascii()


@pytest.mark.parametrize(
    "text",
    [
        *(
            "| Field | Password |\n|---|---|\n| Length | 8 characters |\n| Store | keychain |\n",
            "a | password | b\n",
        ),
        *("| password | string | yes |\n| api_key | string | no |\n", "token,count\nhello2you,3\nworld,4\n"),
        *(
            "Use a token, secret, password\nThen do x, y, z22abc345\n",
            "password,email\n",
            "grep -E 'a|PASSWORD|8XD[A-Z]17'",
        ),
        *(
            "curl -u user:password https://x",
            "curl -u $USER:$PASS x",
            'curl -u "<id>:<secret>" x',
            "curl -sS x -o a:b1c2d3",
        ),
        *(
            "docker run -p 8080:80 nginx1",
            "docker run -p 127.0.0.1:80:80 x",
            "mysql -P 3306 -p db",
            "mkdir -p a1b2c3d4",
        ),
        *(
            "zip code 12345 - ok",
            '["username", "password", "address2line"]',
            "password:\n  type: string\n",
            "Passwort: siehe unten",
        ),
        *(
            '<label>Password</label><input type="password">',
            "<th>Password</th><td>optional</td>",
            "**Password:** required",
        ),
        *(
            "Palabras clave: covid19",
            "Mot de passe oublié ?",
            "desenha: abc12345 casas",
            "密码：必填",
            "I want to pass 2 exams",
        ),
        *("pw: 1200", "PASS: TestFoo2 (0.00s)", '"pass": "12/14"', "pass=12 fail=0", "pass,fail\n12,3\n"),
        *(
            "get_secret('prod-db-2024')",
            "get_password('prompt2x')",
            'os.getenv("API_KEY2X")',
            "withKey('item42x')",
        ),
        *(
            'auth=("user", "pass")',
            "auth=(user, password)",
            'page.login("ada", "password")',
            "set_password(value)",
        ),
        *("app.py:1042:ERROR:root:job7failed", "src/main.c:1234:5:note:x2y2z2", "web.example.org:8080:80"),
        *(
            '{"d":"M10 10H90V90H10L10 10"}',
            '{"k":"' + "a1" * 32 + '"}',
            '{"id":"X4cTteJY_gn4FYPsXB8rdXix5vwsg1FLN5E3EaG6RJo"}',
        ),
        *('{"password": ["must have 8 characters"]}', '{"required": ["password", "user2"]}', '{"token": []}'),
        *("costs $6$ and $5$ each", "next_token,x\nabc123def,3\n", "password: {SHA}"),
        *("We have api2 and have secreta", "the password to the account is due", "password - required"),
    ],
)
def test_an_ordinary_table_command_or_sentence_stays_as_it_is(text: str) -> None:
    assert REDACTOR.text(text) == text
    assert told(list(text)) == text


def make_key(kind: str, **members: int) -> dict[str, str]:
    """Returns a key as JSON whose members have so many bytes each."""
    rng = random.Random(7)
    drawn = {
        name: base64.urlsafe_b64encode(rng.randbytes(size)).decode().rstrip("=")
        for name, size in members.items()
    }
    return {"kty": kind, **drawn}


@pytest.mark.parametrize(
    ("key", "private"),
    [
        (make_key("EC", x=32, y=32, d=32), ["d"]),
        (make_key("EC", x=66, y=66, d=66), ["d"]),
        (make_key("OKP", x=32, d=32), ["d"]),
        (make_key("oct", k=64), ["k"]),
        (
            make_key("RSA", n=256, e=3, d=256, p=128, q=128, dp=128, dq=128, qi=128),
            ["d", "p", "q", "dp", "dq", "qi"],
        ),
    ],
)
@pytest.mark.parametrize("is_sorted", [False, True])
def test_the_private_members_of_a_key_in_json_are_secrets(
    key: dict[str, str], private: list[str], is_sorted: bool
) -> None:
    text = json.dumps(key, sort_keys=is_sorted)

    shown = REDACTOR.text(text)

    assert json.loads(shown) == {name: MARK if name in private else value for name, value in key.items()}
    assert told(list(text)) == shown
    assert all(key[name] not in REDACTOR.json(json.dumps({"content": text})) for name in private)


def test_a_short_key_in_a_table_is_found_without_a_word_as_long_as_a_key() -> None:
    text = "name,api_key\nprod,a8Kd3xQ\n"
    assert REDACTOR.text(text) == told(list(text)) == f"name,api_key\nprod,{MARK}\n"


PARTS = st.sampled_from(
    [
        *(
            "password",
            "user",
            "api_key",
            ",",
            ";",
            "\t",
            "|",
            " | ",
            "\n",
            "|---|---|\n",
            "a,password\n",
            "bob,",
            " ",
        ),
        *(
            "hunter22blue",
            KEY,
            "curl ",
            "-u ",
            "admin:",
            "mysql ",
            "-p",
            '", "',
            "<td>",
            "</td>",
            "密码",
            "：",
            "senha ",
        ),
        *("é ", "clave de ", "api: ", "**", "long_column_name," * 7, "some words, with more words in it" * 4),
    ]
)


@given(st.lists(PARTS, max_size=16), st.lists(st.integers(0, 1_000), max_size=8))
def test_places_are_told_in_pieces_as_at_once(parts: list[str], cuts: list[int]) -> None:
    text = "".join(parts)
    ends = sorted(min(cut, len(text)) for cut in cuts)
    pieces = [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]
    assert told(pieces) == REDACTOR.text(text)


@pytest.mark.parametrize(
    "slow",
    [
        *(
            "| password ",
            "a,password\n",
            "|password|x|\n|---|---|\n",
            "curl -u a:",
            "docker -p ",
            "password</td><td>",
        ),
        *(
            "password:\n",
            '("password", "',
            "密码：",
            "clave api ",
            "password - ",
            "password;",
            "password\t",
            "**password**:** ",
        ),
    ],
)
def test_places_that_are_made_to_be_slow_are_gone_through_once(slow: str) -> None:
    REDACTOR.text(slow * (100_000 // len(slow)))
