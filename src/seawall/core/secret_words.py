"""Names of secrets in languages other than English, and the words between a name and its value in a sentence."""

from __future__ import annotations

import re

PASSWORDS = (
    # German, Swedish, Polish, Turkish, Spanish, Portuguese, Italian
    *("kennwort", "lösenord", "hasło", "şifre", "contraseña", "contrasena", "senha", "parola d’ordine"),
    # Russian, Chinese, Japanese, Korean
    *("пароль", "密码", "密碼", "口令", "パスワード", "暗証番号", "비밀번호", "암호"),
)
KEYS = (
    *("api-schlüssel", "api schlüssel", "geheimschlüssel", "geheimer schlüssel", "privater schlüssel"),
    *("zugangsschlüssel", "zugriffsschlüssel"),
    *("clé api", "clé d'api", "clé d’api", "clé secrète", "clé privée", "clé d'accès", "clé d’accès"),
    *("ключ api", "api-ключ", "секретный ключ", "ключ доступа"),
    *(
        "密钥",
        "密鑰",
        "秘钥",
        "秘密鍵",
        "シークレット",
        "apiキー",
        "api キー",
        "アクセスキー",
        "api 키",
        "api키",
    ),
)
TOKENS = ("jeton", "token d'accès", "token d’accès", "токен", "令牌", "トークン", "토큰")

AVE = "ave "
REST_OF_AVE = r"ave (?:d[aei] )?(?:api|secreta|segreta|privad?t?a|acceso|acesso|accesso)(?![a-z0-9_])"
"""Spanish `clave de API`, Portuguese `chave secreta`, Italian `chiave privata`, from their last three letters on."""
BEFORE_AVE = ("cl", "ch", "chi")
BEFORE_PASSE = ("mot de ", "mot_de_", "mot-de-", "motde", "palavra-", "palavra_", "palavra ")

IN_ASCII = tuple(name for name in (*PASSWORDS, *KEYS, *TOKENS) if name.isascii())
BEYOND_ASCII = tuple(name for name in (*PASSWORDS, *KEYS, *TOKENS) if not name.isascii())

IS = ("is", "ist", "lautet", "est", "es", "é", "è", "to", "-", "->", "→", "—", "–", "=", ":")
"""Words and signs between a name and its value, with a space on both sides."""
IS_WITHOUT_SPACES = "是为為は는은：＝"  # noqa: RUF001 -- signs of full width

WIDE_MARKS = "：＝，。；、）」』】"  # noqa: RUF001 -- signs of full width
"""Marks that end a value in Chinese and Japanese texts."""


def _build_beginning(word: str) -> str:
    """Returns the pattern of `word` before a space, or of its beginning at the end of the text."""
    begun = "|".join(re.escape(word[:length]) for length in range(len(word), 0, -1))
    return rf"{re.escape(word)}[\s:]|(?:{begun})\Z"


IS_BEGINS = "|".join(_build_beginning(word) for word in IS if word not in "=:")
