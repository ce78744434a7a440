"""An endpoint's champion, and a candidate beside it, asked the questions of a set: what `noria llm evaluate` does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from noria.core.errors import UserMistake, nearest
from noria.core.progress import Tell, silence
from noria.data.rows import Rows
from noria.evaluation.generation import MODE, QUESTION, SEARCH, Generation
from noria.llm.application.judged import AskedModel, Judged
from noria.llm.evaluation.compare import Compared, compare
from noria.llm.evaluation.evaluated import Evaluated
from noria.llm.evaluation.metrics import answer_metrics, retrieval_metrics
from noria.llm.evaluation.questions import QuestionSet
from noria.llm.evaluation.review import read_reviewed
from noria.loop.by_hand import candidate_named
from noria.loop.context import EndpointContext
from noria.loop.live import NothingToServe
from noria.models.runtimes import open_runtime
from noria.models.runtimes.port import ModelFailed, Runtime
from noria.release.releases import current_release


@dataclass(frozen=True)
class EndpointEvaluation:
    """What came out. champion, candidate: ids of the bundles that were asked, None: there was none"""

    endpoint: str
    champion: str | None
    candidate: str | None
    compared: Compared

    @property
    def failed(self) -> bool:
        """Whether a gate failed."""
        return any(verdict.outcome == "failed" for verdict in self.compared.verdicts)

    def to_dict(self) -> dict[str, Any]:
        """As `Compared` has it, with the bundles; of a champion alone there is no verdict, and `passed` is null."""
        found = {**self.compared.to_dict(), "endpoint": self.endpoint, "failed": self.failed}
        if self.candidate is None:
            found = {**_as_champion(found), "passed": None, "worst": [_as_champion(each) for each in found["worst"]]}
        for role, bundle in (("champion", self.champion), ("candidate", self.candidate)):
            if found[role] is not None:
                found[role] = {**found[role], "bundle": bundle}
        return found


class Processes:
    """Several processes of one model, each of which has one question at a time: as many threads ask, so that none waits for one."""

    def __init__(self, models: Sequence[Runtime]) -> None:
        self.signature = models[0].signature
        self._free: SimpleQueue[Runtime] = SimpleQueue()
        for model in models:
            self._free.put(model)

    def answer(self, rows: Rows) -> Rows:
        model = self._free.get()
        try:
            return model.answer(rows)
        finally:
            self._free.put(model)


def evaluate_endpoint(
    context: EndpointContext,
    *,
    on: str | None = None,
    candidate: str | None = None,
    repeats: int | None = None,
    workers: int = 1,
    tell: Tell = silence,
) -> EndpointEvaluation:
    """The champion measured on a set of questions; with a candidate, both, and what the gates of the model say of it.

    on: the set's file, or the name of a set that the model is judged on; the only one of these, if left out
    candidate: a bundle's id, or the beginning of it; repeats: as the model's gates have it, if left out; workers: processes of a model

    Raises `NothingToServe` where there is neither, `UnknownBundle`, `BadQuestionSet`, `NotReviewed`, and as models do that can't be opened.
    """
    model = context.endpoint.model
    if not isinstance(model.task, Generation):
        raise UserMistake(
            what=f"endpoint {context.endpoint.name!r} does not answer in words",
            where=f"its task: {model.task.name}",
            fix="see `noria status`",
        )
    judged = chosen([gate for gate in model.gates if isinstance(gate, Judged)], on, context.endpoint.name)
    judged = judged if repeats is None else replace(judged, repeats=repeats)
    release = current_release(context)
    champion = None if release is None else release.champion
    wanted = None if candidate is None else candidate_named(context, candidate).bundle
    if champion is None and wanted is None:
        raise NothingToServe(context.endpoint.name)
    if wanted is not None and not judged.unreviewed:
        judged.questions.require_reviewed()  # before anything is asked, which may cost money
    before = None if champion is None else _evaluated(context, judged, champion, "champion", workers, tell)
    after = None if wanted is None else _evaluated(context, judged, wanted, "candidate", workers, tell)
    if after is not None:
        compared = judged.judge(before, after)
    else:
        assert before is not None
        compared = compare(None, before, (), records=judged.records, unreviewed=True)
    return EndpointEvaluation(context.endpoint.name, champion, wanted, compared)


def chosen(every: Sequence[Judged], on: str | None, endpoint: str) -> Judged:
    """The questions and the gates that a model is measured by: of a set that is none of its own, the gates of all its sets.

    Raises `BadQuestionSet`, `BadReview`, and `UserMistake` where it is not clear which set is meant.
    """
    named = {judged.questions.name: judged for judged in every}
    if on is None:
        if len(every) == 1:
            return every[0]
        what = f"the model is judged on {len(every)} sets of questions" if every else "the model is judged on no set of questions"
        raise UserMistake(what=what, where=f"endpoint {endpoint!r}", fix=f"name one: --on {next(iter(named), 'questions.jsonl')}")
    if on in named and not Path(on).is_file():
        return named[on]
    if not Path(on).is_file():
        raise UserMistake(
            what=f"there is no file {on!r}{nearest(on, named)}", where="--on", fix="give a JSON Lines, CSV or Parquet file of questions"
        )
    return _of(every, read_reviewed(on).questions)


def _of(every: Sequence[Judged], questions: QuestionSet) -> Judged:
    for judged in every:
        if judged.questions.version == questions.version:
            return judged
    if len(every) == 1:
        return replace(every[0], questions=questions)
    judges = {judge.name: judge for judged in every for judge in judged.judges}
    usual = (*retrieval_metrics(), *answer_metrics())
    metrics = {metric.name: metric for judged in every for metric in (usual if judged.metrics is None else judged.metrics)}
    return Judged(
        questions,
        tuple(gate for judged in every for gate in judged.gates),
        tuple(judges.values()),
        tuple(record for judged in every for record in judged.records),
        max((judged.repeats for judged in every), default=1),
        all(judged.unreviewed for judged in every) and bool(every),
        tuple(metrics.values()) if every else None,
    )


def _evaluated(context: EndpointContext, judged: Judged, bundle: str, name: str, workers: int, tell: Tell) -> Evaluated:
    processes = max(min(workers, len(judged.questions) * judged.repeats), 1)  # and threads: a thread that waited would count it as seconds
    with _opened(context, bundle, processes) as model:
        return judged.evaluated(AskedModel(model, name, bundle), tell, workers=processes)


@contextmanager
def _opened(context: EndpointContext, bundle: str, processes: int) -> Iterator[Processes]:
    with ExitStack() as stack:
        models = list[Runtime]()
        for _ in range(processes):
            models.append(open_runtime(context.stores.bundle(bundle), context.stores.options))
            stack.callback(models[-1].close)
            _warm(models[-1])
        yield Processes(models)


def _warm(model: Runtime) -> None:
    """Have a process search once, so that its first answer does not take what is loaded late. What fails will fail again, and be said."""
    fields, given = model.signature.inputs, {QUESTION.name: "?", MODE.name: SEARCH}
    with suppress(ModelFailed):
        model.answer(Rows.of_values(fields, [tuple(given.get(field.name) for field in fields)]))


def _as_champion(found: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured alone, as the champion's."""
    return {**found, "champion": found["candidate"], "candidate": None}
