"""Generators from their definitions: a bundle names one as plain data.

What limits a generator is no part of `definition()`, which says what its answers depend on. `sealed` has it as well: a bundle's server
keeps to the budget that was declared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noria.llm.generation.budget import Budget
from noria.llm.generation.failures import BadRequest
from noria.llm.generation.fallbacks import Fallbacks
from noria.llm.generation.openai_compatible import OpenAICompatible
from noria.llm.generation.port import Generator

BUDGET = "budget"


def sealed(generator: Generator) -> dict[str, Any]:
    """A generator as a bundle has it. Raises `BadRequest` where a budget would be lost."""
    if isinstance(generator, Budget):
        return {"generator": BUDGET, "of": sealed(generator.limited), "calls": generator.limits()}
    if isinstance(generator, Fallbacks) and any(isinstance(each, Budget) for each in generator.generators):
        raise BadRequest("Fallbacks", "one of its generators has a budget", "put the budget around all: Budget(Fallbacks([…]), …)")
    return generator.definition()


def generator_of(definition: Mapping[str, Any]) -> Generator:
    """The generator of a definition. Raises `BadRequest` where it is none of ours."""
    kind = definition.get("generator")
    try:
        if kind == "openai-compatible":
            return OpenAICompatible.opened(definition)
        if kind == "local":
            from noria.llm.generation.local import Local

            return Local.opened(definition)
        if kind == BUDGET:
            return Budget.opened(generator_of(definition["of"]), definition["calls"])
        if kind == "fallbacks":
            return Fallbacks([generator_of(each) for each in definition["of"]], **definition["calls"])
    except (KeyError, TypeError) as error:
        raise BadRequest("a definition", f"it is none of {kind}: {error}", "give what `definition()` of a generator returned") from error
    raise BadRequest("a definition", f"there is no generator {kind!r}", "give one of openai-compatible, local, fallbacks, budget")
