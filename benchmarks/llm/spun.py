"""Sentences from templates: `{one|another}` is one of its parts, nested as deep as one likes."""

from __future__ import annotations

import random
import re

CHOICE = re.compile(r"\{([^{}]*)\}")


def spun(template: str, rng: random.Random) -> str:
    """One of the sentences of a template."""
    while CHOICE.search(template):
        template = CHOICE.sub(lambda found: rng.choice(found[1].split("|")), template)
    return re.sub(r" {2,}", " ", template).strip()
