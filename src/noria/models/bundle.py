"""Bundles: the immutable, content-addressed folder that is all that crosses from training to serving.

    bundle.json      the manifest, with the signature; the bundle's id is the SHA-256 of these bytes
    model/           the model: as ONNX, or what the Python runtime loads
    profile/         the reference distribution of every feature and of the score; how inputs that are no numbers become its columns
    sample/          requests and their answers, for warm-up and as a contract
    MODEL_CARD.md    what a person should know

Every file's hash stands in the manifest and is checked when a bundle is opened: a changed byte is refused. Opening one runs nothing that is
in it; its runtime may, where the project's model is declared with `trust`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from noria.core.errors import UserMistake
from noria.core.files import Files
from noria.core.ids import canonical_json, digest, short
from noria.core.old_names import renamed
from noria.core.signature import Signature
from noria.models.lineage import Lineage

MANIFEST = "bundle.json"
MODEL_FOLDER = "model"
MODEL_FILE = f"{MODEL_FOLDER}/model.onnx"
PROFILE_FILE = "profile/profile.json"
PROJECTION_FILE = "profile/inputs.json"
SAMPLE_FILE = "sample/requests.json"
CARD_FILE = "MODEL_CARD.md"
FORMAT = 2
BINARY = {"name": "binary"}  # what every bundle of format 1 was sealed for


class _Format(msgspec.Struct):
    format: int


class Manifest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What `bundle.json` says. signature: what the model reads and answers; task: what that means, as `Task.definition` has it

    trust: whether it runs code that it carries, so that whoever opens it has to trust it
    """

    format: int = FORMAT
    name: str
    runtime: str
    signature: Signature
    task: dict[str, Any]
    feature_set: str
    definition_hash: str
    run: str
    lineage: Lineage
    metrics: dict[str, Any]
    environment: dict[str, str]
    files: dict[str, str]
    trust: bool = False


class _ManifestOfFormat1(msgspec.Struct, forbid_unknown_fields=True):
    """What `bundle.json` said before there were signatures: the features' names, all float32, and a probability for an answer."""

    format: int
    name: str
    runtime: str
    features: list[str]
    feature_set: str
    definition_hash: str
    run: str
    lineage: dict[str, Any]
    metrics: dict[str, Any]
    environment: dict[str, str]
    files: dict[str, str]

    def renewed(self) -> Manifest:
        told = {name: getattr(self, name) for name in self.__struct_fields__ if name not in ("features", "lineage")}
        lineage = msgspec.convert({**self.lineage, "rows": renamed(self.lineage.get("rows", {}))}, Lineage)
        return Manifest(**told, lineage=lineage, signature=Signature.of_numbers(self.features), task=dict(BINARY))


class DamagedBundle(UserMistake):
    """A bundle is not what its id says."""

    code = "NR-301"

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(
            what=f"bundle {short(path.name)} is corrupted: {reason}",
            where=str(path),
            fix="restore it from a backup, or train again; it was not loaded",
        )


@dataclass(frozen=True)
class Bundle:
    """An opened, verified bundle."""

    id: str
    path: Path
    manifest: Manifest

    @property
    def ranks(self) -> bool:
        """Whether the rows of a request are ranked against each other, so that they stay together: its task states their `group`."""
        return self.manifest.task.get("group") is not None

    @property
    def signature(self) -> Signature:
        return self.manifest.signature

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the model's inputs, in their order."""
        return self.signature.names

    @property
    def megabytes(self) -> float:
        """The size of the model's files."""
        return megabytes_of(self.path)

    def file(self, name: str) -> Path:
        return self.path / name


def megabytes_of(path: Path) -> float:
    """The size of the model's files in the bundle at `path`."""
    return sum(file.stat().st_size for file in (path / MODEL_FOLDER).rglob("*") if file.is_file()) / 1e6


def write_bundle(root: Path, manifest: Manifest, contents: Mapping[str, bytes], files: Files) -> Bundle:
    """Seal `contents` (path inside the bundle → bytes) under `root`/<id>. The same content gives the same bundle."""
    manifest = msgspec.structs.replace(manifest, files={name: digest(data) for name, data in sorted(contents.items())})
    told = msgspec.to_builtins(manifest)
    if not manifest.trust:
        del told["trust"]  # as bundles had it before there was any: the same content gives the same id
    text = canonical_json(told).encode()
    bundle_id = digest(text)
    target = root / bundle_id
    if not files.exists(target):
        partial = root / f".{bundle_id}.partial"
        for name, data in {**contents, MANIFEST: text}.items():
            files.make_folder((partial / name).parent)
            files.write(partial / name, data)
        files.rename(partial, target)
    return Bundle(bundle_id, target, manifest)


def open_bundle(path: Path, files: Files) -> Bundle:
    """Open and verify the bundle at `path`. Raises `DamagedBundle`."""
    try:
        text = files.read(path / MANIFEST)
    except OSError as error:
        raise DamagedBundle(path, f"there is no {MANIFEST}") from error
    if digest(text) != path.name:
        raise DamagedBundle(path, f"{MANIFEST} does not match the bundle's hash")
    try:
        manifest = _manifest(text)
    except msgspec.DecodeError as error:
        raise DamagedBundle(path, f"{MANIFEST} is of another format ({error})") from error
    for name, expected in manifest.files.items():
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise DamagedBundle(path, f"{name!r} lies outside of it")
        try:
            found = digest(files.read(path / name))
        except OSError as error:
            raise DamagedBundle(path, f"{name} is missing") from error
        if found != expected:
            raise DamagedBundle(path, f"{name} has changed")
    return Bundle(path.name, path, manifest)


def _manifest(text: bytes) -> Manifest:
    """Raises `msgspec.DecodeError` for a format that there is not."""
    found = msgspec.json.decode(text, type=_Format).format
    if found == 1:
        return msgspec.json.decode(text, type=_ManifestOfFormat1).renewed()
    if found != FORMAT:
        raise msgspec.DecodeError(f"format {found}, and this version reads 1 to {FORMAT}")
    return msgspec.json.decode(text, type=Manifest)


def sample_of(bundle: Bundle, files: Files) -> dict[str, Any]:
    """The bundle's sample: `{"inputs": [[…], …], "outputs": [[…], …]}`, row by row in the signature's order; null where a value is unknown.

    Raises `KeyError` or `TypeError` where it is not one.
    """
    sample: dict[str, Any] = json.loads(files.read(bundle.file(SAMPLE_FILE)))
    if "predictions" in sample:  # as bundles of format 1 have it
        return {"inputs": sample["features"], "outputs": [[answer] for answer in sample["predictions"]]}
    return sample
