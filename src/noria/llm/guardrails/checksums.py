"""Numbers that prove themselves: whether the check digits of accounts, cards and national numbers are right."""

from __future__ import annotations

import re

# Characters of an account number by country (SWIFT IBAN registry)
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "CH": 21, "CR": 22, "CY": 28,
    "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "ES": 24, "FI": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18,
    "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LI": 21,
    "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15, "PK": 24,
    "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "TN": 24, "TR": 26,
    "UA": 29, "VG": 24, "XK": 20,
}  # fmt: skip
DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_ODD_VALUES = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_ODD = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", _ODD_VALUES, strict=True)) | dict(zip("0123456789", _ODD_VALUES, strict=False))


def digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def is_iban(text: str) -> bool:
    """ISO 13616: the country's length, and 1 modulo 97."""
    number = re.sub(r"[\s.-]", "", text).upper()
    if IBAN_LENGTHS.get(number[:2]) != len(number) or not number[2:4].isdecimal() or not number.isascii() or not number.isalnum():
        return False
    return int("".join(str(int(letter, 36)) for letter in number[4:] + number[:4])) % 97 == 1


def iban_extent(text: str) -> int:
    """How many characters of a text that begins with an account number belong to it; 0: it ends within a word, or too early."""
    wanted, count = IBAN_LENGTHS.get(text[:2].upper(), 0), 0
    for place, letter in enumerate(text, start=1):
        count += letter.isalnum()
        if count == wanted:
            return place if not text[place : place + 1].isalnum() else 0
    return 0


def is_card(text: str) -> bool:
    """Luhn (ISO/IEC 7812), of a length and a beginning that card networks use."""
    number, groups = digits(text), [len(part) for part in re.split("[ -]", text)]
    if len(groups) > 1 and not (groups[0] == 4 and all(size in (3, 4, 5, 6) for size in groups[1:-1]) and groups[-1] <= 6):
        return False
    if not 13 <= len(number) <= 19 or len(set(number)) < 2 or not re.match(r"3[4-7]|30|4|5[0-8]|2[2-7]|6|8[16]|9", number):
        return False
    return is_luhn(number)


def is_luhn(number: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def is_german_tax_id(text: str) -> bool:
    """Steuer-Identifikationsnummer: ISO 7064 mod 11,10; of its first ten digits one stands two or three times, all others once at most."""
    number = digits(text)
    if len(number) != 11 or number[0] == "0":
        return False
    counts = sorted((number[:10].count(digit) for digit in set(number[:10])), reverse=True)
    if counts[0] not in (2, 3) or (len(counts) > 1 and counts[1] > 1):
        return False
    product = 10
    for digit in number[:10]:
        total = (int(digit) + product) % 10 or 10
        product = 2 * total % 11
    return (11 - product) % 10 == int(number[10])


def is_french_nir(text: str) -> bool:
    """Numéro d'inscription au répertoire: 97 less the number modulo 97, with Corsica's letters as 19 and 18."""
    number = re.sub(r"[\s.-]", "", text).upper().replace("2A", "19", 1).replace("2B", "18", 1)
    if len(number) != 15 or not number.isdecimal():
        return False
    month = int(number[3:5])
    return number[0] in "12" and (1 <= month <= 12 or 20 <= month <= 42 or month >= 50) and 97 - int(number[:13]) % 97 == int(number[13:])


def is_spanish_id(text: str) -> bool:
    """DNI and NIE: a letter for the number modulo 23."""
    number = re.sub(r"[\s.-]", "", text).upper()
    if not re.fullmatch(r"[XYZ]?\d{7,8}[A-Z]", number):
        return False
    plain = number.translate(str.maketrans("XYZ", "012")) if number[0] in "XYZ" else number
    return len(plain) == 9 and plain[:8].isdecimal() and DNI[int(plain[:8]) % 23] == number[-1]


def is_dutch_bsn(text: str) -> bool:
    """Burgerservicenummer: the eleven-test, with the last digit counted as -1."""
    number = digits(text).zfill(9)
    if len(number) != 9 or len(set(number)) < 3:
        return False
    return sum(int(digit) * weight for digit, weight in zip(number, (9, 8, 7, 6, 5, 4, 3, 2, -1), strict=True)) % 11 == 0


def is_italian_code(text: str) -> bool:
    """Codice fiscale: its last letter is the sum of its others modulo 26."""
    code = text.upper()
    if not re.fullmatch(r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", code):
        return False
    total = sum(
        _ODD[letter] if place % 2 == 0 else int(letter, 36) - (10 if letter.isalpha() else 0) for place, letter in enumerate(code[:15])
    )
    return chr(ord("A") + total % 26) == code[15]


def is_us_ssn(text: str) -> bool:
    """A social-security number that could have been given out (SSA): no area 000, 666 or 9xx, no group 00, no serial 0000."""
    number = digits(text)
    return (
        len(number) == 9
        and number[:3] not in ("000", "666")
        and number[0] != "9"
        and number[3:5] != "00"
        and number[5:] != "0000"
        and number not in ("123456789", "078051120", "219099999")  # of advertisements, void since
    )


def is_uk_nino(text: str) -> bool:
    """National Insurance number (HMRC NIM39110): prefixes that were given out."""
    number = re.sub(r"[\s-]", "", text).upper()
    return re.fullmatch(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]?", number) is not None and number[:2] not in (
        "BG",
        "GB",
        "NK",
        "KN",
        "TN",
        "NT",
        "ZZ",
    )
