"""Questions made from a corpus: what a model that writes would ask of a chunk, or without one, what a definition answers.

They are a draft. None is reviewed, and no gate goes by them until a person has looked (`noria.llm.evaluation.review`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from noria.core.errors import NoriaError
from noria.core.ids import digest
from noria.core.progress import Progress, Tell, silence
from noria.llm.chunking.chunk import Chunk
from noria.llm.evaluation.failures import TooFewTexts
from noria.llm.evaluation.fenced import fenced
from noria.llm.evaluation.llm_judge import JUDGED, json_of, prompt
from noria.llm.evaluation.near import clusters
from noria.llm.evaluation.questions import Question, QuestionSet
from noria.llm.evaluation.support_pairs import whole_sentences
from noria.llm.evaluation.text_metrics import token_recall
from noria.llm.generation.port import Generator

MIN_CHARACTERS = 80  # of a chunk that can be asked for
ANSWERABLE = 0.6  # of the words of the answer that its chunk must have
LONGEST_TITLE = 6  # words of a subject
DEFINES = re.compile(
    r"^(?:An?|The)\s+(?P<subject>[\w \-]{3,60}?)\s+(?P<verb>is|are|costs?|returns?|takes?|needs?|opens?|allows?|means?)\s", re.IGNORECASE
)
ASKS = {"is": "What is {}?", "are": "What are {}?", "mean": "What does {} mean?"}

Found = Callable[[str], Sequence[Chunk]]


@dataclass(frozen=True)
class Drafted:
    """A draft of a set, and what was left out of it: chunks without a question, questions that their own chunk does not answer, those that
    ask the same as another, and those for which the retriever finds an answer though they should have none."""

    questions: QuestionSet
    without: int
    unanswered: int
    repeated: int
    answered_after_all: int
    failed: int


def generated(
    chunks: Sequence[Chunk],
    generator: Generator | None = None,
    *,
    count: int = 100,
    unanswerable: float = 0.2,
    removed: Sequence[Chunk] = (),
    find: Found | None = None,
    name: str = "generated",
    seed: int = 0,
    progress: Tell = silence,
) -> Drafted:
    """A draft of about `count` questions, each from a chunk drawn at random, documents as evenly as possible.

    generator: asks and answers; None: subjects of definitions and headings are asked for, and the chunk's first sentence is the answer
    unanswerable: the share of questions that the corpus can't answer: asked of `removed`, chunks of texts that are not in the corpus
    find: what the application finds for a question: one that should have no answer and yet finds its own words is left out

    Raises `TooFewTexts` for a corpus without a chunk that can be asked for.
    """
    rng = np.random.default_rng([seed, len(chunks)])
    usable = [chunk for chunk in chunks if len(chunk.text) >= MIN_CHARACTERS]
    if not usable:
        raise TooFewTexts("the corpus that questions are made from", 0, 1)
    wanted = {False: round(count * (1 - unanswerable)) if removed else count, True: round(count * unanswerable) if removed else 0}
    tally = dict.fromkeys(("without", "unanswered", "answered_after_all", "failed"), 0)
    drafts = list[Question]()
    for no_answer, source in ((False, usable), (True, [chunk for chunk in removed if len(chunk.text) >= MIN_CHARACTERS])):
        made = 0
        for chunk in _evenly(source, rng):
            if made >= wanted[no_answer]:
                break
            drafted = _drafted(chunk, generator, no_answer, find, tally)
            if drafted is not None:
                drafts.append(drafted)
                made += 1
                progress(Progress("generate", f"{len(drafts):,} of {count:,} questions", name, min(len(drafts) / count, 1.0)))
    groups = clusters([question.question for question in drafts])
    kept = [drafts[group[0]] for group in groups]
    if not kept:
        raise TooFewTexts("the corpus that questions are made from", 0, 1)
    return Drafted(
        QuestionSet(name, tuple(kept)),
        tally["without"],
        tally["unanswered"],
        len(drafts) - len(kept),
        tally["answered_after_all"],
        tally["failed"],
    )


def _drafted(chunk: Chunk, generator: Generator | None, no_answer: bool, find: Found | None, tally: dict[str, int]) -> Question | None:
    """A question of a chunk, or None, and why not is counted."""
    try:
        asked, answer = _by_rule(chunk) if generator is None else _by_model(chunk, generator)
    except NoriaError:
        tally["failed"] += 1
        return None
    if not asked or not answer:
        tally["without"] += 1
        return None
    if token_recall(chunk.text, [answer]) < ANSWERABLE:
        tally["unanswered"] += 1
        return None
    if no_answer and find is not None and any(token_recall(hit.text, [answer]) >= ANSWERABLE for hit in find(asked)):
        tally["answered_after_all"] += 1
        return None
    known = {} if no_answer else {chunk.document: 1.0}
    references = () if no_answer else (answer,)
    identity = digest([asked, chunk.document])[:16]
    return Question(identity, asked, references, known, no_answer, {}, "generated", False, chunk.text[:2_000])


def _by_model(chunk: Chunk, generator: Generator) -> tuple[str, str]:
    """What a model asks of a chunk, and what it answers; empty where it says nothing that can be read."""
    found = json_of(generator.generate(prompt("ask").filled({"source": fenced("source", chunk.embedded)}), JUDGED).text)
    if not isinstance(found, dict):
        return "", ""
    asked, answer = (" ".join(str(found.get(name) or "").split()) for name in ("question", "answer"))
    return asked, answer


def _by_rule(chunk: Chunk) -> tuple[str, str]:
    """The subject of a definition, or of the nearest heading, asked for; the sentence is the answer."""
    for sentence in whole_sentences(chunk.text):
        match = DEFINES.match(sentence)
        if match is not None and len(match["subject"].split()) <= LONGEST_TITLE:
            verb, subject = match["verb"].lower(), match["subject"]
            article = "the" if sentence[:3].lower() == "the" else sentence.split()[0].lower()
            asked = ASKS.get(verb, "What does {} " + verb.rstrip("s") + "?").format(f"{article} {subject}")
            return asked, sentence
    first = next(iter(whole_sentences(chunk.text)), "")
    return (f"What is said about {' > '.join(chunk.headings)}?", first) if chunk.headings and first else ("", "")


def _evenly(chunks: Sequence[Chunk], rng: np.random.Generator) -> list[Chunk]:
    """All chunks in a random order, in which no document comes a second time before every other came once."""
    order, turns = rng.permutation(len(chunks)).tolist(), dict[str, int]()
    keyed = list[tuple[int, int, Chunk]]()
    for place, number in enumerate(order):
        chunk = chunks[number]
        turns[chunk.document] = turns.get(chunk.document, 0) + 1
        keyed.append((turns[chunk.document], place, chunk))
    return [chunk for _, _, chunk in sorted(keyed, key=lambda each: each[:2])]
