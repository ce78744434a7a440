"""What the model platforms of three clouds ask of a container, so that one image runs on all of them.

- SageMaker: `GET /ping`, `POST /invocations` on port 8080
  (https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html)
- Vertex AI: routes and port in `AIP_HEALTH_ROUTE`, `AIP_PREDICT_ROUTE`, `AIP_HTTP_PORT`; `{"instances": [...]}` in,
  `{"predictions": [...]}` out (https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements)
- Azure ML: `GET /`, `POST /score` on port 5001, unless the deployment says otherwise
  (https://learn.microsoft.com/azure/machine-learning/how-to-deploy-custom-container)

The platform in front authenticates callers and does TLS, so the container listens on every address, without keys of its own.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from noria.core.errors import UserMistake, nearest
from noria.core.settings import Platform, ServingSettings
from noria.core.signature import FLOATS, INTEGERS, Field
from noria.data.rows import Fields
from noria.serving.protocol.request import LARGE, BadRequest, PredictRequest, Row, check_rows, in_columns

EVERYWHERE = "0.0.0.0"
CSV = "text/csv"
FORMS = ("instances", "rows", "data")


@dataclass(frozen=True)
class Contract:
    """Where a platform asks: for health, and for predictions."""

    platform: Platform
    port: int
    health: str
    predict: str


def contract(platform: Platform, environ: Mapping[str, str]) -> Contract | None:
    """The contract that a setting and the container's environment make; None where there is no platform.

    `auto` goes by the variables that Vertex AI and Azure ML set, and is SageMaker's where there are none. Raises `BadContract`.
    """
    if platform == "none":
        return None
    if platform == "auto":
        platform = (
            "vertex" if "AIP_MODE" in environ or "AIP_HTTP_PORT" in environ else "azure" if "AZUREML_MODEL_DIR" in environ else "sagemaker"
        )
    if platform == "vertex":
        port = environ.get("AIP_HTTP_PORT", "8080")
        routes = {
            name: environ.get(name, default) for name, default in (("AIP_HEALTH_ROUTE", "/health"), ("AIP_PREDICT_ROUTE", "/predict"))
        }
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            raise BadContract("AIP_HTTP_PORT", port, "a port")
        for name, route in routes.items():
            if not route.startswith("/") or any(mark in route for mark in "<>?#"):
                raise BadContract(name, route, "a path that begins with /")
        return Contract("vertex", int(port), routes["AIP_HEALTH_ROUTE"], routes["AIP_PREDICT_ROUTE"])
    if platform == "azure":
        return Contract("azure", 5001, "/", "/score")
    return Contract("sagemaker", 8080, "/ping", "/invocations")


def on_platform(settings: ServingSettings, environ: Mapping[str, str]) -> ServingSettings:
    """Settings with the address that a platform asks for; a port that was chosen stays, unless the platform names one itself."""
    found = contract(settings.platform, environ)
    if found is None:
        return settings
    chosen = settings.port != ServingSettings().port and "AIP_HTTP_PORT" not in environ
    return msgspec.structs.replace(settings, host=EVERYWHERE, port=settings.port if chosen else found.port, platform=found.platform)


class BadContract(UserMistake):
    """A platform's variable can't be used."""

    code = "NR-536"

    def __init__(self, name: str, value: str, expected: str) -> None:
        super().__init__(what=f"{name} is {value!r}, not {expected}", where="the environment", fix="let the platform set it")


def read_instances(body: bytes, fields: Fields, content_type: str = "") -> PredictRequest:
    """The rows of a platform's request: instances as objects by feature or as lists in the features' order, or CSV without a head.

    Raises `BadRequest`.
    """
    if content_type.split(";")[0].strip().lower() == CSV:
        return _found([_csv_row(row, fields) for row in _csv(body)], body, fields)
    try:
        asked = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(what="the body is not valid JSON", where=str(error), fix="send UTF-8 encoded JSON") from error
    rows = next((asked[form] for form in FORMS if form in asked), None) if isinstance(asked, dict) else asked
    if not isinstance(rows, list):
        raise BadRequest(what="there are no instances", where="the body", fix='send {"instances": [{feature: number or null, …}, …]}')
    check_rows(len(rows))
    return _found([_row(row, fields, place) for place, row in enumerate(rows)], body, fields)


def _found(rows: list[Row], body: bytes, fields: Fields) -> PredictRequest:
    asked = PredictRequest(rows)
    return in_columns(asked, fields) if len(body) > LARGE else asked


def _row(row: Any, fields: Fields, place: int) -> tuple[Any, ...]:
    where, features = f"instance {place}", [field.name for field in fields]
    if isinstance(row, dict):
        for name in row:
            if name not in features:
                fix = "the model's features are " + ", ".join(features)
                raise BadRequest(what=f"there is no feature {name!r}{nearest(str(name), features)}", where=where, fix=fix)
        for name in features:
            if name not in row:
                raise BadRequest(what=f"feature {name!r} is missing", where=where, fix="send every feature; null where unknown")
        row = [row[name] for name in features]
    if not isinstance(row, list) or len(row) != len(features):
        raise BadRequest(
            what=f"an instance must have {len(features)} features",
            where=where,
            fix="send an object, or a list in the order of the model's features",
        )
    for value, field in zip(row, fields, strict=True):
        number = field.type in FLOATS and not field.shape
        if number and not (value is None or (isinstance(value, int | float) and abs(value) <= 1e308)):
            raise BadRequest(what=f"a feature must be a number or null, not {value!r}"[:200], where=where, fix="send a number or null")
    return tuple(row)


def _csv(body: bytes) -> list[list[str]]:
    try:
        rows = [row for row in csv.reader(body.decode().splitlines()) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadRequest(what="the body is not CSV", where=str(error), fix="send rows of numbers, in the features' order") from error
    check_rows(len(rows))
    return rows


def _csv_row(row: list[str], fields: Fields) -> tuple[Any, ...]:
    if len(row) != len(fields):
        raise BadRequest(what=f"a row has {len(row)} values", where="the body", fix=f"send {len(fields)}, in the features' order")
    try:
        values = [_csv_value(text, field) for text, field in zip(row, fields, strict=True)]
    except ValueError as error:
        raise BadRequest(what=str(error), where="the body", fix="send numbers; leave unknown values empty") from error
    return tuple(values)


def _csv_value(text: str, field: Field) -> float | str | None:
    """A cell; an empty one is unknown. Raises `ValueError` where it is not a number, and `BadRequest` for a column that CSV can't hold."""
    if field.shape or field.type not in (*FLOATS, *INTEGERS, "string"):
        raise BadRequest(what=f"{field.described} can't be sent as CSV", where="the body", fix="send JSON")
    if not text.strip():
        return None
    if field.type == "string":
        return text
    value = int(text) if field.type in INTEGERS else float(text)
    return None if math.isnan(value) else value
