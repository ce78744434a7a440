"""Generation: answers in words, and what they were made from. An outcome says whether one helped; a score is the chance of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from noria.core.signature import Field
from noria.data.rows import Rows
from noria.evaluation.answer_scores import AnswerScore
from noria.evaluation.binary import Binary
from noria.evaluation.generation_scores import ANSWER_SCORES
from noria.evaluation.metric import Floats, Metric
from noria.evaluation.metrics import registered
from noria.evaluation.task import Answers
from noria.features.label import Label

if TYPE_CHECKING:
    import pyarrow as pa

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
SIMILARITY = Field("similarity", "float64")
ASKED = Field("asked", "string")

QUESTION = Field("question", "string", nullable=False)
CONVERSATION = Field("conversation", "string")
ACCESS = Field("access", "string", (None,))
CONDITIONS = Field("conditions", "string")
MODE = Field("mode", "string")
TENANT = Field("tenant", "string")
OPTIONS = Field("options", "string")
SEARCH = "search"
ALSO = "; also "  # in a place, before the name of each other document that has the same text
TOOK = (PROMPT_TOKENS, COMPLETION_TOKENS, COST)
OUTPUTS = (ANSWER, CITED, FOUND, FOUND_TEXTS, FOUND_PLACES, FOUND_SCORES, CONFIDENCE, FINISH, *TOOK, DECISIONS, SIMILARITY, ASKED)
INPUTS = (QUESTION, CONVERSATION, ACCESS, CONDITIONS, MODE, TENANT, OPTIONS)


@dataclass(frozen=True)
class Generation(Binary):
    """Answers in words. A label is 1 where an answer helped, and 0 where it did not; the score of an answer is the chance that it helps.

    own: metrics of your own, beside those that every application has

    What a model answers:

        answer       the text
        cited        the ids of the chunks that it cites
        found        the ids of the chunks that were found for the question, the most relevant first; as many are their texts, their
                     places (the document and the part of it) and their scores: found_texts, found_places, found_scores
        confidence   the chance that it helps, where it is calibrated (see the bundle's card); otherwise the similarity
        finish       answered, unknown (nothing relevant was found), blocked (by a guardrail), length (it was cut), or searched (mode)
        prompt_tokens, completion_tokens, cost    what it took; cost in US dollars, unknown where there is no price
        decisions    what the guardrails said, as JSON; unknown where there are none
        similarity   how near the nearest source is in meaning, a cosine from 0 to 1; unknown where nothing was compared
        asked        the question and the conversation as guardrails let them be written, as JSON: a log has these in place of what was
                     sent; unknown where no guardrail redacts

    What one reads: the question; the conversation before it, JSON as `[{"role": …, "content": …}, …]`; the access labels of who asks, none:
    what everybody may read; conditions on the documents' metadata, JSON; the mode: `answer`, or `search` for the chunks alone; and the
    tenant on whose behalf it is asked, as the key or token says: empty where it says nothing, unknown where no request is answered;
    and how the answer is to be written, JSON such as `{"max_tokens": 100, "temperature": 0, "stop": ["."], "seed": 1}`.
    """

    name: ClassVar[str] = "generation"
    title: ClassVar[str] = "generation"
    learns: ClassVar[bool] = False
    outcomes_belong_to_the_answer: ClassVar[bool] = True

    @property
    def outputs(self) -> tuple[Field, ...]:
        return OUTPUTS

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (*registered(Generation.name), *super().metrics)

    @property
    def answer_scores(self) -> tuple[AnswerScore, ...]:
        return ANSWER_SCORES

    @property
    def monitored(self) -> tuple[str, ...]:
        return tuple(field.name for field in (CONFIDENCE, PROMPT_TOKENS, COMPLETION_TOKENS, COST))

    def scores(self, answers: Answers) -> Floats:
        return answers.scores((CONFIDENCE,))

    def proving(self, rows: Rows) -> Rows:
        """Searches, which cost nothing, and find the same each time."""
        import pyarrow as pa

        return rows.replaced(MODE.name, pa.array([SEARCH] * len(rows), pa.string()))

    def answer_columns(self, answers: Rows) -> dict[str, pa.Array]:
        """Each output that is a single value, and how many chunks were found and cited."""
        import pyarrow.compute as pc

        single = {field.name: answers.column(field.name) for field in self.outputs if not field.shape}
        return single | {field.name: pc.list_value_length(answers.column(field.name)) for field in (CITED, FOUND)}

    def require_outcomes(self, label: Label, outcomes: Floats, rows: pa.Table) -> None:
        """Any will do, since nothing is learnt from them."""

    def lacking(self, outcomes: Floats) -> str:  # noqa: ARG002
        return ""

    def default(self, given: Any) -> tuple[float, ...] | None:  # noqa: ARG002
        """No number answers a question."""
        return None

    @property
    def default_words(self) -> str:
        return "nothing else, since no number answers a question: an application has a fallback of its own"
