"""Generation: answers in words, and what they were made from. An outcome says whether one helped; a score is the chance of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from noria.core.signature import Field
from noria.evaluation.binary import Binary

ANSWER = Field("answer", "string", nullable=False)
CITED = Field("cited", "string", (None,))
FOUND = Field("found", "string", (None,))
FOUND_TEXTS = Field("found_texts", "string", (None,))
FOUND_PLACES = Field("found_places", "string", (None,))
FOUND_SCORES = Field("found_scores", "float32", (None,))
CONFIDENCE = Field("confidence", "float64", nullable=False)
FINISH = Field("finish", "string", nullable=False)
PROMPT_TOKENS = Field("prompt_tokens", "int64")
COMPLETION_TOKENS = Field("completion_tokens", "int64")
COST = Field("cost", "float64")
DECISIONS = Field("decisions", "string")

QUESTION = Field("question", "string", nullable=False)
CONVERSATION = Field("conversation", "string")
ACCESS = Field("access", "string", (None,))
CONDITIONS = Field("conditions", "string")
MODE = Field("mode", "string")
INPUTS = (QUESTION, CONVERSATION, ACCESS, CONDITIONS, MODE)


@dataclass(frozen=True)
class Generation(Binary):
    """Answers in words. A label is 1 where an answer helped, and 0 where it did not; the score of an answer is the chance that it helps.

    What a model answers:

        answer       the text
        cited        the ids of the chunks that it cites
        found        the ids of the chunks that were found for the question, the most relevant first; as many are their texts, their
                     places (the document and the part of it) and their scores: found_texts, found_places, found_scores
        confidence   the chance that it helps
        finish       answered, unknown (nothing relevant was found), blocked (by a guardrail), length (it was cut), or searched (mode)
        prompt_tokens, completion_tokens, cost    what it took; cost in US dollars, unknown where there is no price
        decisions    what the guardrails said, as JSON; unknown where there are none

    What one reads: the question; the conversation before it, JSON as `[{"role": …, "content": …}, …]`; the access labels of who asks, none:
    what everybody may read; conditions on the documents' metadata, JSON; and the mode: `answer`, or `search` for the chunks alone.
    """

    name: ClassVar[str] = "generation"
    title: ClassVar[str] = "generation"

    @property
    def outputs(self) -> tuple[Field, ...]:
        tokens = (PROMPT_TOKENS, COMPLETION_TOKENS, COST)
        return (ANSWER, CITED, FOUND, FOUND_TEXTS, FOUND_PLACES, FOUND_SCORES, CONFIDENCE, FINISH, *tokens, DECISIONS)
