"""Models as people look at them: every bundle of an endpoint with its part, its figures and what its gates said; and every run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from noria.evidence.training import told_of
from noria.loop.context import EndpointContext
from noria.models.bundle import CARD_FILE, open_bundle
from noria.release.releases import current_release, released_champions
from noria.stores.candidates import CandidateRow, candidates_of


def models_of(context: EndpointContext) -> list[dict[str, Any]]:
    """The bundles of an endpoint, newest first, each once. Its `part`: champion, challenger, previous, was champion, or empty."""
    release, champions = current_release(context), released_champions(context)
    parts = {} if release is None else {release.previous: "previous", release.challenger: "challenger", release.champion: "champion"}
    metric = context.endpoint.task.metric().name
    newest = {row.bundle: row for row in candidates_of(context.stores.catalog, context.endpoint.name)}
    rows = sorted(newest.values(), key=lambda row: row.at, reverse=True)
    return [_model(row, parts.get(row.bundle) or ("was champion" if row.bundle in champions else ""), metric) for row in rows]


def _model(row: CandidateRow, part: str, metric: str) -> dict[str, Any]:
    figures = row.detail.metrics.candidate or {}
    gates = [gate.outcome for gate in row.detail.gates]
    return {
        "bundle": row.bundle,
        "part": part,
        "trained_at": row.at.isoformat(),
        "metric": metric,
        "value": figures.get(metric),
        "gates": {outcome: gates.count(outcome) for outcome in ("passed", "failed", "unknown") if outcome in gates},
        "run": row.run,
    }


def model_shown(context: EndpointContext, row: CandidateRow) -> dict[str, Any]:
    """All of one bundle: where it lies, what it reads and answers, where it comes from, its figures, its card."""
    files = context.stores.workspace.files
    bundle = open_bundle(context.stores.workspace.bundles / row.bundle, files)
    manifest = bundle.manifest
    return {
        "bundle": bundle.id,
        "path": str(bundle.path),
        "runtime": manifest.runtime,
        "inputs": [field.described for field in bundle.signature.inputs],
        "outputs": [field.described for field in bundle.signature.outputs],
        "lineage": msgspec.to_builtins(manifest.lineage),
        "trained": told_of(row),
        "card": files.read(bundle.file(CARD_FILE)).decode(),
    }


def runs_of(context: EndpointContext) -> list[dict[str, Any]]:
    """Every training that gave a candidate, newest first: its parameters, rows, figures and seconds."""
    files, found = context.stores.workspace.files, []
    for row in reversed(candidates_of(context.stores.catalog, context.endpoint.name)):
        lineage = open_bundle(context.stores.workspace.bundles / row.bundle, files).manifest.lineage
        found.append(
            {
                "run": row.run,
                "at": row.at.isoformat(),
                "bundle": row.bundle,
                "training_rows": row.detail.rows.rows_out.get("training rows", 0),
                "seconds": row.seconds,
                "parameters": msgspec.to_builtins(lineage.parameters),
                "metrics": row.detail.metrics.candidate or {},
            }
        )
    return found


def plain(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each bundle that `models_of` gave."""
    found = []
    for row in rows:
        value = "" if row["value"] is None else f"{row['metric']} {row['value']:.4g}"
        gates = ", ".join(f"{count} {outcome}" for outcome, count in row["gates"].items()) or "no gates"
        found.append(f"{row['bundle'][:12]}  {row['trained_at'][:16].replace('T', ' ')}  {row['part']:<12}  {value:<22}  {gates}")
    return found
