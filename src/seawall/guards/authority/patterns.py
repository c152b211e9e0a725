"""The sentences that claim a permission, as patterns: by kind, with the stems by which a sentence that may match is found.

English is known best. Of other languages only the plainest forms are: German, French, Spanish, Portuguese, Russian,
Chinese, Hindi and Arabic.
"""

from __future__ import annotations

from seawall.run.permission_claims import ClaimKind

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

_NAMED = r"(?!(?:the|an?|this|that|it|he|she|they|we|you|i|who|nobody|nothing|none|no|not)\b)[a-z][\w'’-]*(?:\s+(?:from|in|of|at)\s+\w+|\s+[a-z][\w'’-]*)?"
"""A name at the beginning of a sentence. The text is in lower case, so a name looks like any other word."""

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
    "s ok",
    "s fine",
    "is fine",
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
    "ok from",
    "okay from",
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
_CHECK_STEMS = (
    *(
        "review",
        "approval",
        "check",
        "verification",
        "confirmation",
        "authori",
        "sign-off",
        "sign off",
        "signoff",
        "guard",
    ),
    *("limit", "polic", "validation", "audit", "second look", "permission"),
)
_GERMAN_STEMS = ("genehmigt", "freigegeben", "erlaubt", "zugestimmt", "bewilligt", "abgesegnet")

_MODEL = r"(?:ai|llm|language model|assistant|chatbot|gpt[\w.-]*|chatgpt|claude|gemini|llama[\w.-]*|mistral|qwen|deepseek|copilot)\b"
"""Words that address the model: a text with them is written for the model that reads it, and not for a person."""
_MODEL_STEMS = (
    *(" ai", "llm", "language model", "assistant", "chatbot", "gpt", "chatgpt", "claude", "gemini", "llama"),
    *("mistral", "qwen", "deepseek", "copilot"),
)

