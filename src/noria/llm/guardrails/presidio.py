"""Microsoft Presidio as a further finder of personal data, where it is installed: it knows names by a language model, in context or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from noria.llm.guardrails.personal import Analyzer
from noria.llm.guardrails.rule import BadRule, Finding

KINDS = {
    "PERSON": "name",
    "LOCATION": "address",
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "IBAN_CODE": "iban",
    "CREDIT_CARD": "card",
    "US_SSN": "us_ssn",
    "IP_ADDRESS": "ip_address",
    "UK_NINO": "uk_nino",
    "ES_NIF": "spanish_id",
    "IT_FISCAL_CODE": "italian_code",
}


def presidio(engine: Any = None, *, language: str = "en", kinds: Sequence[str] = ("PERSON",)) -> Analyzer:
    """Presidio's findings of some of its own kinds, by its default engine or by one that was configured.

    Raises `BadRule` where it is not installed. It takes milliseconds a text, and needs a model of spaCy that was installed before.
    """
    if engine is None:
        try:
            from presidio_analyzer import AnalyzerEngine  # type: ignore[import-not-found, unused-ignore]
        except ImportError as error:
            fix = "run `pip install presidio-analyzer`, and install a model of spaCy"
            raise BadRule("personal_data", "presidio-analyzer is not installed", fix) from error
        engine = AnalyzerEngine()

    def find(text: str) -> list[Finding]:
        results = engine.analyze(text=text, language=language, entities=list(kinds))
        return [Finding(each.start, each.end, KINDS.get(each.entity_type, each.entity_type.lower()), each.score) for each in results]

    return Analyzer(f"presidio:{language}:{','.join(kinds)}", find)
