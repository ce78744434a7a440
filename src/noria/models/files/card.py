"""The card of a bundle that was made of a model file, for people."""

from __future__ import annotations

from noria.core.ids import short
from noria.models.bundle import Manifest
from noria.models.files.port import ModelFile

COMPARED = "Its traffic is compared with the sample that it was served with."
UNCOMPARED = "It was served without a sample, so its traffic is compared with nothing."


def file_card(manifest: Manifest, found: ModelFile, note: str, watched: bool) -> str:
    """The card, in Markdown. note: on how its model runs; watched: whether there are rows that its traffic is compared with"""
    inputs = "\n".join(f"- {field.described}" for field in manifest.signature.inputs)
    outputs = "\n".join(f"- {field.described}" for field in manifest.signature.outputs)
    runs = note or ("ONNX Runtime, in the server's process" if manifest.runtime == "onnx" else manifest.runtime)
    return f"""# {manifest.name}

Made from `{found.path.name}` ({found.kind}, SHA-256 {short(manifest.lineage.parameters["sha256"])}), not trained here: its training data,
metrics and calibration are not known. Task: {"not stated; its outputs are served as they are" if found.task is None else found.task.title}.

## Inputs

{inputs}

## Outputs

{outputs}

## Runtime

{runs}.

## Monitoring

{COMPARED if watched else UNCOMPARED}
"""