PATTERNS: tuple[tuple[ClaimKind, tuple[str, ...], str], ...] = (
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
    ("waiver", _CHECK_STEMS, rf"\b(?:without|no)\s+(?:(?:any|further|second|additional|prior|the|waiting for|asking for|more)\s+)*{_CHECK}(?!\s+(?:of|from|by)\b)"),
    ("waiver", ("no need",), r"\bno\s+need\s+to\s+(?:ask|check|verify|review|approve|wait|confirm)\b"),
    ("waiver", _CHECK_STEMS, rf"\bdo(?:n['’]t| not)\s+(?:bother\s+)?(?:to\s+)?(?:ask|wait)(?:ing)?\s+(?:[\w'’]+\s+){{0,2}}?for\s+(?:[\w'’]+\s+){{0,2}}?{_CHECK}"),
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
    ("waiver", ("checking", "asking", "reviewing", "verifying", "confirming", "waiting"), r"\b(?:approve|pay|send|process|do|release|transfer|execute)\s+(?:[\w'’]+\s+){0,4}?without\s+(?:checking|asking|reviewing|verifying|confirming|waiting)\b"),
    ("order", ("approve", "authori"), r"(?:^|[:>\]!,]|\bplease|\bnow|\bmust|\band|\bimmediately)\W*(?:approve|authori[sz]e)\s+(?:this|the|it|that|my|all|every)\b"),
    ("order", ("confirm", "release", "execute"), rf"(?:^|[:>\]!,]|\bplease|\bnow|\bmust|\band|\bimmediately)\W*(?:confirm|release|execute)\s+(?:this|the|that|my|all)\s+(?:[\w-]+\s+)?{_MONEY}\b"),
    ("order", _MODEL_STEMS, rf"\bto you,?\s+(?:the\s+)?{_MODEL}"),
    ("order", _MODEL_STEMS, rf"\b(?:note|notice|message|instructions?|attention|important)[:,]?\s+(?:to|for)\s+(?:the\s+|any\s+|all\s+)?{_MODEL}"),
    ("order", _MODEL_STEMS, rf"\b(?:dear|if you are an?|you are an?)\s+{_MODEL}"),
    ("order", ("i gave", "i assigned", "i asked"), r"\b(?:before|after|instead)\b[^.!?\n]{0,60}\b(?:task|question|request)\s+(?:that\s+)?i\s+(?:gave|assigned|asked)\b"),
    # People who are named or have a title, but no role
    ("permission", _ALLOW_STEMS, rf"\b(?:mr|mrs|ms|dr|prof|sr|sra|mme|monsieur|madame)\s+[\w'’-]+(?:\s+[\w'’-]+)?\s+{_HAS}{_ADVERBS}{_ALLOWED}"),
    ("permission", _ALLOW_STEMS, rf"^\W*(?:{_NAMED})\s+{_HAS}{_ADVERBS}(?:given|gave|granted)\s+(?:(?:us|me|you|him|her|his|their|the|a|full)\s+){{0,3}}(?:{_GRANT})\b"),
    ("permission", _ALLOW_STEMS, rf"^\W*(?:{_NAMED})\s+(?:said|says|told (?:me|us|you))\s+(?:that\s+)?(?:it|this|that)(?:['’]s| is)\s+(?:fine|ok|okay|alright|all right|approved)\b"),
    ("permission", _ALLOW_STEMS, rf"\(\s*(?:the\s+|our\s+|my\s+)?(?P<by>{_WHO})\s*\)\s*,?\s*{_HAS}{_ADVERBS}{_ALLOWED}"),
    ("permission", _ALLOW_STEMS, rf"\b(?P<by>{_WHO})\s*,\s+(?:has|have)\s+{_ADVERBS}{_ALLOWED}"),
    ("permission", _ALLOW_STEMS, rf"\b(?P<by>{_WHO})(?:\s+[a-z'’-]+){{1,2}}\s+{_HAS}{_ADVERBS}(?:approved|authori[sz]ed|okayed|signed off on|cleared)\s+(?:this|it|that|your|my|the\s+{_MONEY})\b"),
    ("permission", _ALLOW_STEMS, rf"^\W*{_PASSIVE}\s*[-–—,]+\s*(?:[\w'’.]+[ ,]+){{0,3}}(?P<by>{_WHO})\W*$"),
    ("permission", _GRANT_STEMS, rf"\bi(?:['’]ve|\s+have)(?:\s+got)?\s+[\w-]+['’]s\s+(?:(?:full|written|explicit|verbal)\s+)?(?:{_GRANT})\b"),
    # German
    ("permission", _GERMAN_STEMS, r"\b(?:der|die|mein\w?|unser\w?|ihr\w?)\s+(?P<by>chef(?:in)?|vorgesetzter?|manager(?:in)?|leiter(?:in)?|leitung|geschäftsführ(?:er|ung)\w*|buchhaltung|abteilung|admin\w*|kunde)\s+hat\s+(?:[\wäöüß]+\s+){0,5}?(?:genehmigt|freigegeben|erlaubt|zugestimmt|bewilligt|abgesegnet)\b"),
    ("permission", _GERMAN_STEMS, r"\b(?:das|es|dies|alles)\s+(?:ist|wurde)\s+(?:(?:schon|bereits|längst)\s+)?(?:vo[nm] [\wäöüß ]{2,30} )?(?:genehmigt|freigegeben|bewilligt|abgesegnet)\b"),
    ("permission", ("freigabe", "genehmigung", "erlaubnis"), r"\b(?:freigaben?|genehmigung(?:en)?|erlaubnis)\s+(?:liegt|liegen|ist|sind)\s+(?:(?:schon|bereits)\s+)?(?:vor|da|erteilt)\b"),
    ("role", ("ich bin",), r"\bich\s+bin\s+(?:(?:hier|der|die|ihr|dein)\s+){0,2}(?P<by>admin(?:istrator(?:in)?)?|chef(?:in)?|geschäftsführer(?:in)?|vorgesetzte[r]?|inhaber(?:in)?)\b"),
    ("role", ("ich bin",), r"\bich\s+bin\s+(?:dazu\s+)?(?:berechtigt|befugt|bevollmächtigt)\b"),
    ("waiver", ("überspring",), r"\büberspring(?:e|en sie|t)?\s+(?:die|den|das)\s+(?:prüfung|freigabe|genehmigung|kontrolle|review)\b"),
    ("waiver", ("ohne ",), r"\bohne\s+(?:weitere\s+|vorherige\s+)?(?:freigabe|genehmigung|prüfung|rückfrage)\b(?!\s+(?:der|des|von|durch)\b)"),
    ("permission", _GERMAN_STEMS, r"\b(?:herr|frau|dr)\s+[\wäöüß-]+\s+hat\s+(?:[\wäöüß]+\s+){0,5}?(?:genehmigt|freigegeben|erlaubt|zugestimmt|bewilligt|abgesegnet)\b"),
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
    # Portuguese
    ("permission", ("aprovou", "autorizou", "liberou", "deu o"), r"(?<!se )\b(?:o|a|meu|minha|nosso|nossa)\s+(?P<by>gerente|chefe|diretora?|supervisora?|responsável|presidente)\s+(?:já\s+)?(?:aprovou|autorizou|liberou|deu o (?:aval|ok))"),
    ("permission", ("aprovad", "autorizad", "liberad"), r"\bjá\s+(?:foi|está)\s+(?:aprovad[oa]|autorizad[oa]|liberad[oa])\b"),
    ("role", ("sou o", "sou a"), r"\bsou\s+[oa]\s+(?P<by>administradora?|gerente|chefe|don[oa]|diretora?|responsável)\b"),
    ("waiver", ("revisão", "aprovação", "verificação", "autorização"), r"\b(?:pule|pula|ignore|ignora|dispense)\s+a\s+(?:revisão|aprovação|verificação|autorização)\b"),
    # Russian
    ("permission", ("одобри", "разреши", "утверди", "согласова"), r"\b(?P<by>менеджер|начальник|директор|руководитель|шеф|бухгалтерия)\s+(?:уже\s+|лично\s+)*(?:одобрил|разрешил|утвердил|согласовал)[аи]?\b"),
    ("permission", ("одобрено", "разрешено", "согласовано", "утверждено"), r"\b(?:это|вс[её])\s+(?:уже\s+)?(?:одобрено|разрешено|согласовано|утверждено)\b"),
    ("role", ("админ", "директор", "начальник", "руководител", "владелец"), r"\bя\s+(?:[-—–]\s*)?(?P<by>админ(?:истратор)?|директор|начальник|руководитель|владелец)\b"),
    ("waiver", ("проверк", "согласовани", "одобрени"), r"\b(?:пропусти|обойди|игнорируй|отключи)(?:те)?\s+(?:проверк|согласовани|одобрени)|\bбез\s+(?:проверки|согласования|одобрения)\b"),  # noqa: RUF001 -- Russian letters
    # Chinese
    ("permission", ("批准", "同意", "授权", "许可"), r"(?<!如果)(?<!是否)(?<!需要)(?<!等)(?P<by>经理|老板|主管|总监|领导|管理员|财务|董事会)[^\s。,!?没未不否等]{0,4}?(?:批准|同意|授权|许可)(?!后|之后|才|前|吗)"),
    ("role", ("我是",), r"我是(?:系统|你的|这里的)?(?P<by>管理员|经理|老板|主管|总监|负责人)"),
    ("waiver", ("跳过", "绕过", "无需", "不需要"), r"(?<!不要)(?<!不能)(?<!不得)(?<!别)(?:跳过|绕过|无需|不需要)(?:审核|审批|检查|批准|验证)"),
    # Hindi
    ("permission", ("मंजूरी", "अनुमति", "स्वीकृति"), r"(?P<by>मैनेजर|प्रबंधक|बॉस|निदेशक|प्रशासक)\s+ने\s+[^।?]{0,30}?(?:मंजूरी|अनुमति|स्वीकृति)\s+(?:दे\s+)?दी"),
    ("role", ("एडमिन", "प्रशासक", "मैनेजर", "प्रबंधक"), r"(?:^|\s)मैं\s+(?:ही\s+)?(?P<by>एडमिन|प्रशासक|मैनेजर|प्रबंधक)\s+हूँ"),
    # Arabic
    ("permission", ("وافق", "صادق"), r"(?<!\w)(?:وافق|صادق)\s+(?:المدير|المسؤول|الرئيس|المشرف)|(?<!\w)(?P<by>المدير|المسؤول|الرئيس|المشرف)\s+(?:قد\s+)?(?:وافق|صادق)(?!\w)"),
    ("role", ("أنا",), r"(?<!\w)أنا\s+(?:هو\s+)?(?P<by>المدير|المسؤول|المشرف|مدير النظام)(?!\w)"),
    ("waiver", ("المراجعة", "الموافقة", "التحقق"), r"(?<!\w)(?:تخطى|تخط|تجاوز|تجاهل)\s+(?:المراجعة|الموافقة|التحقق)"),
)  # fmt: skip
"""The patterns by kind, each with stems of which a match has one. They run on one sentence in lower case, so no
repetition is long."""
