"""An application from its bundle's files, in the process that runs it.

files/application.json    its parts and settings, as plain data
files/index/              the index of its corpus
files/private.json        where guardrails redact what is asked: the inputs that a log has as they left them, and never as they were sent
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from noria.llm.application.answering import Answering
from noria.llm.application.confidence import curve_of
from noria.llm.application.parts import LostPart, made, needs_trust
from noria.llm.generation.definitions import generator_of
from noria.llm.guardrails.declared import policy_of
from noria.llm.index.lance import LanceIndex
from noria.llm.retrieval.retriever import Retriever
from noria.models.runtimes.python_spec import APPLICATION, APPLICATION_TRUSTED

SETTINGS, INDEX, PRIVATE = "application.json", "index", "private.json"
PARTS = ("embedder", "reranker")


def opening(*, trusted: bool) -> str:
    """The loader of a bundle, which has to be trusted where a part of it uses a secret or asks another machine."""
    return APPLICATION_TRUSTED if trusted else APPLICATION


def opened(folder: Path) -> Answering:
    """The application of a folder, of whose parts none uses a secret or asks another machine. Raises `LostPart` and `BadIndex`."""
    settings = json.loads((folder / SETTINGS).read_bytes())
    if needs_trust(settings):
        raise LostPart("generator", "it uses a secret or asks another machine, and the bundle says that none of its parts does")
    return opened_folder(folder, settings)


def opened_with_secrets(folder: Path) -> Answering:
    """The same of one that is trusted."""
    return opened_folder(folder, json.loads((folder / SETTINGS).read_bytes()))


def opened_folder(folder: Path, settings: dict[str, Any]) -> Answering:
    """The application of an index in a folder, with these settings."""
    parts = {name: _part(name, settings) for name in PARTS}
    index = LanceIndex(folder / INDEX)
    if parts["embedder"].dimension != index.dimension:
        raise LostPart("embedder", f"its vectors have {parts['embedder'].dimension} numbers, and those of the index {index.dimension}")
    retriever = Retriever(index, parts["embedder"], parts["reranker"], **settings["search"])
    generator = None if settings["generator"] is None else generator_of(settings["generator"])
    ports = {"embedder": parts["embedder"], "generator": generator}
    guardrails = policy_of(settings["guardrails"], {name: port for name, port in ports.items() if port is not None})
    curve = curve_of(settings.get("confidence"))
    return Answering(retriever, made(settings["prompt"]), generator, guardrails, made(settings["terms"]), curve)


def _part(name: str, settings: dict[str, Any]) -> Any:
    """A part, if it is the one that the index was made with. Raises `LostPart`."""
    try:
        found = made(settings[name])
        definition = None if found is None else found.definition()
    except LostPart:
        raise
    except Exception as error:  # whatever a model's library raises where its files are not there
        raise LostPart(name, f"{type(error).__name__}: {error}") from error
    if definition != settings["definitions"][name]:
        raise LostPart(name, "it is another one than the index was made with")
    return found
