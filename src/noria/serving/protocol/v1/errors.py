"""Errors in OpenAI's form (https://platform.openai.com/docs/guides/error-codes): clients tell them apart by status."""

from __future__ import annotations

from typing import Any

import msgspec

from noria.core.errors import NoriaError, nearest
from noria.serving.protocol.request import BadRequest

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    504: "timeout_error",
}


class UnsupportedParameter(BadRequest):
    """A request asks for what the server does not do, or for a value of a parameter that it can't have."""

    code = "NR-860"

    def __init__(self, param: str, reason: str, fix: str) -> None:
        self.param = param
        super().__init__(what=reason, where=f"parameter {param!r}", fix=fix)


class NotForThisModel(BadRequest):
    """An endpoint's model reads and answers something else than this path is for."""

    code = "NR-861"

    def __init__(self, endpoint: str, path: str, reads: str, has: str) -> None:
        self.param = "model"
        super().__init__(
            what=f"endpoint {endpoint!r} can't answer {path}",
            where=f"its model has {has}",
            fix=f"{path} is for models that read {reads}; use /predict/{endpoint}, or name another endpoint",
        )


class WhichModel(BadRequest):
    """A request names no model, and there is not just one that it can mean."""

    code = "NR-862"

    def __init__(self, names: list[str]) -> None:
        self.param = "model"
        super().__init__(
            what="the request does not say which model it is for",
            where="parameter 'model'",
            fix="name an endpoint: " + (", ".join(names) or "this server serves none yet"),
        )


def not_a_request(error: Exception, example: str, known: tuple[str, ...] = ()) -> BadRequest:
    """What is said of a body that can't be decoded."""
    text = str(error)
    fix = f"send {example}"
    if "unknown field `" in text:
        name = text.split("`")[1]
        return UnsupportedParameter(name, f"there is no parameter {name!r}{nearest(name, known)}", fix)
    return BadRequest(what="the body is not what this path takes", where=text, fix=fix)


def openai_error(error: NoriaError, prediction_id: str | None = None) -> bytes:
    """An error's body. prediction_id: of the beginning of an answer, which was sent before it failed"""
    status = error.http_status
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    message = f"{error.what} ({error.where}); {error.fix}"
    told: dict[str, Any] = {"message": message, "type": kind, "param": getattr(error, "param", None), "code": error.code}
    if prediction_id is not None:
        told["prediction_id"] = prediction_id
    return msgspec.json.encode({"error": told})
