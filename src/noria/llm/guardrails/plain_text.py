"""Texts as a reader sees them: without invisible characters, with look-alikes folded, and with what is encoded in them decoded."""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import unicodedata
import urllib.parse
from collections.abc import Iterator

INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U000e0000-\U000e01ef]"
)
TAGS = re.compile("[\U000e0020-\U000e007e]{4,}")  # an invisible copy of ASCII, by which text is hidden
# Letters of Cyrillic and Greek that look like Latin ones (of Unicode's confusables.txt, those of one letter)
_LOOKALIKES = dict(
    zip(
        "аеорсухіјѕԁһӏԛԝвкмнтАВЕКМНОРСТХІЈЅԌЅαοερτυνικβγηΑΒΕΖΗΙΚΜΝΟΡΤΥΧɑɡɩʏ",
        "aeopcyxijsdhlqwbkmhtABEKMHOPCTXIJSGSaoeptuvikbynABEZHIKMNOPTYXagiy",
        strict=True,
    )
)
LOOKALIKES = str.maketrans(_LOOKALIKES)
WORD = re.compile(r"\w+")
LEET = str.maketrans("01345@$7!|", "oieasast" + "il")
SPACED = re.compile(r"(?:\b\w[ .\-_*]){3,}\w\b")
BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
HEX = re.compile(r"(?:\b|0x)(?:[0-9a-fA-F]{2}[ :]?){8,}")
ESCAPED = re.compile(r"(?:\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|%[0-9a-fA-F]{2}|&#x?[0-9a-fA-F]{2,5};){4,}")
PERCENT = re.compile(r"%[0-9a-fA-F]{2}")
BINARY = re.compile(r"(?:[01]{8}[ ,]?){6,}")
BASE32 = re.compile(r"\b[A-Z2-7]{16,}={0,6}")
ASCII85 = re.compile(r"<~[!-u\s]{12,}~>|(?<!\S)[!-u]{20,}(?!\S)")
MORSE = re.compile(r"(?:[.\-]{1,6}[ /|]+){8,}[.\-]{1,6}")
_MORSE = dict(
    zip(
        [
            ".-",
            "-...",
            "-.-.",
            "-..",
            ".",
            "..-.",
            "--.",
            "....",
            "..",
            ".---",
            "-.-",
            ".-..",
            "--",
            "-.",
            "---",
            ".--.",
            "--.-",
            ".-.",
            "...",
            "-",
            "..-",
            "...-",
            ".--",
            "-..-",
            "-.--",
            "--..",
        ],
        "abcdefghijklmnopqrstuvwxyz",
        strict=True,
    )
)
MAX_DECODED = 20  # runs of a text that are decoded, and characters of a run: a text can be made of nothing else
LONGEST_RUN = 8_000


def visible(text: str) -> tuple[str, list[int] | None]:
    """The text without invisible characters and with compatible forms folded (full-width digits, NFKC), and where each character stood.

    The list has one entry more than characters, for the end; None: nothing was changed.
    """
    if text.isascii():
        return text, None
    out, places = list[str](), list[int]()
    for at, letter in enumerate(text):
        if letter.isascii():
            folded = letter
        elif INVISIBLE.match(letter):
            continue
        else:
            folded = unicodedata.normalize("NFKC", letter)
        out.append(folded)
        places += [at] * len(folded)
    return "".join(out), [*places, len(text)]


def folded(text: str) -> str:
    """The text as it is scored: visible, with look-alikes as what they look like, without accents, in lower case."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", INVISIBLE.sub("", text))
        latin = 2 * sum("a" <= letter <= "z" for letter in text.lower()) > sum(letter.isalpha() for letter in text)
        text = WORD.sub(lambda word: _latin(word[0], latin), text)
        text = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return text.casefold()


def _latin(word: str, among_latin: bool) -> str:
    """A word of mixed scripts, or of look-alikes alone among Latin words, as what it looks like; others are words of their language."""
    if word.isascii() or not any(letter in _LOOKALIKES for letter in word):
        return word
    mixed = any(letter.isascii() and letter.isalpha() for letter in word)
    return word.translate(LOOKALIKES) if mixed or (among_latin and all(letter in _LOOKALIKES for letter in word)) else word


def hidden(text: str) -> Iterator[str]:
    """What a text says under an encoding that a model can read: each as plain text, where it reads as one."""
    for run in TAGS.findall(text):
        yield "".join(chr(ord(letter) - 0xE0000) for letter in run)
    for pattern, decode in DECODERS:
        for number, found in enumerate(pattern.finditer(text)):
            if number == MAX_DECODED:
                break
            try:
                plain = decode(found[0][:LONGEST_RUN])
            except (ValueError, binascii.Error, UnicodeError):
                continue
            if _reads(plain):
                yield plain
    if PERCENT.search(text):
        yield urllib.parse.unquote(text[:LONGEST_RUN], errors="replace")
    if SPACED.search(text):
        yield SPACED.sub(lambda found: re.sub(r"[ .\-_*]", "", found[0]), text)


def disguised(text: str) -> Iterator[str]:
    """The whole text in other spellings: rot13, backwards, and letters written as digits."""
    yield codecs.encode(text, "rot13")
    yield text[::-1]
    if re.search(r"[a-zA-Z][01345@$7!|]+[a-zA-Z]", text):
        yield text.translate(LEET)


def _reads(plain: str) -> bool:
    """Whether something decoded is text: mostly letters and spaces, and no control characters."""
    letters = sum(letter.isalpha() or letter == " " for letter in plain)
    return len(plain) >= 8 and letters >= 0.7 * len(plain) and plain.isprintable()


def _base64(run: str) -> str:
    run = run.rstrip("=").replace("-", "+").replace("_", "/")
    run = run[: len(run) - (len(run) % 4 == 1)]
    return base64.b64decode(run + "=" * (-len(run) % 4)).decode("utf-8").strip()


def _base32(run: str) -> str:
    run = run.rstrip("=")
    return base64.b32decode(run + "=" * (-len(run) % 8)).decode("utf-8").strip()


def _hex(run: str) -> str:
    return bytes.fromhex(re.sub(r"0x|[ :]", "", run)).decode("utf-8").strip()


def _escaped(run: str) -> str:
    import html

    run = re.sub(r"\\x([0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1] or found[2], 16)), run)
    return html.unescape(urllib.parse.unquote(run)).strip()


def _binary(run: str) -> str:
    digits = re.sub("[ ,]", "", run)
    return bytes(int(digits[at : at + 8], 2) for at in range(0, len(digits) - 7, 8)).decode("utf-8").strip()


def _ascii85(run: str) -> str:
    run = run.strip("~<>") if run.startswith("<~") else run
    try:
        return base64.a85decode(run).decode("utf-8").strip()
    except ValueError:
        return base64.b85decode(run).decode("utf-8").strip()


def _morse(run: str) -> str:
    words = re.split(r"\s*[/|]\s*|\s{3,}", run.strip())
    return " ".join("".join(_MORSE.get(sign, "?") for sign in word.split()) for word in words)


DECODERS = (
    (BASE64, _base64),
    (BASE32, _base32),
    (HEX, _hex),
    (ESCAPED, _escaped),
    (BINARY, _binary),
    (ASCII85, _ascii85),
    (MORSE, _morse),
)
