"""Texts with personal data of six locales, made here, and texts that only look as if they had some.

Numbers have right check digits, and are nobody's: they are drawn at random. Telephone numbers come from ranges that are kept for fiction,
where the country has some. The `fresh` templates were written after the patterns: what
a first run of them showed stands in docs/llm-guardrails.md, and the patterns know them since.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path

from benchmarks.llm.spun import Templates
from noria.llm.guardrails import checksums

FIRST = {
    "en": "James Mary Robert Linda Priya Chen Olivia Samuel Grace Hannah",
    "de": "Jürgen Sabine Lukas Annika Wolfgang Heike Jonas Käthe Björn Ute",
    "fr": "Amélie Jean-Luc Hélène Thierry Chloé François Inès Mathieu Océane Rémi",
    "es": "José María Lucía Javier Carmen Íñigo Pilar Sergio Nuria Álvaro",
    "nl": "Sanne Daan Femke Bram Lotte Joost Anouk Thijs Maaike Ruben",
    "it": "Giulia Marco Chiara Luca Francesca Matteo Elena Davide Sofia Paolo",
}
LAST = {
    "en": "Smith Johnson O'Neill Patel Walker Thompson Clarke Nguyen Bennett Reed",
    "de": "Müller Schmidt Groß Lehmann Vogel Kühn Schäfer Weiß Brandt Hoffmann",
    "fr": "Lefèvre Dubois Moreau Girard Lemaître Fontaine Roux Chevalier Perrin Marchand",
    "es": "García Muñoz Fernández Ortega Ibáñez Castillo Vázquez Romero Peña Delgado",
    "nl": "Jansen Bakker Visser Smit Meijer Mulder Dekker Brouwer Kuipers Postma",
    "it": "Rossi Bianchi Esposito Ferrari Romano Colombo Ricci Marino Greco Conti",
}
CITY = {"en": "Springfield", "de": "Köln", "fr": "Lyon", "es": "Sevilla", "nl": "Utrecht", "it": "Torino"}
GROUPS = Templates.read(Path(__file__).with_suffix(".txt")).groups
HARMLESS = GROUPS["harmless"]
TEMPLATES = {locale: of for locale, of in GROUPS.items() if locale in FIRST}
FRESH = {locale: GROUPS[f"fresh {locale}"] for locale in FIRST}


@dataclass(frozen=True)
class Labelled:
    """A text and what stands in it: (at, end, kind)"""

    text: str
    spans: tuple[tuple[int, int, str], ...]
    locale: str


def labelled(count: int, seed: int, fresh: bool = False) -> list[Labelled]:
    """Texts with personal data. fresh: by templates that no pattern was written by"""
    rng = random.Random(f"personal {seed}")
    templates = FRESH if fresh else TEMPLATES
    locales = rng.choices(list(templates), k=count)
    return [_filled(rng.choice(templates[locale]), locale, rng) for locale in locales]


def harmless_numbers(count: int, seed: int, fresh: bool = False) -> list[str]:
    """Texts without personal data that look as if they had some."""
    rng = random.Random(f"harmless {seed}")
    return [_numbers(rng.choice(GROUPS["fresh harmless"] if fresh else HARMLESS), rng) for _ in range(count)]


def _filled(template: str, locale: str, rng: random.Random) -> Labelled:
    parts, spans = list[str](), list[tuple[int, int, str]]()
    size = 0
    for place, part in enumerate(re.split(r"\{(\w+)\}", template)):
        if place % 2:
            value = made(part, locale, rng)
            spans.append((size, size + len(value), part))
            part = value
        parts.append(part)
        size += len(part)
    return Labelled("".join(parts), tuple(spans), locale)


def _numbers(template: str, rng: random.Random) -> str:
    ways = {
        "d": lambda: str(rng.randint(1, 9)),
        "digits5": lambda: str(rng.randint(10_000, 99_999)),
        "digits9": lambda: str(rng.randint(100_000_000, 999_999_999)),
        "hex32": lambda: f"{rng.getrandbits(128):032x}",
        "hex40": lambda: f"{rng.getrandbits(160):040x}",
        "uuid": lambda: "-".join(f"{rng.getrandbits(4 * size):0{size}x}" for size in (8, 4, 4, 4, 12)),
        "date": lambda: f"{rng.randint(1, 28):02}.{rng.randint(1, 12):02}.20{rng.randint(10, 26)}",
    }
    return re.sub(r"\{(\w+)\}", lambda found: ways[found[1]](), template)


def made(kind: str, locale: str, rng: random.Random) -> str:
    """One piece of personal data."""
    first, last = rng.choice(FIRST[locale].split()), rng.choice(LAST[locale].split())
    match kind:
        case "name":
            return f"{first} {last}"
        case "email":
            plain = re.sub("[^a-z]", "", f"{first}{last}".lower()) or "user"
            return rng.choice(
                [f"{plain}{rng.randint(1, 99)}@example.org", f"{plain[:1]}.{plain[1:]}@mail.example.co.uk", f"{plain}+news@sub.example.com"]
            )
        case "phone":
            return _phone(locale, rng)
        case "birth_date":
            return _date(locale, rng)
        case "address":
            return _address(locale, rng)
        case "ip_address":
            return rng.choice(
                [
                    f"203.0.113.{rng.randint(1, 254)}",
                    f"10.{rng.randint(1, 250)}.3.{rng.randint(1, 254)}",
                    f"2001:db8::{rng.randint(1, 9999):x}:{rng.randint(1, 9999):x}",
                ]
            )
        case "card":
            return _spaced(
                _with_digit(f"{rng.choice(['4', '51', '37', '6011'])}{rng.getrandbits(60)}"[: rng.choice([15, 15, 14])], checksums.is_luhn),
                4,
                rng,
            )
        case "iban":
            return _iban(locale, rng)
        case _:
            return _national(kind, rng)


def _phone(locale: str, rng: random.Random) -> str:
    d = "".join(str(rng.randint(0, 9)) for _ in range(4))
    return rng.choice(
        {
            "en": [f"(415) 555-{d}", f"+1 212 555 {d}", f"415-555-{d}", f"020 7946 {d}", f"+44 7700 90{d}", f"07700 90{d}"],
            "de": [f"+49 151 2345{d}", f"030 23125 {d[:3]}", f"0151-2345{d}", f"+49 (0)89 99998{d}", f"0171 39{d[:2]} {d}"],
            "fr": [f"06 39 98 {d[:2]} {d[2:]}", f"+33 6 39 98 {d[:2]} {d[2:]}", f"01.99.00.{d[:2]}.{d[2:]}"],
            "es": [f"612 34 {d[:2]} {d[2:]}", f"+34 612 34{d}", f"91 234 {d[:2]} {d[2:]}"],
            "nl": [f"06-1234{d}", f"+31 6 1234{d}", f"020 123 {d}"],
            "it": [f"+39 347 123{d}", f"347 123 {d}", f"06 1234 {d}"],
        }[locale]
    )


def _date(locale: str, rng: random.Random) -> str:
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1940, 2008)
    named = {
        "en": ["March", "July"],
        "de": ["März", "Juli"],
        "fr": ["mars", "juillet"],
        "es": ["marzo", "julio"],
        "nl": ["maart", "juli"],
        "it": ["marzo", "luglio"],
    }
    name = rng.choice(named[locale])
    words = {"en": f"{name} {day}, {year}", "de": f"{day}. {name} {year}", "es": f"{day} de {name} de {year}"}.get(
        locale, f"{day} {name} {year}"
    )
    sign = rng.choice("./-")
    return rng.choice([f"{day:02}{sign}{month:02}{sign}{year}", f"{year}-{month:02}-{day:02}", words])


def _address(locale: str, rng: random.Random) -> str:
    n, code = rng.randint(1, 240), rng.randint(10_000, 98_999)
    return rng.choice(
        {
            "en": [
                f"{n} Maple Street, {CITY['en']}, IL {code}",
                f"{n} Old Mill Road",
                f"{n} King's Avenue, London, SW1A 2AA",
                f"{n}B Station Lane",
            ],
            "de": [f"Hauptstraße {n}, {code} {CITY['de']}", f"Lindenweg {n}a", f"Goethestr. {n}, {code} Bad Homburg"],
            "fr": [f"{n} rue de la Paix, {code} {CITY['fr']}", f"{n}, avenue Victor Hugo", f"{n} bis boulevard Voltaire"],
            "es": [f"Calle de Alcalá, {n}, {code} Madrid", f"Avenida Libertad {n}"],
            "nl": [f"Kerkstraat {n}, {code // 10} AB {CITY['nl']}", f"Herengracht {n}"],
            "it": [f"Via Garibaldi, {n}, {code} {CITY['it']}", f"Via Roma {n}"],
        }[locale]
    )


def _iban(locale: str, rng: random.Random) -> str:
    country = {"en": "GB", "de": "DE", "fr": "FR", "es": "ES", "nl": "NL", "it": "IT"}[locale]
    size = checksums.IBAN_LENGTHS[country] - 4
    body = "".join(rng.choice("0123456789") for _ in range(size))
    body = {"GB": "WEST", "NL": "INGB", "IT": "X"}.get(country, "") + body
    body = body[:size]
    check = 98 - int("".join(str(int(letter, 36)) for letter in f"{body}{country}00")) % 97
    return _spaced(f"{country}{check:02}{body}", 4, rng)


def _national(kind: str, rng: random.Random) -> str:
    proofs = {
        "us_ssn": ("###-##-####", checksums.is_us_ssn),
        "german_tax_id": (rng.choice(["###########", "## ### ### ###"]), checksums.is_german_tax_id),
        "dutch_bsn": ("#########", checksums.is_dutch_bsn),
    }
    if kind in proofs:
        form, proof = proofs[kind]
        while not proof(value := re.sub("#", lambda _: str(rng.randint(0, 9)), form)):
            pass
        return value
    if kind == "french_nir":
        body = f"{rng.randint(1, 2)}{rng.randint(0, 99):02}{rng.randint(1, 12):02}{rng.randint(1, 95):02}{rng.randint(0, 999_999):06}"
        value = f"{body}{97 - int(body) % 97:02}"
        return rng.choice([value, f"{value[0]} {value[1:3]} {value[3:5]} {value[5:7]} {value[7:10]} {value[10:13]} {value[13:]}"])
    if kind == "spanish_id":
        number = rng.randint(10_000_000, 89_999_999)
        foreign = rng.randint(1_000_000, 9_999_999)
        return rng.choice([f"{number}{checksums.DNI[number % 23]}", f"X{foreign}{checksums.DNI[foreign % 23]}"])
    if kind == "uk_nino":
        n = rng.randint(100_000, 999_999)
        return rng.choice([f"AB {str(n)[:2]} {str(n)[2:4]} {str(n)[4:]} C", f"JG{n}A"])
    code = f"RSSMRA{rng.randint(40, 99)}{rng.choice('ABCDEHLMPRST')}{rng.randint(1, 31):02}H{rng.randint(100, 999)}"
    return next(code + letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if checksums.is_italian_code(code + letter))


def _with_digit(number: str, proof: object) -> str:
    return next(number + digit for digit in "0123456789" if proof(number + digit))  # type: ignore[operator]


def _spaced(number: str, size: int, rng: random.Random) -> str:
    sign = rng.choice(["", " ", " "])
    return sign.join(number[at : at + size] for at in range(0, len(number), size))
