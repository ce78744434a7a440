"""The card of a model: what it was trained on, and how it was judged, for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from noria.core.ids import short
from noria.evaluation.gates import Verdict
from noria.evaluation.task import Reliability
from noria.features.fields import is_block
from noria.models.bundle import Manifest
from noria.models.model import Model
from noria.training.reports import Reports


def model_card(
    manifest: Manifest,
    model: Model,
    verdicts: list[Verdict],
    reliability: Reliability | None,
    unprofiled: Mapping[str, str],
    note: str = "",
    reference: str = "",
    reports: Reports = (),
) -> str:
    """The card of a bundle, in Markdown. unprofiled: inputs that no profile has, and why; note: on how its model runs

    reference: on what its answers are compared with
    reports: the pages of its gates, which lie beside the bundle in the project that trained it
    """
    lineage, metrics, task = manifest.lineage, manifest.metrics, model.task
    tables = "\n".join(f"- {t.table} version {t.version} ({t.rows:,} rows, {short(t.digest)})" for t in lineage.tables)
    figures = "\n".join(
        f"- {who}: " + ", ".join(f"{name} {task.metric(name).format(value)}" for name, value in values.items())
        for who, values in metrics.items()
        if who in ("candidate", "champion")
    )
    runs = f"\n## Runtime\n\n{note}.\n" if note else ""
    remembers = f"\n## Reference of the answers\n\n{reference}\n" if reference else ""
    inputs = manifest.signature.names if is_block(manifest.signature.inputs) else [f.described for f in manifest.signature.inputs]
    gates = "\n".join(f"- {v.outcome}: {v.gate} ({v.why})" for v in verdicts)
    return f"""# {manifest.name}

Trained at {lineage.as_of.isoformat()} on {lineage.rows["rows_out"]["training rows"]:,} rows since {lineage.start.isoformat()};
target: `{model.label.table.name}.{task.target(model.label)}`, {task.title}.

## Data

{tables}

Feature set `{manifest.feature_set}` ({short(manifest.definition_hash)}), {len(manifest.signature.inputs)} features:
{", ".join(inputs)}.
{_unprofiled(unprofiled)}
## Evaluation on the holdout

{figures or "not evaluated"}

{gates or "no gates"}
{_seen(manifest.run, reports)}
## Calibration

{task.uncalibrated if reliability is None else reliability.summary}

The evaluated model had the same training configuration but no holdout rows; the served model was trained on all rows.
{remembers}{runs}"""


def _seen(run: str, reports: Reports) -> str:
    pages = "\n".join(f"- [{title}](../../runs/{run}/{PurePath(path).name})" for title, path in reports)
    return f"\nWhat the gates saw, in the project that trained it:\n\n{pages}\n" if pages else ""


def _unprofiled(unprofiled: Mapping[str, str]) -> str:
    told = "\n".join(f"- {name}: {why}" for name, why in unprofiled.items())
    return f"\nDrift and data quality of these are not watched:\n\n{told}\n" if told else ""
