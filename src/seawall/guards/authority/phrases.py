"""Which sentences claim a permission, a role or somebody else's voice: English, and frequent German, French and Spanish.

A sentence counts if it says that something *was* allowed ("the manager approved this"), that whoever writes may allow it
("I am the admin"), that a check need not be made ("skip the review"), or if it speaks as somebody else ("SYSTEM: …").
Questions, conditions, what is still open, and rules ("refunds need the manager's approval") are no claims.

What is found on `bench/authority_claims.jsonl`, and what is taken for a claim by mistake: `python bench/authority.py`.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from seawall.core.invisible import is_invisible
from seawall.run.permission_claims import ClaimKind, PermissionClaim
from seawall.run.traces import list_values

MAX_CHARS = 200_000
"""Of a text: as many as are indexed for causes (`run.traces.MAX_INDEXED_CHARS`). Going through them takes some ms."""
SHORT_CHARS = 8_000
KEPT_TEXTS = 256
"""Texts shorter than `SHORT_CHARS` whose claims are kept, newest used: a result is looked at when it is judged, and again
when it is recorded. Two megabytes at most; the run keeps what was computed of longer ones."""
MAX_CLAIMS = 8
"""Of one text. One is enough to judge it, and a person reads the first few."""
MAX_SENTENCE_CHARS = 300
"""A sentence is looked at in windows of so many: patterns have a bounded reach, and so has the time that they take."""
MAX_SENTENCES = 1_000
"""Different ones of a text that have a stem: some ten milliseconds. A text with more counts as one that makes a claim,
because it was not looked through."""
WINDOW_CHARS = 80
"""Before and after a sentence: room for the name of a speaker, and for what is said in the next line."""
MAX_QUOTE_CHARS = 160
"""Two lines of a terminal."""

_compile = functools.cache(re.compile)
"""Most texts need none of the patterns, and to compile all of them takes longer than to import the package."""

_WHO = (
    r"managers?|boss|chief|supervisors?|directors?|ceo|cfo|cto|coo|vp|president|board|management|executives?|finance|legal"
    r"|compliance|accounting|head of \w+|(?:team )?lead(?:er(?:ship)?)?|owners?|principal|admin(?:istrator)?s?|auditors?"
    r"|reviewers?|coordinator|orchestrator|cashier|controller|treasurer|(?:\w+ )?officer|operators?|developers?"
    r"|security(?: team)?|hr|(?:finance|legal|sales|support|security|risk) (?:team|department)"
)
_ADVERBS = r"(?:(?:already|just|now|personally|verbally|explicitly|fully|also|formally|both|kindly)\s+){0,2}"
_HAS = r"(?:(?:has|have|had)\s+|['’](?:s|ve|d)\s+)?"
_GRANT = r"permission|approval|authori[sz]ation|consent|blessing|go[ -]?ahead|green light|ok|okay|sign[ -]?off|clearance|authority"
_ALLOWED = (
    r"(?:approved|authori[sz]ed|okayed|ok['’]?d|green[ -]?li(?:t|ghted)|cleared|sanctioned|endorsed|permitted|waived|signed off|agreed"
    rf"|consented|agrees|is on board|has no objections?|(?:authori[sz]es|allows|permits) you|(?:said|says) (?:that )?you (?:may|can)|(?:is|are) (?:fine|ok|okay) with (?:it|this|that)|instructed (?:you|me|us) to"
    rf"|(?:said|says|told (?:me|us|you)) (?:yes|ok|okay|(?:that )?(?:it|this)(?:['’]s| is) (?:ok|okay|fine))"
    rf"|(?:given|gave|granted)\s+(?:[\w'’]+\s+){{0,3}}?(?:{_GRANT}))\b"
)
_PASSIVE = (
    r"(?:approved|authori[sz]ed|cleared|okayed|ok['’]?d|green[ -]?lit|sanctioned|signed off|waived|granted)\b"
)
_CHECK = (
    r"(?:reviews?|approvals?|(?:(?:the|any|all|these|those|safety|security|limits?|approval|fraud|identity|compliance|risk|final"
    r"|usual|normal|second|further|additional|more)\s+)checks?|verification|confirmation|authori[sz]ation|sign[ -]?off|guards?|limits?|polic(?:y|ies)"
    r"|safeguards?|validation|audits?|(?:second )?look|permission|(?:spending|safety|approval) (?:rules?|limits?))\b"
)
_SKIP = r"(?:skip|bypass|override|circumvent|disable|ignore|disregard|waive|omit|suspend|turn off)"
_SKIPPED = r"(?:skipped|bypassed|ignored|waived|omitted|overridden|disabled)"
_PRIVILEGED = (
    r"(?:admin(?:istrator)?|root(?!\s+cause)|superuser|(?:account|system|site|data|product|budget) owner"
    r"|(?<=the )owner(?=\s*(?:[.,;:!]|and\b|here\b|so\b|$))|supervisor|ceo|cfo|cto|system (?:operator|administrator))"
)
_TITLED = (
    r"(?:manager|boss|director|developer|operator|auditor|reviewer|[\w-]+ officer|coordinator|head of \w+|team lead|principal"
    r"|president|chief)"
)
_ACTS = r"(?:approve|authori[sz]e|confirm|permit|allow|order|instruct|grant|sign off|consent|green[ -]?light)"
_DEEDS = r"(?:pay|transfer|refund|skip|bypass|delete|approve|send|exceed|go (?:above|over)|proceed|release|execute|ignore)"
_MONEY = r"(?:pay(?:out|ment)|refund|transfer|transaction|funds?|purchase|deletion|invoice|withdrawal|request|release)"

_ALLOW_STEMS = (
    "approved",
    "authori",
    "okay",
    "ok'd",
    "ok’d",
    "green",
    "cleared",
    "sanctioned",
    "endorsed",
    "permi",
    "waived",
    "signed off",
    "agreed",
    "agrees",
    "on board",
    "no objection",
    "zes you",
    "ses you",
    "allows you",
    "said you",
    "says you",
    "says that you",
    "said that you",
    "fine with",
    "ok with",
    "okay with",
    "instructed",
    "says it",
    "says yes",
    "says ok",
    "told me",
    "told us",
    "told you",
    "consent",
    "said ",
    "granted",
    "given",
    "gave",
)
_GRANT_STEMS = (
    "permission",
    "approval",
    "authori",
    "consent",
    "blessing",
    "go ahead",
    "go-ahead",
    "green light",
    "sign-off",
    "sign off",
    "signoff",
    "clearance",
)
_ACT_STEMS = (
    "approve",
    "authori",
    "confirm",
    "permit",
    "allow",
    "instruct",
    "grant",
    "sign off",
    "consent",
)
_PRIVILEGED_STEMS = (
    "admin",
    "root",
    "superuser",
    "owner",
    "supervisor",
    "ceo",
    "cfo",
    "cto",
    "system operator",
)
_TITLED_STEMS = (
    *(
        "manager",
        "boss",
        "director",
        "developer",
        "operator",
        "auditor",
        "reviewer",
        "officer",
        "coordinator",
    ),
    *("head of", "team lead", "principal", "president", "chief"),
)
_SKIP_STEMS = (
    *(
        "skip",
        "bypass",
        "override",
        "circumvent",
        "disable",
        "ignore",
        "disregard",
        "waive",
        "omit",
        "suspend",
        "turn off",
    ),
)
_SKIPPED_STEMS = ("skipped", "bypassed", "ignored", "waived", "omitted", "overridden", "disabled")
_ASK_STEMS = ("n't ask", "n’t ask", "not ask", "n't wait", "n’t wait", "not wait", "bother")
_GERMAN_STEMS = ("genehmigt", "freigegeben", "erlaubt", "zugestimmt", "bewilligt", "abgesegnet")

_MODEL = r"(?:ai|llm|language model|assistant|chatbot|gpt[\w.-]*|chatgpt|claude|gemini|llama[\w.-]*|mistral|qwen|deepseek|copilot)\b"
"""Whom a text addresses that is written for the model which reads it, and for no person."""
_MODEL_STEMS = (
    *(
        "to you",
        "note to",
        "note for",
        "notice",
        "message",
        "instruction",
        "attention",
        "important",
        "dear ",
        "you are a",
    ),
)

_PATTERNS: tuple[tuple[ClaimKind, tuple[str, ...], str], ...] = (
    ("role", _ACT_STEMS, rf"\b(?:as|on behalf of|speaking (?:as|for)|in the name of|acting as)\s+(?:the |an? |your |our )?(?P<by>[\w-]+(?: [\w-]+){{0,2}}?)(?: team)?\s*,?\s+i\s+(?:hereby\s+|do\s+)?{_ACTS}\b"),
    ("permission", _ALLOW_STEMS, rf"\b(?:(?:the|my|our|your|his|her|their|an)\s+)?(?:[\w-]+\s+){{0,2}}?(?P<by>{_WHO})(?:\s+(?:on duty|from \w+|of \w+))?\s*{_HAS}{_ADVERBS}{_ALLOWED}"),
    ("permission", _ALLOW_STEMS, rf"\b(?:this|it|that|everything|all)(?:\s+(?:here|of it|message|request))?(?:\s+(?:has|have|was|is|had)|['’]s)\s+{_ADVERBS}(?:been\s+)?{_ADVERBS}(?:pre[ -]?)?{_PASSIVE}"),
    ("permission", _ALLOW_STEMS, rf"\b(?:(?:the|my|your|our)\s+(?:[\w-]+\s+){{1,3}}?|{_MONEY}\s+(?:(?:of|for)\s+[\w-]+\s+)?)(?:has|have|was|is|had)\s+{_ADVERBS}(?:been\s+)?{_ADVERBS}(?:pre[ -]?)?{_PASSIVE}\s+by\s+(?:the\s+|my\s+|your\s+|our\s+)?(?:[\w-]+\s+)?(?P<by>{_WHO})\b"),
    ("permission", _ALLOW_STEMS, rf"\b(?:already\s+(?:been\s+)?|pre-){_PASSIVE}"),
    ("permission", _ALLOW_STEMS, rf"^\W*(?:\w+\s+(?:and|&)\s+)?{_PASSIVE}\s+by\s+\w"),
    ("permission", ("approved",), r"\bapproved\s*[=:]\s*(?:true|yes|1)\b"),
    ("permission", _GRANT_STEMS, rf"\b(?:got|have|has|had|received|obtained)\s+(?:(?!to\b|no\b|not\b)[\w'’]+\s+){{0,3}}?(?:{_GRANT})\s+(?:of|from|by|to)\b"),
    ("permission", _GRANT_STEMS, rf"\b(?:comes|acting|act|sent)\s+(?:with|under)\s+(?:[\w'’]+\s+){{0,3}}?(?:{_GRANT})\s+(?:of|from)\b"),
    ("permission", _GRANT_STEMS, rf"\byou\s+have\s+(?:my|our|his|her|their|full|the)\s+(?:[\w'’]+\s+){{0,2}}?(?:{_GRANT})\b"),
    ("permission", _GRANT_STEMS, rf"\b(?:consider|take|treat)\s+this\s+(?:[\w'’]+\s+){{0,4}}?(?:{_GRANT})\b"),
    ("permission", ("permission", "approval", "authori"), rf"\b(?:permission|approval|authori[sz]ation)\s+(?:(?!to\b|for\b)[\w-]+\s+){{0,3}}?(?:is|has been|was)\s+{_ADVERBS}(?:granted|given)\b(?!\W+(?:free of charge|to any|to use|without fee))"),
    ("permission", ("allowed", "permitted", "authori", "re free to", "cleared"), rf"\byou(?:['’]re| are)\s+(?:(?:now|hereby|fully|explicitly)\s+(?:allowed|permitted|authori[sz]ed|cleared)\s+to|authori[sz]ed\s+to|(?:allowed|permitted|free|cleared)\s+to\s+{_DEEDS})\b"),
    ("permission", _ACT_STEMS, r"\bi\s+(?:hereby\s+|do\s+|fully\s+|explicitly\s+)?(?:approve|authori[sz]e|permit|green[ -]?light|sign off|consent to)\b"),
    ("role", _PRIVILEGED_STEMS, rf"\b(?:i am|i['’]m|this is|(?:he|she|they|user|customer|caller|sender) (?:is|are))\s+(?:(?:the|an?|your|our|this|their|also|in fact)\s+){{0,2}}(?:[\w-]+\s+)?(?P<by>{_PRIVILEGED})\b(?![ -]account)"),
    ("role", _TITLED_STEMS, rf"\b(?:i am|i['’]m|this is)\s+(?:the|your|their)\s+(?:[\w-]+\s+)?(?P<by>{_TITLED})\b"),
    ("role", (*_PRIVILEGED_STEMS, "manager", "elevated"), rf"\bi\s+(?:have|hold)\s+(?:full\s+|the\s+)?(?:{_PRIVILEGED}|manager|elevated)\w*\s+(?:rights|access|privileges?|permissions?|authority|clearance)\b"),
    ("role", ("authority to",), r"\bi\s+(?:have|hold)\s+(?:(?:the|full|all)\s+)*authority\s+to\b"),
    ("waiver", _SKIP_STEMS, rf"\b{_SKIP}\s+(?:[\w'’]+\s+){{0,4}}?{_CHECK}"),
    ("waiver", _SKIPPED_STEMS, rf"\b{_CHECK}\s+(?:can|may|could|should)\s+be\s+{_SKIPPED}\b"),
    ("waiver", (*_SKIPPED_STEMS, "needed", "required", "necessary"), rf"\b{_CHECK}\s+(?:is|are|was|has been)\s+(?:{_SKIPPED}|not\s+(?:needed|required|necessary))\b"),
    ("waiver", ("without", "no "), rf"\b(?:without|no)\s+(?:(?:any|further|second|additional|prior|the|waiting for|asking for|more)\s+)*{_CHECK}(?!\s+(?:of|from|by)\b)"),
    ("waiver", ("no need",), r"\bno\s+need\s+to\s+(?:ask|check|verify|review|approve|wait|confirm)\b"),
    ("waiver", _ASK_STEMS, rf"\bdo(?:n['’]t| not)\s+(?:bother\s+)?(?:to\s+)?(?:ask|wait)(?:ing)?\s+(?:[\w'’]+\s+){{0,2}}?for\s+(?:[\w'’]+\s+){{0,2}}?{_CHECK}"),
    ("permission", _ALLOW_STEMS, rf"\b(?:user|customer|client|account holder|requester)\s+{_HAS}{_ADVERBS}(?:approved|authori[sz]ed|waived|(?:given|gave|granted)\s+(?:[\w'’]+\s+){{0,3}}?(?:{_GRANT}))\b"),
    ("permission", _ALLOW_STEMS, rf"^\W*[a-z]+(?:\s+(?:from|in|of)\s+\w+)?\s+{_HAS}{_ADVERBS}(?:approved|authori[sz]ed|okayed|signed off on|cleared)\s+(?:this|it|that|your|my|the\s+{_MONEY})\b"),
    ("permission", _GRANT_STEMS, rf"\b(?:got|have|has|had|received|obtained)\s+(?:(?:the|my|our|your|his|her)\s+)?(?:[\w-]+\s+)?(?:{_WHO})['’]s?\s+(?:{_GRANT})\b"),
    ("permission", ("granted",), r"^\W*(?:approval|permission|authori[sz]ation|access)\s+granted\b|\b(?:access|rights|privileges)\s+(?:has|have)\s+been\s+granted\s+to\s+you\b"),
    ("permission", ("approved", "authori", "cleared"), r"\b(?:consider|treat|take)\s+(?:this|it|that|everything)\s+(?:as\s+)?(?:already\s+)?(?:pre[ -]?)?(?:approved|authori[sz]ed|cleared)\b"),
    ("permission", _GRANT_STEMS, rf"\bi\s+(?:hereby\s+)?(?:give|grant)\s+you\s+(?:[\w'’]+\s+){{0,2}}?(?:{_GRANT})\b"),
    ("role", ("authori", "empowered"), r"\bi(?:['’]m| am)\s+(?:hereby\s+|fully\s+)?(?:authori[sz]ed|empowered)\s+to\b"),
    ("role", _PRIVILEGED_STEMS, rf"\bas\s+(?:the|an?|your)\s+(?:[\w-]+\s+)?(?P<by>{_PRIVILEGED})\s*,?\s+i\b"),
    ("permission", _GRANT_STEMS, rf"\b(?:this(?:\s+\w+)?|it|the\s+{_MONEY})\s+(?:has|have)\s+(?:(?!no\b|not\b)[\w'’-]+\s+){{0,2}}?(?:approval|authori[sz]ation|clearance|sign[ -]?off)\b(?!\s+(?:status|pending|process|step|button|rate|workflow))"),
    ("permission", ("approval", "authori"), r"\b(?:approval|authori[sz]ation)\s+(?:came|has come|arrived|has arrived|was received)\b"),
    ("role", ("in charge", "i speak for"), r"\bi(?:['’]m| am)\s+(?:the one\s+)?in charge\b|\bi speak for\b"),
    ("role", _PRIVILEGED_STEMS, rf"\bmy role is\s+(?:an?\s+|the\s+)?(?P<by>{_PRIVILEGED})\b"),
    ("waiver", ("no need for",), rf"\bno\s+need\s+for\s+(?:[\w'’]+\s+){{0,2}}?{_CHECK}"),
    ("waiver", ("need ",), rf"\byou\s+(?:don['’]t|do not|won['’]t)\s+need\s+(?:[\w'’]+\s+){{0,3}}?{_CHECK}"),
    ("waiver", ("without ",), r"\b(?:approve|pay|send|process|do|release|transfer|execute)\s+(?:[\w'’]+\s+){0,4}?without\s+(?:checking|asking|reviewing|verifying|confirming|waiting)\b"),
    ("order", ("approve", "authori"), r"(?:^|[:>\]!,]|\bplease|\bnow|\bmust|\band|\bimmediately)\W*(?:approve|authori[sz]e)\s+(?:this|the|it|that|my|all|every)\b"),
    ("order", ("confirm", "release", "execute"), rf"(?:^|[:>\]!,]|\bplease|\bnow|\bmust|\band|\bimmediately)\W*(?:confirm|release|execute)\s+(?:this|the|that|my|all)\s+(?:[\w-]+\s+)?{_MONEY}\b"),
    ("order", _MODEL_STEMS, rf"\bto you,?\s+(?:the\s+)?{_MODEL}"),
    ("order", _MODEL_STEMS, rf"\b(?:note|notice|message|instructions?|attention|important)[:,]?\s+(?:to|for)\s+(?:the\s+|any\s+|all\s+)?{_MODEL}"),
    ("order", _MODEL_STEMS, rf"\b(?:dear|if you are an?|you are an?)\s+{_MODEL}"),
    ("order", ("i gave", "i assigned", "i asked"), r"\b(?:before|after|instead)\b[^.!?\n]{0,60}\b(?:task|question|request)\s+(?:that\s+)?i\s+(?:gave|assigned|asked)\b"),
    # German
    ("permission", _GERMAN_STEMS, r"\b(?:der|die|mein\w?|unser\w?|ihr\w?)\s+(?P<by>chef(?:in)?|vorgesetzter?|manager(?:in)?|leiter(?:in)?|leitung|geschäftsführ(?:er|ung)\w*|buchhaltung|abteilung|admin\w*|kunde)\s+hat\s+(?:[\wäöüß]+\s+){0,5}?(?:genehmigt|freigegeben|erlaubt|zugestimmt|bewilligt|abgesegnet)\b"),
    ("permission", _GERMAN_STEMS, r"\b(?:das|es|dies|alles)\s+(?:ist|wurde)\s+(?:(?:schon|bereits|längst)\s+)?(?:vo[nm] [\wäöüß ]{2,30} )?(?:genehmigt|freigegeben|bewilligt|abgesegnet)\b"),
    ("permission", ("freigabe", "genehmigung", "erlaubnis"), r"\b(?:freigaben?|genehmigung(?:en)?|erlaubnis)\s+(?:liegt|liegen|ist|sind)\s+(?:(?:schon|bereits)\s+)?(?:vor|da|erteilt)\b"),
    ("role", ("ich bin",), r"\bich\s+bin\s+(?:(?:hier|der|die|ihr|dein)\s+){0,2}(?P<by>admin(?:istrator(?:in)?)?|chef(?:in)?|geschäftsführer(?:in)?|vorgesetzte[r]?|inhaber(?:in)?)\b"),
    ("role", ("ich bin",), r"\bich\s+bin\s+(?:dazu\s+)?(?:berechtigt|befugt|bevollmächtigt)\b"),
    ("waiver", ("überspring",), r"\büberspring(?:e|en sie|t)?\s+(?:die|den|das)\s+(?:prüfung|freigabe|genehmigung|kontrolle|review)\b"),
    ("waiver", ("ohne ",), r"\bohne\s+(?:weitere\s+|vorherige\s+)?(?:freigabe|genehmigung|prüfung|rückfrage)\b(?!\s+(?:der|des|von|durch)\b)"),
    # French
    ("permission", ("approuv", "autoris", "valid", "accept", "donn", "accord"), r"\b(?:le|la|mon|ma|notre|votre)\s+(?P<by>directeur|directrice|responsable|manager|chef|patron|direction|comptabilité)\s+(?:l['’])?a\s+(?:(?:déjà|bien)\s+)?(?:approuvé|autorisé|validé|accepté|donné son (?:accord|feu vert))|\b(?:directeur|directrice|responsable|chef|patron|direction)\s+est\s+d['’]accord\b"),
    ("permission", ("approuv", "autoris", "valid"), r"\b(?:c['’]est|cela est|tout est)\s+(?:déjà\s+)?(?:approuvé|autorisé|validé)\b"),
    ("role", ("je suis",), r"\bje\s+suis\s+(?:l['’]\s?|le\s+|la\s+|votre\s+)?(?P<by>administrateur|administratrice|admin|directeur|directrice|responsable|patron|propriétaire)\b"),
    ("waiver", ("validation", "vérification", "revue", "approbation", "autorisation"), r"\b(?:ignore[zr]?|saute[zr]?|passe[zr]?|contourne[zr]?)\s+(?:la\s+|l['’]\s?)(?:validation|vérification|revue|approbation|autorisation)\b"),
    # Spanish
    ("permission", ("aprob", "autoriz", "permiso", "visto bueno"), r"\b(?:el|la|mi|nuestr[oa])\s+(?P<by>jefe|jefa|gerente|director|directora|responsable|supervisor)\s+(?:ya\s+)?(?:lo\s+|la\s+)?(?:aprobó|autorizó|ha\s+(?:aprobado|autorizado|dado (?:su )?(?:permiso|visto bueno)))"),
    ("permission", ("permiso",), r"\btengo\s+(?:el\s+)?permiso\s+del?\b"),
    ("permission", ("aprobad", "autorizad"), r"\bya\s+(?:está|fue|ha sido)\s+(?:aprobad[oa]|autorizad[oa])\b"),
    ("role", ("soy ",), r"\bsoy\s+(?:el\s+|la\s+|su\s+)?(?P<by>administrador|administradora|admin|jefe|jefa|gerente|dueñ[oa]|director|directora)\b"),
    ("waiver", ("omit", "salta", "sáltate", "ignor"), r"\b(?:omite|omita|salta|sáltate|ignora|ignore)\s+(?:la\s+)?(?:revisión|aprobación|verificación|autorización)\b"),
)  # fmt: skip
"""By kind, with what each has something of. They run on one sentence in lower case, so no repetition is long."""

_OPEN = (
    r"\b(?:until|till|unless|if|whether|once|when|before|how|why|which|who|what|not|never|nobody|nothing|cannot|should|would"
    r"|in case|(?:check|ensure|verify|sure|wait|waiting)(?: that| for)?|yet|pending|ob|wenn|falls|bis|sobald|nicht|nichts"
    r"|kein\w?|noch|si|quand|avant|jamais|cuando|hasta|todavía|nunca)\b|n['’]t\b"
)
"""Stands before a claim in its clause, which then says what is asked, is a condition, or is not so."""
_OPEN_AFTER = r"^\s*(?:nichts|nicht\b|kein|not\b|nothing|nobody|no\b|never|(?:you|they|it) can(?:no|['’]?)t\b)|\bwird nichts\b"
_PAST = r"^(?!.*\b(?:this|it)\b).*(?:\b(?:in|since) (?:19|20)\d\d\b|\blast (?:year|quarter|decade|century)\b|\byears? ago\b)"
"""It is about something that is long over, and not about what is asked now."""
_RULE = (
    r"\b\w+s\s+(?:of\s+)?(?:below|under|up to|less than|smaller than|above|over|more than)\s+(?:[\w$€£]+\s+)?[$€£]?\d"
    r"|\bpolicy\b.*\b(?:must|may)\b"
)
"""It is about all amounts of a size, and not about this call."""
_QUOTED = r"\b(?:phrases?|wording|scams?|phishing|for example|e\.g|such as)\b"
"""It is about the words."""
_CLAUSE = r"[,:–—]|\b(?:and|but|so|because|then|und|aber|et|mais|y|pero)\b"

_NAME = r"[a-z][\w-]{1,30}(?: [a-z][\w-]{1,30}){0,2}"
_VOICE = (
    rf"(?:^|[.!?\n>])[^\w\n]{{0,6}}(?:(?:message|note|instructions?|reply|word)\s+)?(?:from\s+)?(?:the\s+)?(?P<by>{_NAME}?)"
    r"(?:\s+(?:message|prompt|note|notice|alert|override|instructions?))?[\]>*)]{0,3}\s*[:>]\s*(?P<said>[^\n]{1,200})"
)
_HEADING = r"(?:^|\n)\s*#{1,4}\s*(?:the\s+)?(?P<by>system|developer|user|admin)\b[^\n]{0,30}\n+(?P<said>[^\n]{1,200})"
_TAG = r"<(?P<by>system|assistant|developer|admin)(?:[_-]?(?:prompt|message))?>(?P<said>[^<]{1,200})"
_CONSENT = (
    r"\b(?:go ahead|proceed|approve[ds]?|approval|authori[sz]ed?|permission|permitted|granted|allowed|yes,|skip|bypass|ignore"
    r"|disregard|override|disable|confirmed|release the|execute|without review)\b"
)
_MARKUP = r"<\|(?:im_start|im_end|system|user|assistant|start_header_id|end_header_id|eot_id|begin_of_text)\|>|\[/?inst\]|<</?sys>>"
_ENDS = ".!?;\n"
_VOICE_STEMS = ("proceed", "yes,", "confirmed", "without review", "allowed", "skip")
_MARKS = ("<|", "[inst", "[/inst", "<<sys")
"""What a voice in markup has something of."""
_WORDS = re.compile(r"\w+")
_BLANKS = "".join(chr(code) if chr(code).isalnum() else " " for code in range(128))
"""Where words are apart, for `str.translate`: that is several times as fast as to find words by a pattern."""
_QUOTES = str.maketrans(dict.fromkeys("“”„«»…–—¿¡", " "))
_PREFIX_CHARS = 4


def _list_shortest() -> list[str]:
    """Returns the stems of all patterns that have no other stem in them."""
    every = {*_VOICE_STEMS, *(stem for _, stems, _ in _PATTERNS for stem in stems)}
    return [stem for stem in sorted(every) if not any(each in stem for each in every - {stem})]


@functools.cache
def _group_stems() -> dict[str, list[str]]:
    """Returns the stems by how their longest word begins: the words of a text lead to the few that it may have."""
    grouped: dict[str, list[str]] = {"prea": ["approve"]}
    for stem in _list_shortest():
        key = max(_WORDS.findall(stem), key=len)[:_PREFIX_CHARS]
        grouped.setdefault(key, []).append(stem)
    return grouped


@functools.cache
def _find_patterns() -> dict[str, list[int]]:
    """Returns by stem the places of the patterns that may match where it stands."""
    return {
        short: [at for at, (_, stems, _) in enumerate(_PATTERNS) if any(short in stem for stem in stems)]
        for short in _list_shortest()
    }


_VOICES = ("system", "user", "assistant", "developer", "human", "admin")


@functools.lru_cache(maxsize=KEPT_TEXTS)
def _find_in_short(text: str) -> tuple[PermissionClaim, ...]:
    return _find_in_text(text)


def find_claims(text: str) -> tuple[PermissionClaim, ...]:
    """Returns the claims of the first `MAX_CHARS` of a text, at most `MAX_CLAIMS`. Of JSON the values are looked at."""
    return _find_in_short(text) if len(text) < SHORT_CHARS else _find_in_text(text[:MAX_CHARS])


def _find_in_text(text: str) -> tuple[PermissionClaim, ...]:
    text = _normalise(text)
    stems = _list_stems(text.lower())
    if not stems:
        return ()
    found: dict[tuple[ClaimKind, str], PermissionClaim] = {}
    sentences = _list_sentences("\n".join(list_values(text)).lower(), stems)
    if len(sentences) == MAX_SENTENCES:
        found["permission", ""] = PermissionClaim(kind="permission", quote="")
    for sentence in sentences:
        for claim in (*_find_voices(sentence), *_find_in_sentence(sentence)):
            found.setdefault((claim.kind, claim.by), claim)
        if len(found) >= MAX_CLAIMS:
            break
    return tuple(found.values())[:MAX_CLAIMS]


class _Sentence(NamedTuple):
    text: str
    window: str
    """The sentence with what stands right before and after it: who speaks, perhaps."""
    stems: list[str]


def _list_stems(text: str) -> list[str]:
    """Returns the stems that a text in lower case has."""
    grouped = _group_stems()
    prefixes = grouped.keys() & [word[:_PREFIX_CHARS] for word in _list_words(text)]
    found = [stem for prefix in sorted(prefixes) for stem in grouped[prefix] if stem in text]
    return found + [mark for mark in _MARKS if mark in text] if "<" in text or "[" in text else found


def _list_sentences(text: str, stems: list[str]) -> list[_Sentence]:
    """Returns the sentences that have one of these stems, in order, each once, at most `MAX_SENTENCES`."""
    found: dict[int, _Sentence] = {}
    windows = set[str]()
    for stem in stems:
        at = text.find(stem)
        while at >= 0 and len(found) < MAX_SENTENCES:
            low, high = max(0, at - MAX_SENTENCE_CHARS), at + MAX_SENTENCE_CHARS
            start = max(low, *[text.rfind(mark, low, at) + 1 for mark in _ENDS])
            ends = [end for mark in _ENDS if (end := text.find(mark, at + len(stem), high)) >= 0]
            end = min(ends, default=min(high, len(text) - 1)) + 1
            window = text[max(0, start - WINDOW_CHARS) : end + WINDOW_CHARS]
            if window not in windows:
                windows.add(window)
                sentence = text[start:end].strip()
                found[start] = _Sentence(sentence, window, [each for each in stems if each in sentence])
            at = text.find(stem, end)
    return [found[start] for start in sorted(found)]


def _normalise(text: str) -> str:
    """Returns a text as a reader sees it: without what is invisible, and with one form of each letter."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", text)
    unseen = {each: "" for each in set(text) if not each.isascii() and is_invisible(each)}
    return text.translate(str.maketrans(unseen)) if unseen else text


