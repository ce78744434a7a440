"""Configuration in one typed place: `noria.toml` < environment (`NORIA_SERVING_PORT`) < argument.

Unknown keys are refused with the nearest known one. Secrets never stand here.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from noria.core.errors import UserMistake, nearest
from noria.core.telemetry import LogFormat

Platform = Literal["none", "auto", "sagemaker", "vertex", "azure"]
FILE_NAME = "noria.toml"
KINDS = {  # types as a refusal names them → (in words, an example)
    "int": ("a whole number", "8080"),
    "float": ("a number", "0.5"),
    "bool": ("true or false", "true"),
    "str": ("a text", '"text"'),
    "array": ("a list", '["text"]'),
    "datetime": ("a time", "2024-01-01T00:00:00Z"),
}


class BadSettings(UserMistake):
    """`noria.toml` or a `NORIA_…` variable can't be used."""

    code = "NR-103"


class ProjectSettings(msgspec.Struct, forbid_unknown_fields=True):
    """Who the project is and which module declares it."""

    name: str
    module: str
    seed: int = 0


class StoreSettings(msgspec.Struct, forbid_unknown_fields=True):
    """Where everything lives that outlives a process."""

    folder: str = ".noria"
    online: str = "lmdb"
    engine: Literal["duckdb", "spark"] = "duckdb"


class LoopSettings(msgspec.Struct, forbid_unknown_fields=True):
    """How often the controller turns, where its ticks lie on the clock (UTC), whose clock seasons follow, and how long a stage may take.

    training_limit, training_memory_gb: what one training may take; retry: the pause after an action's first failure, which then grows
    """

    tick: str = "1d"
    offset: str = "0s"
    time_zone: str = "UTC"
    longest: str = "6h"
    training_limit: str = "6h"
    training_memory_gb: Annotated[float, msgspec.Meta(gt=0)] | None = None
    retry: str = "1m"


class ReplaySettings(msgspec.Struct, forbid_unknown_fields=True):
    """The stretch of history that `noria replay` runs over."""

    start: datetime | None = None
    end: datetime | None = None


class ServingSettings(msgspec.Struct, forbid_unknown_fields=True):
    """Where `noria serve` listens, how safe its log is, and its limits (all explained in `docs/serving.md`).

    budget_ms: what waiting and scoring may take; batches are sized by it, and what would wait longer is refused
    model_…: of models that Python runs in processes of their own: what a call and a start may take, their memory, their versions, and how
        many answers in parts one makes at once; waiting_streams: the same of those that wait for a network
    stream_…: what one answer in parts may have in all
    """

    host: str = "127.0.0.1"
    port: int = 8080
    admin_port: int = 0
    grpc_port: int | None = None
    workers: int = 1
    tls_certificate: str | None = None
    tls_key: str | None = None
    behind_tls_proxy: bool = False
    platform: Platform = "none"
    oidc_issuer: str | None = None
    oidc_audience: str | None = None
    oidc_claim: str = "roles"
    oidc_labels_claim: str | None = None
    oidc_tenant_claim: str | None = None
    durability: Literal["disk", "process"] = "disk"
    log_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    redact: list[str] = []
    log_keep: str | None = None
    capture_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    trace_endpoint: str | None = None
    trace_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.01
    trace_contents: bool = False
    feedback_comments: bool = False
    sketched_rows: Annotated[int, msgspec.Meta(ge=0)] = 0
    messages: LogFormat = "text"
    models_mb: float | None = None
    model_seconds: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    model_start_seconds: Annotated[float, msgspec.Meta(gt=0)] = 45.0
    model_memory_gb: Annotated[float, msgspec.Meta(gt=0)] | None = None
    model_versions: Literal["locked", "any"] = "locked"
    model_streams: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 8
    waiting_streams: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 32
    stream_seconds: Annotated[float, msgspec.Meta(gt=0, le=1800)] = 300.0
    stream_parts: Annotated[int, msgspec.Meta(ge=1)] = 16_384
    stream_bytes: Annotated[int, msgspec.Meta(ge=1)] = 1_048_576
    max_batch: int = 128
    budget_ms: float = 50.0
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1)] = 4_194_304
    max_batch_bytes: Annotated[int, msgspec.Meta(ge=1)] = 16_777_216
    max_waiting_bytes: Annotated[int, msgspec.Meta(ge=1)] = 268_435_456
    most_feature_age_seconds: float = 3600.0
    stale_features: Literal["answer", "refuse"] = "answer"
    request_seconds: float = 20.0
    idle_seconds: float = 75.0


