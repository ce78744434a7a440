"""RAGAS (https://docs.ragas.io): its metrics (`ragas.metrics.collections`) as judges, asked by a generator of Noria's where they need one.

    RagasJudge(Faithfulness(llm=ragas_llm(generator)))

Its telemetry is switched off before it is imported. As any judge, it gates only after it was measured against people.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from noria.core.clock import Stopwatch
from noria.core.errors import MissingExtra, NoriaError
from noria.core.ids import digest
from noria.llm.evaluation.judge import Judgement
from noria.llm.evaluation.llm_judge import json_of
from noria.llm.generation.port import Generator, Options
from noria.llm.generation.prompt import Message


def _ragas(module: str) -> Any:
    """A module of the library. Raises `MissingExtra`."""
    import importlib

    os.environ.setdefault("RAGAS_DO_NOT_TRACK", "true")
    try:
        return importlib.import_module(f"ragas.{module}")
    except ImportError as error:
        raise MissingExtra(library="ragas", extra="ragas", needed_for="RAGAS's metrics") from error


class RagasJudge:
    """A metric of RAGAS. name: of the metric here; needs_reference: whether it compares with a right answer"""

    def __init__(self, metric: Any, *, name: str = "") -> None:
        self._metric = metric
        self._reads = tuple(inspect.signature(metric.ascore).parameters)
        self.name = name or f"ragas_{str(metric.name).lower().replace(' ', '_')}"
        self.needs_reference = "reference" in self._reads

    def judge(self, question: str, answer: str, chunks: Sequence[str], reference: str | None = None) -> Judgement:
        """The metric's score of one answer; what it raises is said, not raised."""
        watch = Stopwatch()
        given = {"user_input": question, "response": answer, "retrieved_contexts": list(chunks), "reference": reference}
        try:
            found = self._metric.score(**{name: value for name, value in given.items() if name in self._reads})
        except TimeoutError as error:
            return Judgement(None, "timed_out", str(error) or "it took too long", seconds=watch.seconds)
        except Exception as error:  # noqa: BLE001 - whatever a metric of others raises
            why = error.what if isinstance(error, NoriaError) else f"{type(error).__name__}: {error}"
            return Judgement(None, "failed", why[:500], seconds=watch.seconds)
        score = getattr(found, "value", found)
        if not isinstance(score, int | float) or math.isnan(score) or not 0 <= score <= 1:
            return Judgement(None, "unreadable", f"RAGAS's score is {score}", seconds=watch.seconds)
        return Judgement(float(score), why=str(getattr(found, "reason", None) or "")[:1_000], seconds=watch.seconds)

    def definition(self) -> dict[str, Any]:
        """The metric, its version, and the model that it asks."""
        model = getattr(self._metric, "llm", None)
        return {
            "judge": "ragas",
            "metric": type(self._metric).__name__,
            "ragas": _version("ragas"),
            "model": None if model is None else getattr(model, "noria_digest", type(model).__name__),
        }


def ragas_llm(generator: Generator, options: Options = Options(most_tokens=1_024, timeout=60.0)) -> Any:
    """A generator as a model that RAGAS's metrics ask: `Faithfulness(llm=ragas_llm(generator))`. Raises `MissingExtra`."""
    base: Any = _ragas("llms.base").InstructorBaseRagasLLM

    class GeneratorModel(base):  # type: ignore[misc]
        """Asks the generator, at temperature 0, for JSON of the model that RAGAS wants."""

        noria_digest = digest(generator.definition())[:16]

        def generate(self, prompt: str, response_model: Any) -> Any:
            asked = replace(options, schema=response_model.model_json_schema())
            return response_model.model_validate(json_of(generator.generate([Message("user", prompt)], asked).text))

        async def agenerate(self, prompt: str, response_model: Any) -> Any:
            return self.generate(prompt, response_model)

    return GeneratorModel()


def _version(library: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(library)
    except PackageNotFoundError:
        return ""
