"""`noria build`: the folder from which a container engine builds an image of one model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from noria.cli.model_files import Classes, Name, SampleFile, TaskName, Trust, champion_or_file, names_model, open_file, refuse_model_options
from noria.cli.options import HERE, Json


def build(
    image: Annotated[str, typer.Argument(envvar="NORIA_IMAGE", help="The image's name, such as team/churn:1.4.")],
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[ENDPOINT|MODEL]", envvar="NORIA_ENDPOINT", help="An endpoint (default: the only one), or a model file or folder."
        ),
    ] = None,
    project: Annotated[
        Path,
        typer.Option(
            "--project", "--workspace", "-p", envvar="NORIA_PROJECT", help="The project's folder; of a model file, where `.noria` is kept."
        ),
    ] = HERE,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", envvar="NORIA_BUILD_OUT", help="The folder to write (default: image-NAME).")
    ] = None,
    name: Name = None,
    task: TaskName = None,
    classes: Classes = None,
    sample: SampleFile = None,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Write a build context for a container image of one model: Dockerfile, pinned requirements, the bundle, a health check."""
    from noria.cli.render import console, show_json
    from noria.serving.image.context import write_context

    if names_model(model, project):
        _, (endpoint, bundle), _ = open_file(model, project, name, task, classes, sample, trust=trust)
    else:
        refuse_model_options(model, name=name, task=task, classes=classes, sample=sample, trust=trust)
        endpoint, bundle, _ = champion_or_file(project, model)
    folder = out or Path(f"image-{re.sub(r'[^a-z0-9]+', '-', image.lower()).strip('-')}")
    written = write_context(image, endpoint, bundle, folder)
    if json:
        show_json(written.to_dict())
        return
    facts = written.to_dict()
    console().print(
        f"wrote {folder}: endpoint {endpoint}, bundle {bundle.id[:12]} ({bundle.megabytes:,.1f} MB), {len(written.pins)} pinned packages\n"
        f"next: [bold]{facts['build']}[/]\n      [bold]{facts['run']}[/]",
        soft_wrap=True,
    )