class AlertSettings(msgspec.Struct, forbid_unknown_fields=True):
    """Who is told of findings, and how. Addresses and keys that are secrets come from the environment (`docs/monitoring.md`).

    per_hour: messages a channel is sent at most; what is more waits; digest_hour: of the day (UTC), when the digest is sent
    """

    channels: list[str] = msgspec.field(default_factory=lambda: ["log"])
    per_hour: Annotated[int, msgspec.Meta(ge=1)] = 30
    digest_hour: Annotated[int, msgspec.Meta(ge=0, le=23)] | None = None
    pagerduty_url: str | None = None
    email_from: str = ""
    email_to: list[str] = []
    smtp_host: str = "localhost"
    smtp_port: int = 25
    smtp_user: str = ""


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """All of a project's settings."""

    project: ProjectSettings
    stores: StoreSettings = msgspec.field(default_factory=StoreSettings)
    loop: LoopSettings = msgspec.field(default_factory=LoopSettings)
    replay: ReplaySettings = msgspec.field(default_factory=ReplaySettings)
    serving: ServingSettings = msgspec.field(default_factory=ServingSettings)
    alerts: AlertSettings = msgspec.field(default_factory=AlertSettings)


def load_settings(folder: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read `folder`/noria.toml and lay the environment over it. Raises `BadSettings`."""
    path = folder / FILE_NAME
    if not path.is_file():
        raise BadSettings(
            what="this folder is not a Noria project",
            where=f"there is no {FILE_NAME} in {folder.resolve()}",
            fix="run the command in a project folder, or start a project: `noria init DATA`, or `noria demo` for a working example",
        )
    try:
        raw = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(what=f"{FILE_NAME} is not valid TOML", where=f"{path}: {error}", fix="correct that line") from error
    _refuse_unknown(raw, path)
    for section, key, value in _from_environment(environ):
        raw.setdefault(section, {})[key] = value
    try:
        return msgspec.convert(raw, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise _wrong_type(error, path, environ) from error


def _wrong_type(error: Exception, path: Path, environ: Mapping[str, str]) -> BadSettings:
    """A setting that is missing, or of another type than it has to be: what to write."""
    words = str(error)
    if lacking := re.search(r"missing required field `(\w+)`(?: - at `\$\.(\w+)`)?", words):
        section, keys = (lacking[2], [lacking[1]]) if lacking[2] else (lacking[1], ["name", "module"])
        what = f"[{section}] has no {lacking[1]}" if lacking[2] else f"there is no section [{section}]"
        lines = " and ".join(f'{key} = "shop"' for key in keys)
        return BadSettings(what=what, where=str(path), fix=f"write [{section}], and below it {lines}")
    found = re.search(r"Expected `(\w+).*?`, got `.+?` - at `\$\.(\w+)\.(\w+)`", words)
    if found is None or found[1] not in KINDS:
        return BadSettings(what="a setting can't be used", where=f"{path}: {error}", fix="correct that setting")
    (kind, example), section, key = KINDS[found[1]], found[2], found[3]
    variable = f"NORIA_{section}_{key}".upper()
    if variable in environ:
        return BadSettings(what=f"{variable} is not {kind}", where="the environment", fix=f"write {variable}={example}, or unset it")
    return BadSettings(what=f"{section}.{key} is not {kind}", where=str(path), fix=f"write {key} = {example} below [{section}]")


def with_overrides(settings: ServingSettings, **given: str | int | None) -> ServingSettings:
    """Settings with what the command line says in place."""
    given = {name: value for name, value in given.items() if value is not None}
    return msgspec.structs.replace(settings, **given)


def settings_without_file(name: str, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a folder that is no project, such as one of model files: those of the environment, and defaults. Raises
    `BadSettings`."""
    raw: dict[str, Any] = {"project": {"name": name, "module": ""}}
    for section, key, value in _from_environment(environ):
        if section != "project":
            raw.setdefault(section, {})[key] = value
    try:
        return msgspec.convert(raw, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise BadSettings(what="a setting has the wrong type", where=f"the environment: {error}", fix="correct that variable") from error


def _sections() -> dict[str, dict[str, Any]]:
    return {f.name: {g.name: g for g in msgspec.structs.fields(f.type)} for f in msgspec.structs.fields(Settings)}


def _refuse_unknown(raw: dict[str, Any], path: Path) -> None:
    known = _sections()
    for section, keys in raw.items():
        if section not in known:
            raise BadSettings(
                what=f"unknown section [{section}]{nearest(section, known)}", where=str(path), fix="known: " + ", ".join(known)
            )
        if not isinstance(keys, dict):
            raise BadSettings(what=f"{section!r} must be a section", where=str(path), fix=f"write [{section}] and its keys below")
        for key in keys:
            if key not in known[section]:
                raise BadSettings(
                    what=f"unknown setting {section}.{key}{nearest(key, known[section])}",
                    where=str(path),
                    fix="known: " + ", ".join(known[section]),
                )


def _from_environment(environ: Mapping[str, str]) -> list[tuple[str, str, Any]]:
    """Section, key and value of every setting that a variable gives; a list is written with commas."""
    found: list[tuple[str, str, Any]] = []
    for section, keys in _sections().items():
        for key, field in keys.items():
            variable = f"NORIA_{section}_{key}".upper()
            if variable in environ:
                text = environ[variable]
                found.append(
                    (section, key, [part.strip() for part in text.split(",") if part.strip()] if field.type == list[str] else text)
                )
    return found
