"""Model files that are served without a project: which bundle each became, kept in the folder where a project keeps its stores.

<folder>/.noria/
    model-files.json       endpoint → the file, its bundle, and when it was served last
    objects/bundles/<id>/  bundles          objects/model-files/<key>.json  the bundle that a file's content became
    log/<endpoint>/        predictions
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from noria.core.clock import SystemClock
from noria.core.errors import UserMistake
from noria.core.files import LocalFiles
from noria.core.heartbeat import require_this_host
from noria.core.names import require_name
from noria.core.settings import FILE_NAME, ServingSettings, settings_without_file
from noria.models.bundle import PROFILE_FILE, Bundle, DamagedBundle, open_bundle
from noria.models.files.content import content_key
from noria.models.files.kinds import is_bundle, located, read_model
from noria.models.files.port import ReadOptions
from noria.models.files.refusals import BrokenModelFile, CarriesCode
from noria.models.runtimes.python_spec import NotTrusted
from noria.serving.access.keys import KeyFile
from noria.serving.process.supervisor import Supervisor
from noria.serving.process.worker import Serve
from noria.stores.workspace import Workspace

RECORD = "model-files.json"
SKETCHED_ROWS = 500  # a second, where there is a sample to compare them with


class InAProject(UserMistake):
    """A model file was to be served in the folder of a project."""

    code = "NR-577"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(
            what="this folder is a project, whose stores are its own",
            where=str(folder / FILE_NAME),
            fix="name another folder for the model file's log and bundles: --workspace FOLDER",
        )


class ServedFile(msgspec.Struct, frozen=True):
    """A model file under an endpoint's name. path: where it was; bundle: the folder of its bundle; at: when it was served last"""

    path: str
    bundle: str
    at: datetime


@dataclass(frozen=True)
class ModelFiles:
    """The model files that were ever served from a folder."""

    workspace: Workspace

    @staticmethod
    def of(folder: Path) -> ModelFiles:
        """Those of a folder. Raises `InAProject`."""
        folder = folder.resolve()
        if (folder / FILE_NAME).exists():
            raise InAProject(folder)
        return ModelFiles(Workspace.of(folder, settings_without_file(folder.name or "models"), LocalFiles()))

    @staticmethod
    def there(folder: Path) -> ModelFiles | None:
        """Those of a folder, if it is no project and any were served from it."""
        if (folder / FILE_NAME).exists():
            return None
        found = ModelFiles.of(folder)
        return found if found._record.exists() else None

    @property
    def _record(self) -> Path:
        return self.workspace.root / RECORD

    @property
    def served(self) -> Mapping[str, ServedFile]:
        """Endpoint → the file under that name."""
        if not self._record.exists():
            return {}
        try:
            return msgspec.json.decode(self._record.read_bytes(), type=dict[str, ServedFile])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            fix = "remove it: the bundles stay, and model files are found again by their content"
            raise BrokenModelFile(self._record, "the record of model files", str(error), fix) from error

    def bundle(self, endpoint: str) -> Bundle:
        """The bundle that answers an endpoint's requests, verified."""
        return open_bundle(Path(self.served[endpoint].bundle), self.workspace.files)

    def open(self, given: str, name: str | None, asked: ReadOptions) -> tuple[str, Bundle]:
        """The bundle of a model file under an endpoint's name, made if its content was not seen before. Raises what is wrong with it."""
        with located(given) as path:
            bundle = self._given(path, asked) if is_bundle(path) else None
            name = name or (bundle.manifest.name if bundle is not None else _name_of(path))
            require_name("endpoint", name)
            if bundle is None:
                bundle = self._made(path, name, asked)
            self._keep(name, str(path.resolve()) if Path(given).exists() else given, bundle)
            return name, bundle

    def again(self, name: str, *, trust: bool) -> Bundle:
        """The bundle that was served under a name before. Raises `CarriesCode`."""
        before = self.served[name]
        bundle = self._given(Path(before.bundle), ReadOptions(trust=trust))
        self._keep(name, before.path, bundle)
        return bundle

    def _given(self, path: Path, asked: ReadOptions) -> Bundle:
        bundle = open_bundle(path.resolve(), self.workspace.files)
        if bundle.manifest.trust and not asked.trust:
            raise CarriesCode(path, NotTrusted(bundle.id).where)
        return bundle

    def _made(self, path: Path, name: str, asked: ReadOptions) -> Bundle:
        files, key = self.workspace.files, content_key(path, name, asked)
        known = self.workspace.root / "objects" / "model-files" / f"{key.whole}.json"
        if known.exists():
            try:
                return open_bundle(self.workspace.bundles / msgspec.json.decode(files.read(known), type=str), files)
            except (DamagedBundle, msgspec.DecodeError):
                pass  # it is made again
        from noria.models.files.bundled import bundled  # not before something is to be converted

        found = read_model(path, asked)
        files.make_folder(self.workspace.bundles)
        bundle = bundled(found, name, key.content, asked, self.workspace.bundles, files)
        files.make_folder(known.parent)
        files.write(known, msgspec.json.encode(bundle.id))
        return bundle

    def _keep(self, name: str, path: str, bundle: Bundle) -> None:
        served = {**self.served, name: ServedFile(path, str(bundle.path), SystemClock().now())}
        self.workspace.files.make_folder(self.workspace.root)
        self.workspace.files.write(self._record, msgspec.json.encode(served))

    def supervisor(self, name: str, bundle: Bundle, settings: ServingSettings, *, trust: bool) -> Supervisor:
        """A server for one model file. Raises `OtherHost`."""
        files, root = self.workspace.files, self.workspace.root
        require_this_host(root, SystemClock().now(), files)
        target = Serve(name, str(bundle.path), None, str(self.workspace.log(name)), trust=trust)
        if PROFILE_FILE in bundle.manifest.files and not settings.sketched_rows:
            settings = msgspec.structs.replace(settings, sketched_rows=SKETCHED_ROWS)
        if PROFILE_FILE not in bundle.manifest.files:
            settings = msgspec.structs.replace(settings, sketched_rows=0)
        return Supervisor(lambda: [target], settings, SystemClock(), keys=KeyFile(root, files).read, folder=root)


def _name_of(path: Path) -> str:
    """A file's name as an endpoint's: without its ending, and without what a name can't have."""
    stem = path.resolve().stem if path.is_file() or path.suffix else path.resolve().name
    return re.sub(r"[^\w\-. ]+", "-", stem).strip("-. ") or "model"
