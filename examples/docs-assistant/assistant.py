"""An assistant that answers from the documentation of two libraries, and cites it.

Read from top to bottom: the corpus, what users asked and whether it helped, how a question is answered, what a new version must show before
it is released, and when one is built.
"""

from pathlib import Path

import noria as nr
from noria import llm

HERE = Path(__file__).parent
MODELS = HERE / "models"  # of prepare_models.py; without them, texts are near each other where they share words

# --- Facts, and when they are known (see prepare.py) ------------------------------------------------------------------

docs = nr.Table("docs", llm.document_files("data/docs"), key="id", event_time="changed_at", deleted="deleted")
asked = nr.Table("asked", nr.files("data/asked.csv"), key="question_id", event_time="asked_at")
feedback = nr.Table("feedback", nr.files("data/feedback.csv"), key="question_id", event_time="given_at")

# --- How a question is answered ---------------------------------------------------------------------------------------

embedder = llm.OnnxEmbedder(MODELS / "embedder") if MODELS.is_dir() else llm.HashedEmbedder()

assistant = llm.Application(
    corpus=docs,
    chunker=llm.ByKind(),
    embedder=llm.CachedEmbedder(embedder, HERE / "data" / "embeddings"),
    reranker=llm.OnnxReranker(MODELS / "reranker") if MODELS.is_dir() else None,
    guardrails=llm.Guardrails((llm.Length(), llm.Injection(), llm.Secrets())),
    words=2.0,
    terms=llm.Terms(count=10, least=0.1),
    # calibrated_on="data/questions.jsonl" makes confidence the chance that an answer cites the right document; each build answers them all
)

# --- What a new version must show: candidate and champion answer the same questions -----------------------------------

questions = llm.judged(
    HERE / "data" / "questions.jsonl",
    gates=[llm.at_least("recall@5", 0.7), llm.not_worse("recall@5", by=0.05), llm.no_slice_worse("recall@5", over=["package"], by=0.1)],
    unreviewed=True,  # they are made of the documentation's own words
)
answers = nr.Model(
    "assistant",
    llm.questions(asked),
    label=nr.Label(feedback, "helpful"),
    trainer=assistant,
    task=nr.Generation(),
    gates=[questions],
)

# --- How it is released, watched and renewed --------------------------------------------------------------------------

# A new version answers the questions of live traffic unseen, 500 at most, and takes over once it is certain that it answers no fewer. With
# a judge among the gates, which says how far answers are supported by what was found, a shadow is decided by that.
endpoint = nr.Endpoint("assistant", answers, release=nr.Rollout(shadow="1d", at_most="7d", score="answered", margin=0.1, answers=500))
monitor = nr.Monitor(
    endpoint,
    false_alarms_per_year=4,
    performance=[nr.Tolerance("helpful", by=0.1)],
    answers=[nr.AnswerShare("unanswered", by=0.05), nr.AnswerShare("missed", by=0.05)],
    spending=[nr.SpendingLimit("day", tokens=1_000_000)],  # nothing, until a generator writes the answers
)
retrain = nr.Retrain(answers, when=[nr.changed(docs)])
