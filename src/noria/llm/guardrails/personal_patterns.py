"""How personal data looks: patterns with what proves them, and the words beside which weaker ones count.

Every pattern is linear: none has a repetition within a repetition of the same characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from noria.llm.guardrails import checksums
from noria.llm.guardrails.network_address import is_address

NEAR = 48  # characters before a match in which a word of its context may stand
NOT_BEFORE, NOT_AFTER = r"(?<![\w.@/#-])", r"(?![\w@]|[-./]\w)"
REFERENCE = re.compile(
    r"(?:order|invoice|ticket|case|tracking|serial|part|batch|article|item|sku|isbn|issn|ean|upc|version"
    r"|build|release|commit|revision|id|ref(?:erence)?"
    r"|bestell\w*|rechnung\w*|auftrag\w*|artikel\w*|commande|facture|pedido|factura|factuur|bestelling"
    r"|port|line|row|code|zip|sum|total|hash|checksum)"
    r"(?:[ -]?(?:number|no|nr|nummer|num[ée]ro|n[úu]mero|id|code))?\.?[ :#=]*(?:is |ist |est |es )?[ :#]*\Z",
    re.IGNORECASE,
)
PHONE_WORDS = re.compile(
    r"(?:phone|mobile|cell|call|ring|dial|text me|sms|fax|tel|telefon\w*|handy\w*|ruf|anruf\w*"
    r"|t[ée]l[ée]phone|portable|appel\w*|joindre|tel[ée]fono|m[óo]vil"
    r"|ll[áa]m\w*|telefoon\w*|bel|mobiel|cellulare|whatsapp|signal"
    r"|chiam\w*|erreich\w*|reach|(?:my|meine|mijn) num(?:ber|mer)|(?:mi|mon|mio) n[úu]m[ée]ro)\b[^\n]{0,24}\Z",
    re.IGNORECASE,
)
TAX_WORDS = re.compile(r"(?:steuer|idnr|tax|tin\b|identifikation)[^\n]{0,30}\Z", re.IGNORECASE)
BSN_WORDS = re.compile(r"(?:bsn|burgerservice|sofi)[^\n]{0,24}\Z", re.IGNORECASE)
SSN_WORDS = re.compile(r"(?:ssn|social security)[^\n]{0,24}\Z", re.IGNORECASE)
VERSION_WORDS = re.compile(r"(?:version|release|build|v|rev|==|>=)[ :=.]*\Z", re.IGNORECASE)
ADDRESS_WORDS = re.compile(r"(?:ip|address|host|server|dns|ping|from|proxy|resolver)[^\n]{0,16}\Z", re.IGNORECASE)  # 8.8.8.8, not a version
_MONTHS = (
    r"(?:jan|feb|m[äa]r|maa|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz]|janv|f[ée]v|avr|juin|juil|ao[ûu]"
    r"|d[ée]c|ene|abr|ago|dic|mrt|mei|mars|mayo|gen|mag|giu|lug|set|ott)"
    r"[a-zéûú]{0,8}\.?"
)
_DATE = (
    r"(?:\d{1,2}[./-]\d{1,2}[./-](?:19|20)?\d{2}|(?:19|20)\d{2}[./-]\d{1,2}[./-]\d{1,2}"
    rf"|\d{{1,2}}(?:st|nd|rd|th|er)?\.? (?:of |de )?{_MONTHS},?(?: de| del)? (?:19|20)\d{{2}}|{_MONTHS} "
    rf"\d{{1,2}}(?:st|nd|rd|th)?,? (?:19|20)\d{{2}})"
)
BORN = (
    r"(?:born|birth ?da(?:y|te)|date of birth|d\.?o\.?b\.?|geboren|geburts(?:datum|tag)|geb\.|n[ée]e? le"
    r"|date de naissance|nacid[oa]|fecha de nacimiento"
    r"|geboortedatum|nat[oa] il|data di nascita)"
)
_CAPITAL, _SMALL = "[A-ZÀ-ÖØ-ÞŠŽČĆĐŁŚŻ]", "[a-zà-öø-ÿšžčćđłśżğı]"
_WORD = rf"(?:[A-Z]['’])?{_CAPITAL}{_SMALL}+(?:{_CAPITAL}{_SMALL}+)?(?:[-'’]{_CAPITAL}?{_SMALL}+)?"
_PARTICLE = r"(?:(?:van|von|de|der|den|del|della|di|la|le|da|dos|el|bin|al)[ ]){0,2}"
NAME = rf"{_WORD}(?: (?:[A-Z]\. )?{_PARTICLE}{_WORD}){{0,3}}"
FULL_NAME = rf"{_WORD}(?: (?:[A-Z]\. )?{_PARTICLE}{_WORD}){{1,3}}"
SAYS_NAME = (
    r"(?:(?i:my name is|my name's|i am called|ich hei(?:ß|ss)e|mein name ist|je m['’]appelle|mon nom est"
    r"|me llamo|mi nombre es|mijn naam is|ik heet|mi chiamo"
    r"|il mio nome [èe]))"
)
INTRODUCES = r"(?:(?i:i am|i['’]m|it['’]s|ich bin|hier ist|je suis|ici|soy|ik ben|hier is|met|sono))"
HOLDS = (
    r"(?i:kontoinhaber(?:in)?|(?:account|card) ?holder|titulaire|titular|t\.n\.v\.|intestat[oa] a|patient(?:in)?|passenger|signed by"
    r"|(?:my|his|her) (?:wife|husband|son|daughter|mother|father|boss|colleague|friend|neighbour)|meine frau|mein mann|ma femme|mon mari"
    r"|spoke (?:to|with)|in the name of|on behalf of)"
)
TITLE = (
    r"(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herrn?|Frau|Monsieur|Madame|Mme|[Ss]e[ñn]ora?|Sra?|Dhr|Mevr|Mevrouw"
    r"|Meneer|meneer|mevrouw|[Ss]ignora?|[Mm]adame|[Mm]onsieur)\.?"
)
LABEL = (
    r"(?i:(?:full |first |last |customer |patient |employee |contact )?name|patient|customer|signed by"
    r"|contact person|vor- und nachname|kunde|kundin|nom et pr[ée]nom|cliente?|nombre|naam|klant)"
)
GREETING = (
    r"(?:Dear|Hi|Hello|Liebe|Lieber|Sehr geehrter? (?:Herr|Frau)|Cher|Ch[èe]re|Estimad[oa]|Querid[oa]"
    r"|Beste|Geachte|(?:Kind |Best |Warm |)[Rr]egards,|Best,|Cheers,|Sincerely,|Mit freundlichen Grüßen,?|Viele "
    r"Grüße,?|Cordialement,|Saludos,|Groeten,|Met vriendelijke groet,)"
)
_NOT_NAMES = (
    "sir madam team all everyone customer support colleague colleagues friend friends reader readers there world damen "
    "herren hiring manager user users committee community president speaker chairman chairwoman chancellor minister justice "
    "secretary the this that and service windows linux python java monday tuesday wednesday thursday friday saturday sunday"
)
NOT_NAMES = frozenset(_NOT_NAMES.split(" "))
_STREET = r"[A-ZÄÖÜÀ-Þ][\w'’.-]{1,24}(?: [A-ZÄÖÜÀ-Þ][\w'’.-]{1,24}){0,2}"
_CITY = r"[A-ZÄÖÜÀ-Þ][\w'’-]{2,24}(?: [A-ZÄÖÜÀ-Þ][\w'’-]{1,24}){0,2}"
ADDRESSES = (
    rf"\d{{1,5}}[A-Za-z]? {_STREET} (?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court"
    rf"|Ct|Place|Pl|Terrace|Way|Close|Crescent|Gardens|Square|Row)\b\.?"
    rf"(?:,? (?:Apt|Suite|Unit|Flat)\.? ?\w{{1,5}})?(?:,\s{_CITY}(?:,? [A-Z]{{2}})?(?:,? "
    rf"\d{{5}}(?:-\d{{4}})?|,? [A-Z]{{1,2}}\d[A-Z\d]? \d[A-Z]{{2}})?)?",
    rf"[A-ZÄÖÜ][\w-]{{2,30}}(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|ring|damm|ufer|straat|laan|plein"
    rf"|gracht|kade|dijk) ?\d{{1,4}} ?[a-zA-Z]?\b(?:,?\s(?:D-)?\d{{4}}(?:\d| ?[A-Z]{{2}}) {_CITY})?",
    rf"\d{{1,4}}(?: ?(?:bis|ter))?,? (?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Pp]lace|[Cc]hemin|[Ii]mpasse"
    rf"|[Qq]uai|[Aa]llée) (?:(?:de|du|des|la|le|les|d['’]|l['’]) ?){{0,2}}{_STREET}(?:,?\s\d{{5}} {_CITY})?",
    rf"(?:Calle|C/|Avenida|Avda\.|Plaza|Paseo|Via|Viale|Piazza|Rua) (?:(?:de|del|la|las|los|el) "
    rf"){{0,2}}{_STREET},? \d{{1,4}}(?:,? \d{{1,2}}[ºª°]? ?[A-Z]?(?!\w))?(?:,?\s\d{{5}} {_CITY})?",
)


@dataclass(frozen=True)
class Pattern:
    """One way in which a kind of data looks. group: what of the match is meant; proven: what must hold of it

    near: what must end the text before it; not_near: what must not; extent: how much of the match it is, where the pattern takes too much
    """

    kind: str
    of: re.Pattern[str]
    proven: Callable[[str], bool] | None = None
    near: re.Pattern[str] | None = None
    not_near: re.Pattern[str] | None = None
    score: float = 1.0
    group: int | str = 0
    extent: Callable[[str], int] | None = None

    def findings(self, text: str) -> Iterator[tuple[int, int]]:
        for found in self.of.finditer(text):
            at, end = found.span(self.group)
            before = text[max(0, at - NEAR) : at]
            if self.near is not None and not self.near.search(before):
                continue
            if self.not_near is not None and self.not_near.search(before):
                continue
            if self.extent is not None:
                end = at + self.extent(text[at:end])
            if end > at and (self.proven is None or self.proven(text[at:end])):
                yield at, end


def _whole(pattern: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile(NOT_BEFORE + pattern + NOT_AFTER, flags)


def _no_name(text: str) -> bool:
    words = text.casefold().split()
    return not any(word in NOT_NAMES for word in words)


def _phone_size(least: int, most: int) -> Callable[[str], bool]:
    return lambda text: least <= len(checksums.digits(text)) <= most and len(set(checksums.digits(text))) > 2


_SEPARATED = r"(?:[ ./()-]{1,2}\d{1,8}){1,6}"
PATTERNS = (
    Pattern(
        "email", re.compile(r"(?<![\w.+%-])[\w.+%'-]{1,64}@(?:[\w-]{1,63}\.){1,6}[^\W\d_]{2,24}(?![\w-])"), lambda text: ".." not in text
    ),
    Pattern(
        "iban",
        re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ .-]?[A-Za-z0-9]{1,4}){3,9}"),
        checksums.is_iban,
        extent=checksums.iban_extent,
    ),
    Pattern("card", re.compile(r"(?<![\w.-])\d(?:[ -]?\d){13,18}(?![\w]|[-.]\d)"), checksums.is_card),
    Pattern("card", re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12}(?![\w]|[-.]\d)"), checksums.is_card, not_near=REFERENCE),  # EAN has thirteen
    Pattern("us_ssn", _whole(r"\d{3}([ -])\d{2}\1\d{4}"), checksums.is_us_ssn, not_near=REFERENCE),
    Pattern("us_ssn", _whole(r"\d{9}"), checksums.is_us_ssn, near=SSN_WORDS),
    Pattern("french_nir", _whole(r"[12] ?\d{2} ?\d{2} ?\d[\dAB] ?\d{3} ?\d{3} ?\d{2}"), checksums.is_french_nir),
    Pattern("spanish_id", _whole(r"(?:[XYZ][ -]?\d{7}|\d{2}\.?\d{3}\.?\d{3})[ -]?[A-Z]"), checksums.is_spanish_id),
    Pattern("uk_nino", _whole(r"[A-Z]{2}[ -]?\d{2}[ -]?\d{2}[ -]?\d{2}[ -]?[A-D]"), checksums.is_uk_nino),
    Pattern("italian_code", _whole(r"[A-Za-z]{6}\d{2}[A-Za-z]\d{2}[A-Za-z]\d{3}[A-Za-z]"), checksums.is_italian_code),
    Pattern("german_tax_id", _whole(r"\d{2} \d{3} \d{3} \d{3}"), checksums.is_german_tax_id),
    Pattern("german_tax_id", _whole(r"\d{11}"), checksums.is_german_tax_id, near=TAX_WORDS),
    Pattern("dutch_bsn", _whole(r"\d{8,9}|\d{4}[. ]\d{2}[. ]\d{3}"), checksums.is_dutch_bsn, near=BSN_WORDS),
    Pattern(
        "phone",
        re.compile(r"(?<![\w+.])(?:\+|00)[1-9]\d{0,2}(?:[ ./()-]{0,2}\d){6,13}(?![\w]|[-.]\d)"),
        _phone_size(8, 15),
        not_near=REFERENCE,
        score=0.9,
    ),
    Pattern(
        "phone", re.compile(r"(?<![\w.+-])\(?[2-9]\d{2}\)?[ .-]{1,2}[2-9]\d{2}[.-]\d{4}(?![\w]|[-.]\d)"), not_near=REFERENCE, score=0.9
    ),
    Pattern(
        "phone",
        re.compile(rf"(?<![\w.+-])\(?0[1-9]\d{{0,4}}\)?{_SEPARATED}(?![\w]|[-./]\d)"),
        _phone_size(9, 12),
        not_near=REFERENCE,
        score=0.8,
    ),
    Pattern(
        "phone",
        re.compile(r"(?<![\w.+-])\(?\d(?:[ ./()-]{0,2}\d){6,13}(?![\w]|[-.]\d)"),
        _phone_size(7, 13),
        near=PHONE_WORDS,
        not_near=REFERENCE,
        score=0.8,
    ),
    Pattern(
        "ip_address",
        re.compile(r"(?<![\w.:-])(?!\d(?:\.\d){3}(?!\d))(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d|-\d)"),
        is_address,
        not_near=VERSION_WORDS,
    ),
    Pattern("ip_address", re.compile(r"(?<![\w.:-])\d(?:\.\d){3}(?![\w]|\.\d|-\d)"), is_address, near=ADDRESS_WORDS),
    Pattern("ip_address", re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])"), is_address),
    Pattern("birth_date", re.compile(rf"\b{BORN}[^\n\d]{{0,24}}?(?P<date>\b{_DATE})", re.IGNORECASE), group="date", score=0.9),
    Pattern("name", re.compile(rf"\b{SAYS_NAME}:? (?P<name>{NAME})"), _no_name, group="name", score=0.8),
    Pattern("name", re.compile(rf"\b{INTRODUCES} (?:{TITLE} )?(?!{TITLE} )(?P<name>{FULL_NAME})"), _no_name, group="name", score=0.6),
    Pattern("name", re.compile(rf"\b{HOLDS}[ :]{{1,2}}(?:{TITLE} )?(?!{TITLE} )(?P<name>{FULL_NAME})"), _no_name, group="name", score=0.6),
    Pattern("name", re.compile(rf"\b{TITLE} (?P<name>(?:[A-Z]\. )?{NAME})"), _no_name, group="name", score=0.7),
    Pattern("name", re.compile(rf"\b{LABEL}[ \t]*[:=][ \t]*(?P<name>{FULL_NAME})"), _no_name, group="name", score=0.7),
    Pattern("name", re.compile(rf"^{GREETING}\s+(?P<name>{NAME})(?=[,!.\n]|\s*\Z)", re.MULTILINE), _no_name, group="name", score=0.6),
    *(Pattern("address", re.compile(rf"(?<![\w.]){each}"), score=0.7) for each in ADDRESSES),
    Pattern("address", _whole(r"(?:GIR ?0AA|[A-PR-UWYZ][A-HK-Y]?\d[\dA-HJKPSTUW]? \d[ABD-HJLNP-UW-Z]{2})"), score=0.6),
)
KINDS = tuple(dict.fromkeys(pattern.kind for pattern in PATTERNS))
