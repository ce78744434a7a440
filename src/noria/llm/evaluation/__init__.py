"""Evaluation: whether an application of language models is good enough to go live, or better than the one that is.

In:   an application that answers, a set of questions, metrics, and judges that were measured against people
Out:  a record for each answer, figures with intervals, and for each gate passed, failed or unknown; a report

    questions   sets: written, generated from the corpus, mined from production; reviewed by people
    metrics     of retrieval, answers, citations, refusals, latency and cost; judges, with a language model or without
    gates       not worse, better, at least, within, no slice worse; the question is the unit, and what is missing is unknown
"""

from noria.llm.evaluation.answered import Answered, Answering, answered_rows
from noria.llm.evaluation.citations import citation_precision, citation_recall, cited_relevant
from noria.llm.evaluation.compare import Compared, compare
from noria.llm.evaluation.evaluate import evaluate, remeasured
from noria.llm.evaluation.evaluated import ByQuestion, Evaluated, Record
from noria.llm.evaluation.failures import (
    BadGate,
    BadHumanLabels,
    BadQuestionSet,
    BadReview,
    NotComparable,
    NotReviewed,
    SameName,
    UnknownAnswerMetric,
)
from noria.llm.evaluation.gates import AnswerGate, at_least, better, no_slice_worse, not_above, not_worse, within
from noria.llm.evaluation.generated import Drafted, generated
from noria.llm.evaluation.judge import Claim, Judge, Judgement, PairJudge, Preference, judge_digest
from noria.llm.evaluation.judge_record import HumanLabel, JudgeRecord, PositionBias, measured, position_bias
from noria.llm.evaluation.llm_judge import BetterAnswer, ContextRelevance, Correctness, Faithfulness
from noria.llm.evaluation.metrics import AnswerMetric, answer_metrics, judged_metric, retrieval_metrics
from noria.llm.evaluation.mined import Mined, mined
from noria.llm.evaluation.pairs import Comparison, Labels
from noria.llm.evaluation.questions import Question, QuestionSet
from noria.llm.evaluation.refusals import is_refusal, refusal_correctness
from noria.llm.evaluation.review import Decision, Reviewed, decide, decisions, read_reviewed, review_file, reviewed
from noria.llm.evaluation.support import SupportModel
from noria.llm.evaluation.text_metrics import exact, similarity, token_f1, token_recall
from noria.llm.evaluation.toxicity import toxicity
from noria.llm.evaluation.word_judge import Preferred, Supported

__all__ = [
    "AnswerGate",
    "AnswerMetric",
    "Answered",
    "Answering",
    "BadGate",
    "BadHumanLabels",
    "BadQuestionSet",
    "BadReview",
    "BetterAnswer",
    "ByQuestion",
    "Claim",
    "Compared",
    "Comparison",
    "ContextRelevance",
    "Correctness",
    "Decision",
    "Drafted",
    "Evaluated",
    "Faithfulness",
    "HumanLabel",
    "Judge",
    "JudgeRecord",
    "Judgement",
    "Labels",
    "Mined",
    "NotComparable",
    "NotReviewed",
    "PairJudge",
    "PositionBias",
    "Preference",
    "Preferred",
    "Question",
    "QuestionSet",
    "Record",
    "Reviewed",
    "SameName",
    "SupportModel",
    "Supported",
    "UnknownAnswerMetric",
    "answer_metrics",
    "answered_rows",
    "at_least",
    "better",
    "citation_precision",
    "citation_recall",
    "cited_relevant",
    "compare",
    "decide",
    "decisions",
    "evaluate",
    "exact",
    "generated",
    "is_refusal",
    "judge_digest",
    "judged_metric",
    "measured",
    "mined",
    "no_slice_worse",
    "not_above",
    "not_worse",
    "position_bias",
    "read_reviewed",
    "refusal_correctness",
    "remeasured",
    "retrieval_metrics",
    "review_file",
    "reviewed",
    "similarity",
    "token_f1",
    "token_recall",
    "toxicity",
    "within",
]
