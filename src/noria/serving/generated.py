"""What the task `generation` calls a model's inputs and outputs (`noria.evaluation.generation`), for those who serve it.

The names stand here as well, so that a worker need not load what judges models; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from noria.data.rows import Fields, Rows, column_of_values
from noria.models.bundle import Bundle
from noria.serving.log.predictions import Values

TASK = "generation"
QUESTION, CONVERSATION, ACCESS, CONDITIONS, MODE = "question", "conversation", "access", "conditions", "mode"
TENANT, OPTIONS = "tenant", "options"
ANSWER, CITED, FOUND = "answer", "cited", "found"
FOUND_TEXTS, FOUND_PLACES, FOUND_SCORES = "found_texts", "found_places", "found_scores"
FINISH, PROMPT_TOKENS, COMPLETION_TOKENS, COST = "finish", "prompt_tokens", "completion_tokens", "cost"
SEARCH = "search"  # the mode in which chunks are found, and no answer is made
UNKNOWN, BLOCKED, LENGTH = "unknown", "blocked", "length"  # how an answer may finish, other than answered
ASKED = "asked"  # what was asked, as it may be written down
PRIVATE = "private.json"  # the file of a bundle that says that it may not be written down as it was sent
FAILED = "failed"  # how an answer of a shadow finishes that failed: others get an error
CONFIDENCE = "confidence"

REASONS = {BLOCKED: "content_filter", LENGTH: "length"}


def generates(bundle: Bundle) -> bool:
    """Whether a bundle was sealed for the task `generation`."""
    return bundle.manifest.task.get("name") == TASK


def place_of_input(bundle: Bundle, name: str, shape: tuple[int | None, ...] = ()) -> int | None:
    """Where an input of texts stands among those of a bundle of this task; None where it reads none of that name."""
    if generates(bundle):
        for place, field in enumerate(bundle.signature.inputs):
            if (field.name, field.type, field.shape) == (name, "string", shape):
                return place
    return None


def values_to_write(bundle: Bundle, values: Values) -> Values:
    """What the log and traces get of an application's inputs and answers. Where its guardrails redact what is asked, they get that as
    they left it; of an answer that says nothing of it, such as one that failed, they get no word of the question."""
    if not any(name.endswith(f"/{PRIVATE}") for name in bundle.manifest.files):
        return values
    inputs, outputs = values
    said = outputs.column(ASKED).to_pylist() if ASKED in outputs.names else [None] * len(inputs)
    left = [msgspec.json.decode(each) if each else {} for each in said]
    for field in inputs.fields:
        if field.name in (QUESTION, CONVERSATION):
            inputs = inputs.replaced(field.name, column_of_values(field, [each.get(field.name) for each in left]))
    return Values(inputs, outputs.without([ASKED]))


def searching(rows: Rows) -> list[bool]:
    """Which rows of inputs ask for a search, and for no answer."""
    if MODE not in rows.names:
        return [False] * len(rows)
    return [each == SEARCH for each in rows.column(MODE).to_pylist()]


def failed_answers(outputs: Fields, count: int) -> Rows:
    """What is logged of so many rows that a shadow failed to answer."""
    said = {ANSWER: "", CONFIDENCE: 0.0, FINISH: FAILED}
    return Rows.of_values(outputs, [tuple(said.get(field.name) for field in outputs)] * count)


def finish_reason(values: Mapping[str, Any]) -> str:
    """How an answer finished, in OpenAI's words."""
    return REASONS.get(str(values.get(FINISH)), "stop")


def usage_of(values: Mapping[str, Any]) -> dict[str, int] | None:
    """The tokens that an answer took, in OpenAI's form; None where they are not known."""
    prompt, completion = values.get(PROMPT_TOKENS), values.get(COMPLETION_TOKENS)
    if prompt is None or completion is None:
        return None
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