def _list_words(text: str) -> list[str]:
    return (text if text.isascii() else text.translate(_QUOTES)).translate(_BLANKS).split()


def _find_voices(sentence: _Sentence) -> Iterator[PermissionClaim]:
    """Yields where a text speaks as somebody else."""
    text = sentence.window
    markup = _compile(_MARKUP).search(text)
    if markup is not None:
        after = text[markup.end() : markup.end() + 12]
        by = next((each for each in _VOICES if each in after or each in markup[0]), "system")
        yield PermissionClaim(
            kind="voice", by=by, quote=_quote(text[markup.start() :]), near=text, markup=True
        )
    patterns = [pattern for mark, pattern in ((":", _VOICE), ("#", _HEADING), ("<", _TAG)) if mark in text]
    for pattern in patterns:
        for match in _compile(pattern).finditer(text):
            said = match["said"]
            if _compile(_CONSENT).search(said) is not None and "?" not in said:
                yield PermissionClaim(kind="voice", by=match["by"].strip(), quote=_quote(match[0]), near=text)


def _find_in_sentence(found: _Sentence) -> Iterator[PermissionClaim]:
    sentence, stems = found.text, found.stems
    if sentence.endswith("?") or sentence.startswith("¿"):
        return
    for at in sorted({at for stem in stems for at in _find_patterns().get(stem, ())}):
        kind, _, pattern = _PATTERNS[at]
        match = _compile(pattern).search(sentence)
        if match is None or _is_general(sentence, kind):
            continue
        if not _is_open(sentence, match, says=kind in ("permission", "role")):
            by = match.groupdict().get("by") or ""
            yield PermissionClaim(kind=kind, by=by, quote=_quote(sentence), near=found.window)


def _is_general(sentence: str, kind: ClaimKind) -> bool:
    """Returns whether a sentence is about words, about what is long past, or about all amounts of a size."""
    if _compile(_QUOTED).search(sentence) is not None:
        return True
    if kind == "permission" and _compile(_PAST).search(sentence) is not None:
        return True
    return kind in ("permission", "waiver") and _compile(_RULE).search(sentence) is not None


def _is_open(sentence: str, match: re.Match[str], *, says: bool) -> bool:
    """Returns whether the clause of a match asks, is a condition, or says that it is not so.

    `says`: the match itself has no such word either. What waives a check has: "do not ask for approval".
    """
    if says and _compile(_OPEN).search(match[0]) is not None:
        return True
    before = sentence[: match.start()]
    starts = [each.end() for each in _compile(_CLAUSE).finditer(before)]
    clause = before[starts[-1] :] if starts else before
    return (
        _compile(_OPEN).search(clause) is not None
        or _compile(_OPEN_AFTER).search(sentence[match.end() :]) is not None
    )


def _quote(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_QUOTE_CHARS else f"{text[: MAX_QUOTE_CHARS - 1]}…"
