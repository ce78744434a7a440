"""What becomes of requests: answers go into the log and, once they are safe there, to their clients; failures are told. All is counted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from noria.core.clock import Clock, since_epoch
from noria.core.errors import NoriaError
from noria.core.ids import PredictionIds, short
from noria.data.rows import Rows
from noria.models.bundle import Bundle
from noria.models.registry import CHALLENGER, CHAMPION
from noria.models.runtimes.port import ModelFailed
from noria.serving.generated import TENANT, failed_answers, generates, values_to_write
from noria.serving.log.commit import GroupCommit
from noria.serving.log.log_filter import LogFilter
from noria.serving.log.predictions import CUT, FALLBACK, Predictions, Values
from noria.serving.log.segments import LogFailed, PredictionLog
from noria.serving.observe.failures import Failures
from noria.serving.observe.generated import Generated
from noria.serving.observe.generated_spans import GeneratedSpans, spans_of
from noria.serving.observe.metrics import Measures
from noria.serving.observe.traces import Stages, Trace, answered_by
from noria.serving.protocol.request import PredictRequest, keys_of

logger = logging.getLogger("noria.serving")

MAX_UNSAFE = 32_768  # rows that may be scored and not yet safe in the log: a slow disk refuses, it does not fill the memory


@dataclass
class Counts:
    """What a batcher has done, in rows but for `requests`. asked = answered + failed + what is under way; answered = logged + unlogged.

    unlogged: answered rows that the log's sampling left out; late, gone: failed ones whose deadline or client had passed away
    streams: requests whose answer was to be sent in parts; parts: made of any answers; cut: failed ones of which some parts had been sent
    """

    requests: int = 0
    asked: int = 0
    answered: int = 0
    logged: int = 0
    unlogged: int = 0
    failed: int = 0
    rejected: int = 0
    late: int = 0
    gone: int = 0
    fallbacks: int = 0
    shadowed: int = 0
    batches: int = 0
    streams: int = 0
    parts: int = 0
    cut: int = 0


class Recorder:
    """Of one endpoint. failed: why the log can't be written, since when nothing is answered

    traces: begins the trace of a request with this parent, received at this time
    trace_contents: whether traces may tell the texts of generated answers, and of what was asked
    """

    def __init__(
        self,
        log: PredictionLog,
        ids: PredictionIds,
        commit: GroupCommit,
        clock: Clock,
        measures: Measures,
        kept: LogFilter,
        traces: Callable[[str, int], Trace | None] | None = None,
        endpoint: str = "",
        trace_contents: bool = False,
    ) -> None:
        self._log, self._ids, self._commit, self._clock, self._measures, self._kept = log, ids, commit, clock, measures, kept
        self._traces, self._traced = traces, 0  # so many requests that are under way have a trace
        self._endpoint, self._contents = endpoint, trace_contents
        self._unsafe = 0
        self.counts, self.failures, self.generated = Counts(), Failures(), Generated()
        self.failed: LogFailed | None = None
        self.newest_id: str | None = None  # of an answer that is in the log

    @property
    def unsafe(self) -> int:
        """Rows that are answered and not yet safe in the log."""
        return self._unsafe

    def begin_trace(self, asked: PredictRequest, parent: str) -> None:
        """Begin the trace of a request, where requests are traced."""
        if self._traces is not None and (trace := self._traces(parent, asked.stamp[0])) is not None:
            asked.trace = trace
            self._traced += 1

    def reserve_id(self, asked: PredictRequest) -> None:
        """Give a request of one row the id of its prediction before there is one."""
        [asked.prediction_id] = self._ids.take_at(asked.stamp[0] // 1000, 1)

    def count_failed(self, rows: int, error: NoriaError, *, ours: bool = True) -> None:
        """Rows that have no answer. ours: whether it is a failure of this server"""
        self.counts.failed += rows
        if ours:
            self.failures.add(rows, error, since_epoch(self._clock.now()))

    def fail(self, batch: Sequence[PredictRequest], error: NoriaError, *, ours: bool = True) -> None:
        """Tell the clients. ours: whether they would have heard of it, so that it is a failure of this server"""
        for asked in batch:
            self.count_failed(asked.count, error, ours=ours)
            asked.client.fail(error)
            if asked.trace is not None:
                self._traced -= 1
                asked.trace.fail(error, asked.stamp[1].seconds)

    def record(
        self,
        batch: Sequence[PredictRequest],
        bundle: Bundle,
        inputs: Rows,
        answers: Rows,
        fallback: str | None = None,
        stages: Stages = (),
        variant: str = CHAMPION,
    ) -> None:
        """Log a scored batch, and let its answers go once the log is safe. variant: whose answers these are"""
        received_us, watch = batch[0].stamp
        variant = FALLBACK if fallback else variant
        written = _written(bundle, Values(inputs, answers))
        rows = self._logged_rows(variant, bundle.id, batch, written, received_us, int(1e6 * watch.seconds))
        if generates(bundle):
            rows = _named(rows, batch)
        self.counts.batches += 1
        self.counts.fallbacks += len(rows) if fallback else 0
        logged = self._kept(rows, _together(bundle, batch))
        try:
            if logged is not None:
                self._log.append(logged)
        except LogFailed as error:
            self._stop(batch, error)
            return
        # what waits for the log's disk must hold no inputs
        ids, count, kept = rows.ids, len(rows), 0 if logged is None else len(logged)
        tenants = inputs.column(TENANT).to_pylist() if generates(bundle) and TENANT in inputs.names else ()
        told = self._spans(batch, bundle, ids, written) if self._traced and generates(bundle) else {}
        for asked in batch:
            asked.forget()
        self._unsafe += count
        appended = watch.seconds

        def done(failure: LogFailed | None) -> None:
            self._unsafe -= count
            if failure is not None:
                self._stop(batch, failure)
                return
            self.counts.logged += kept
            self.newest_id = ids[-1] if kept == count else self.newest_id
            self.counts.unlogged += count - kept
            self._deliver(batch, bundle, ids, answers, fallback)
            seconds = watch.seconds
            if self._traced:
                about = answered_by(bundle.id, count, fallback)
                self._end_traces(batch, [*stages, ("commit", appended, seconds)], seconds, about, told)
            self._measures.answered(count, seconds, seconds - appended)
            if generates(bundle):
                self.generated.saw(answers, tenants)

        self._commit.after(self._log, done)

    def record_cut(
        self,
        asked: PredictRequest,
        bundle: Bundle,
        sent: Values,
        error: NoriaError,
        then: Callable[[str | None], None],
        *,
        ours: bool,
    ) -> None:
        """Log what was sent of an answer that ends before it is complete; `then` gets its prediction id once that is safe, None where it is
        not logged."""
        received_us, watch = asked.stamp
        rows = self._logged_rows(CUT, bundle.id, [asked], _written(bundle, sent), received_us, int(1e6 * watch.seconds))
        if generates(bundle):
            rows = _named(rows, [asked])
        logged = self._kept(rows)
        try:
            if logged is not None:
                self._log.append(logged)
        except LogFailed as failure:
            self._stop([asked], failure)
            return
        self.counts.cut += 1
        self.count_failed(1, error, ours=ours)
        if asked.trace is not None:
            self._traced -= 1
            asked.trace.fail(error, watch.seconds)

        def done(failure: LogFailed | None) -> None:
            self.failed = self.failed or failure
            then(None if failure is not None or logged is None else rows.ids[0])

        self._commit.after(self._log, done)

    def record_shadow(
        self,
        bundle: Bundle,
        batch: Sequence[PredictRequest],
        inputs: Rows,
        found: Rows | ModelFailed,
        received_us: int,
        latency_us: int,
    ) -> None:
        """Log what a shadow said of a batch. What goes wrong here changes no answer. That an application failed is logged as well: one
        that fails on the hard questions would look better for it, if these were left out."""
        try:
            if not isinstance(found, Rows):
                if not generates(bundle):
                    raise found
                logger.error("shadow %s: %s", short(bundle.id), found)
                found = failed_answers(bundle.signature.outputs, len(inputs))
            written = _written(bundle, Values(inputs, found))
            rows = self._logged_rows(CHALLENGER, bundle.id, batch, written, received_us, latency_us)
            logged = self._kept(rows, _together(bundle, batch))
            if logged is not None:
                self._log.append(logged)
        except (ModelFailed, LogFailed) as error:
            logger.error("shadow %s: %s", short(bundle.id), error)
            return
        self.counts.shadowed += len(inputs)

    def _end_traces(
        self,
        batch: Sequence[PredictRequest],
        stages: Stages,
        seconds: float,
        about: Mapping[str, Any],
        told: Mapping[int, GeneratedSpans],
    ) -> None:
        for place, asked in enumerate(batch):
            if asked.trace is not None:
                self._traced -= 1
                asked.trace.end(stages, seconds, about, told.get(place))

    def _spans(self, batch: Sequence[PredictRequest], bundle: Bundle, ids: list[str], values: Values) -> dict[int, GeneratedSpans]:
        """What the traces of requests for one generated answer say of it, by their places in the batch."""
        found, at = dict[int, GeneratedSpans](), 0
        for place, asked in enumerate(batch):
            if asked.trace is not None and asked.count == 1:
                row, said = (rows.part(at, at + 1).dicts()[0] for rows in values)
                found[place] = spans_of(self._endpoint, bundle, ids[at], row, said, contents=self._contents)
            at += asked.count
        return found

    def _deliver(self, batch: Sequence[PredictRequest], bundle: Bundle, ids: list[str], answers: Rows, fallback: str | None) -> None:
        self.counts.answered += len(ids)
        predictions = answers.listed()
        if len(ids) == len(batch):  # a row each
            for asked, prediction, identifier in zip(batch, predictions, ids, strict=True):
                asked.client.answered(bundle, [prediction], [identifier], fallback)
            return
        at = 0
        for asked in batch:
            end = at + asked.count
            asked.client.answered(bundle, predictions[at:end], ids[at:end], fallback)
            at = end

    def _logged_rows(
        self,
        variant: str,
        bundle: str,
        batch: Sequence[PredictRequest],
        values: Values,
        received_us: int,
        latency_us: int,
    ) -> Predictions:
        count, own = len(values.inputs), batch[0].prediction_id if variant != CHALLENGER else None
        ids = self._ids.take_at(received_us // 1000, count) if own is None else [own]
        return Predictions(
            ids=ids,
            keys=keys_of(batch),
            variant=[variant] * count,
            bundle=[bundle] * count,
            received_us=np.full(count, received_us, np.int64),
            latency_us=np.full(count, latency_us, np.int32),
            values={bundle: values},
        )

    def _stop(self, batch: Sequence[PredictRequest], error: LogFailed) -> None:
        """The log can't be written: refuse this batch and everything after it."""
        self.failed = error
        self.fail(batch, error)


def _written(bundle: Bundle, values: Values) -> Values:
    return values_to_write(bundle, values) if generates(bundle) else values


def _named(rows: Predictions, batch: Sequence[PredictRequest]) -> Predictions:
    """The same answers, each whose request had no key by its id: so that what is said of it can be joined, and its shadow's with it."""
    at = 0
    for asked in batch:
        keys = asked.keys or [None] * asked.count
        asked.keys = [key or identifier for key, identifier in zip(keys, rows.ids[at : at + asked.count], strict=True)]
        at += asked.count
    return replace(rows, keys=keys_of(batch))


def _together(bundle: Bundle, batch: Sequence[PredictRequest]) -> list[int] | None:
    """How many rows each request of a ranking has, which are logged together or not at all; None where each row stands for itself."""
    return [asked.count for asked in batch] if bundle.ranks else None
