"""DeepEval (https://deepeval.com): its metrics as judges, asked by a generator of Noria's where they need a language model.

    DeepEvalJudge(FaithfulnessMetric(model=deepeval_model(generator), async_mode=False))

Its telemetry is switched off before it is imported. As any judge, it gates only after it was measured against people.
"""

from __future__ import annotations

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

LOWEST_IS_BEST = ("hallucination", "toxicity", "bias")
NEEDS_REFERENCE = ("expected_output",)


def _deepeval(module: str) -> Any:
    """A module of the library. Raises `MissingExtra`."""
    import importlib

    os.environ.setdefault("DEEPEVAL_TELEMETRY_OPT_OUT", "YES")
    os.environ.setdefault("DEEPEVAL_DISABLE_DOTENV", "1")
    try:
        return importlib.import_module(f"deepeval.{module}")
    except ImportError as error:
        raise MissingExtra(library="deepeval", extra="deepeval", needed_for="DeepEval's metrics") from error


class DeepEvalJudge:
    """A metric of DeepEval. name: of the metric here; needs_reference: whether it compares with a right answer

    lowest_is_best: whether its scores are turned round, None: as DeepEval's metrics of that name are
    """

    def __init__(self, metric: Any, *, name: str = "", needs_reference: bool | None = None, lowest_is_best: bool | None = None) -> None:
        self._metric = metric
        self._name = str(getattr(metric, "__name__", type(metric).__name__))
        self.name = name or f"deepeval_{self._name.lower().replace(' ', '_')}"
        wanted = {getattr(each, "value", str(each)) for each in getattr(metric, "_required_params", ()) or ()}
        self.needs_reference = bool(wanted & set(NEEDS_REFERENCE)) if needs_reference is None else needs_reference
        self._turned = any(word in self._name.lower() for word in LOWEST_IS_BEST) if lowest_is_best is None else lowest_is_best

    def judge(self, question: str, answer: str, chunks: Sequence[str], reference: str | None = None) -> Judgement:
        """The metric's score of one answer; what it raises is said, not raised."""
        watch = Stopwatch()
        case = _deepeval("test_case").LLMTestCase(
            input=question,
            actual_output=answer,
            expected_output=reference,
            retrieval_context=list(chunks) or None,
            context=list(chunks) or None,
        )
        try:
            self._metric.measure(case, **({"_show_indicator": False} if _shows_progress(self._metric) else {}))
        except TimeoutError as error:
            return Judgement(None, "timed_out", str(error) or "it took too long", seconds=watch.seconds)
        except Exception as error:  # noqa: BLE001 - whatever a metric of others raises
            why = error.what if isinstance(error, NoriaError) else f"{type(error).__name__}: {error}"
            return Judgement(None, "failed", why[:500], seconds=watch.seconds)
        score = self._metric.score
        if score is None or not 0 <= float(score) <= 1:
            return Judgement(None, "unreadable", f"DeepEval's score is {score}", seconds=watch.seconds)
        reason = str(getattr(self._metric, "reason", "") or "")
        return Judgement(1 - float(score) if self._turned else float(score), why=reason[:1_000], seconds=watch.seconds)

    def definition(self) -> dict[str, Any]:
        """The metric, its version, and the model that it asks."""
        model = getattr(self._metric, "model", None)
        return {
            "judge": "deepeval",
            "metric": type(self._metric).__name__,
            "deepeval": _version("deepeval"),
            "model": model.get_model_name() if model is not None else None,
            "turned": self._turned,
        }


def deepeval_model(generator: Generator, options: Options = Options(most_tokens=1_024, timeout=60.0)) -> Any:
    """A generator as a model that DeepEval's metrics ask: `FaithfulnessMetric(model=deepeval_model(generator))`. Raises `MissingExtra`."""
    base: Any = _deepeval("models").DeepEvalBaseLLM

    class GeneratorModel(base):  # type: ignore[misc]
        """Asks the generator, at temperature 0."""

        def __init__(self) -> None:
            self.model = generator

        def load_model(self, *_args: Any, **_more: Any) -> Any:
            return generator

        def generate(self, prompt: str, schema: Any = None, **_more: Any) -> Any:
            asked = options if schema is None else replace(options, schema=schema.model_json_schema())
            text = generator.generate([Message("user", prompt)], asked).text
            return text if schema is None else schema.model_validate(json_of(text))

        async def a_generate(self, prompt: str, schema: Any = None, **more: Any) -> Any:
            return self.generate(prompt, schema, **more)

        def get_model_name(self, *_args: Any, **_more: Any) -> str:
            return f"noria:{digest(generator.definition())[:16]}"

    return GeneratorModel()


def _shows_progress(metric: Any) -> bool:
    """Whether its `measure` has the argument by which it shows no progress bar."""
    import inspect

    return "_show_indicator" in inspect.signature(metric.measure).parameters


def _version(library: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(library)
    except PackageNotFoundError:
        return ""
