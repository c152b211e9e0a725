"""Fields that claim a permission: `"approved_by": "cfo"`, `authorization: granted`, `override: true`.

They occur in JSON, YAML, tables and headers of letters alike, so they are searched in the text itself, which is not
parsed. A field that names who must approve (`approver`), or says that an approval is needed, claims nothing.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from seawall.run.permission_claims import ClaimKind, PermissionClaim

STEMS = ("signed_off", "signedoff", "signed-off", "override", "bypass", "clearance", "permission", "granted")
"""Words of which a field with a claim has one, in addition to the stems of sentences."""
MAX_FIELDS = 8
"""Most fields of one text: as many as claims are kept of it."""
WINDOW_CHARS = 80
"""Characters before and after a field that are kept, because they tell what it is about."""

_compile = functools.cache(re.compile)
_BEGINS = r"(?:^|[\s{\[,;|<\"'(])"
_IS = r"[\\\"'*_ \t]*[:=|>]+[\\\"'* \t]*"
_NOBODY = (
    r"(?!(?:none|null|nil|pending|n/?a|tbd|nobody|no one|unknown|undefined|false|date|name|signature)\b)"
)
_YES = r"(?:true|yes|1|on)\b"
_PATTERNS: tuple[tuple[ClaimKind, str], ...] = (
    (
        "permission",
        (
            rf"{_BEGINS}(?:pre[ _-]?)?(?:approved|authori[sz]ed|signed[ _-]?off|cleared|granted|permitted|sanctioned)[ _-]?by"
            rf"{_IS}{_NOBODY}(?P<by>\w[\w@.]*(?: \w[\w@.]*){{0,3}})"
        ),
    ),
    (
        "permission",
        (
            rf"{_BEGINS}(?:(?!requires?|needs?|required|awaits?|auto)[a-z]+[ _-]?)??(?:approval|authori[sz]ation|permission|clearance"
            rf"|sign[ _-]?off)(?:[ _-]?(?:status|state))?{_IS}(?:granted|approved|given|obtained|received)\b"
        ),
    ),
    (
        "permission",
        rf"{_BEGINS}(?:(?!requires?|needs?|required|awaits?|auto)[a-z]+[ _-]?)??(?:approval|authori[sz]ation){_IS}{_YES}",
    ),
    ("permission", rf"{_BEGINS}(?:is[ _-]?)?(?:pre[ _-]?)?(?:approved|authori[sz]ed){_IS}{_YES}"),
    (
        "waiver",
        rf"{_BEGINS}(?:[a-z]+[ _-]?)??override(?:[ _-]?[a-z]+){{0,2}}{_IS}(?:{_YES}|granted|approved)",
    ),
    (
        "waiver",
        (
            rf"{_BEGINS}(?:skip|bypass|disable|ignore|waive)[ _-]?(?:[a-z]+[ _-]?)??(?:review|check|approval|verification|validation|limit"
            rf"|guard|polic(?:y|ie)|audit|auth|authori[sz]ation)s?{_IS}{_YES}"
        ),
    ),
)


def find_fields(text: str) -> Iterator[PermissionClaim]:
    """Yields the claims in the fields of a text in lower case, at most `MAX_FIELDS` of each kind."""
    for kind, pattern in _PATTERNS:
        for number, match in enumerate(_compile(pattern).finditer(text)):
            if number >= MAX_FIELDS:
                break
            yield PermissionClaim(
                kind=kind,
                by=match.groupdict().get("by") or "",
                quote=" ".join(match[0].split()),
                near=text[max(0, match.start() - WINDOW_CHARS) : match.end() + WINDOW_CHARS],
                field=True,
            )
