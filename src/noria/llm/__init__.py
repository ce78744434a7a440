"""Applications of language models, built from the stages above: an application is a model like any other.

In:   documents of any kind, questions, and models that embed and write
Out:  a model that answers questions with the sources it cites, which is evaluated, released, watched and renewed as others are

    documents/   what is read: files of any kind as Markdown, with where each part stands
    chunking/    how documents are cut into the parts that are found and cited
    embedding/   texts as vectors, and how well a text answers a question
    index/       chunks with their vectors, to be searched by meaning and by words
    retrieval/   which chunks answer a question: rankings, and conditions on what may be found
    tuning       the chunker that finds best, as it was measured
    generation/  models that write: what they are told, what they answer, and the sources that an answer cites
    guardrails/  what may go in and come out: rules that allow, flag, redact or block
    evaluation/  sets of questions, metrics, judges and gates
    application/ all of it as one model
    monitoring/  judges of a sample of what was answered in production

`from noria import llm` has the names that a project needs, loaded when they are first used: `llm.document_files`, `llm.Application`, ….
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.core.lazy import lazily

if TYPE_CHECKING:
    from noria.llm.application import Application, Terms, judged, questions
    from noria.llm.chunking import ByFunction, ByHeading, ByKind, BySentence, Fixed, Recursive, Semantic, WithParents
    from noria.llm.documents import document_files, read_documents, without_near_duplicates
    from noria.llm.embedding import (
        CachedEmbedder,
        HashedEmbedder,
        OnnxEmbedder,
        OnnxReranker,
        OpenAIEmbedder,
        OpenVinoEmbedder,
        OpenVinoReranker,
        TorchEmbedder,
        embedder,
        reranker,
    )
    from noria.llm.evaluation import (
        QuestionSet,
        at_least,
        better,
        compare,
        evaluate,
        measured,
        no_slice_worse,
        not_above,
        not_worse,
        within,
    )
    from noria.llm.generation import Budget, Cached, Fallbacks, Limit, Local, OpenAICompatible, Options, Prices, Prompt, Retries
    from noria.llm.guardrails import (
        Grounded,
        Guardrails,
        Injection,
        Languages,
        Length,
        OutputSchema,
        PersonalData,
        Policy,
        SafeMarkup,
        Secrets,
        Topics,
        Toxicity,
    )
    from noria.llm.index import LanceStore, open_store
    from noria.llm.monitoring import sampled, step
    from noria.llm.retrieval import Retriever
    from noria.llm.tuning import tune_chunks

_HOMES = {
    "noria.llm.application": ["Application", "Terms", "judged", "questions"],
    "noria.llm.chunking": ["ByFunction", "ByHeading", "ByKind", "BySentence", "Fixed", "Recursive", "Semantic", "WithParents"],
    "noria.llm.documents": ["document_files", "read_documents", "without_near_duplicates"],
    "noria.llm.embedding": [
        "CachedEmbedder",
        "HashedEmbedder",
        "OnnxEmbedder",
        "OnnxReranker",
        "OpenAIEmbedder",
        "OpenVinoEmbedder",
        "OpenVinoReranker",
        "TorchEmbedder",
        "embedder",
        "reranker",
    ],
    "noria.llm.evaluation": [
        "QuestionSet",
        "at_least",
        "better",
        "compare",
        "evaluate",
        "measured",
        "no_slice_worse",
        "not_above",
        "not_worse",
        "within",
    ],
    "noria.llm.generation": [
        "Budget",
        "Cached",
        "Fallbacks",
        "Limit",
        "Local",
        "OpenAICompatible",
        "Options",
        "Prices",
        "Prompt",
        "Retries",
    ],
    "noria.llm.guardrails": [
        "Grounded",
        "Guardrails",
        "Injection",
        "Languages",
        "Length",
        "OutputSchema",
        "PersonalData",
        "Policy",
        "SafeMarkup",
        "Secrets",
        "Topics",
        "Toxicity",
    ],
    "noria.llm.index": ["LanceStore", "open_store"],
    "noria.llm.monitoring": ["sampled", "step"],
    "noria.llm.retrieval": ["Retriever"],
    "noria.llm.tuning": ["tune_chunks"],
}

__all__ = [
    "Application",
    "Budget",
    "ByFunction",
    "ByHeading",
    "ByKind",
    "BySentence",
    "Cached",
    "CachedEmbedder",
    "Fallbacks",
    "Fixed",
    "Grounded",
    "Guardrails",
    "HashedEmbedder",
    "Injection",
    "LanceStore",
    "Languages",
    "Length",
    "Limit",
    "Local",
    "OnnxEmbedder",
    "OnnxReranker",
    "OpenAICompatible",
    "OpenAIEmbedder",
    "OpenVinoEmbedder",
    "OpenVinoReranker",
    "Options",
    "OutputSchema",
    "PersonalData",
    "Policy",
    "Prices",
    "Prompt",
    "QuestionSet",
    "Recursive",
    "Retries",
    "Retriever",
    "SafeMarkup",
    "Secrets",
    "Semantic",
    "Terms",
    "Topics",
    "TorchEmbedder",
    "Toxicity",
    "WithParents",
    "at_least",
    "better",
    "compare",
    "document_files",
    "embedder",
    "evaluate",
    "judged",
    "measured",
    "no_slice_worse",
    "not_above",
    "not_worse",
    "open_store",
    "questions",
    "read_documents",
    "reranker",
    "sampled",
    "step",
    "tune_chunks",
    "within",
    "without_near_duplicates",
]

__getattr__, __dir__ = lazily(__name__, _HOMES)
