"""A small typed client for one endpoint, as the source of a Python module that needs nothing but Python."""

from __future__ import annotations

import keyword
from collections.abc import Sequence

from noria.core.errors import UserMistake

TEMPLATE = '''"""A client of the endpoint {endpoint!r}, made by `noria client` from bundle {bundle}.

Needs nothing but Python 3.9 or later.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any, Mapping, NamedTuple, Optional, Sequence, TypedDict, cast

Row = TypedDict(
    "Row",
    {{
{fields}
    }},
)
"""What the model reads; None where a value is unknown."""

FEATURES = {features}


class Prediction(NamedTuple):
    """One answer. `id` is what `noria explain` and outcomes are told; `bundle` gave it; `fallback` says who stood in, if someone did."""

    value: float
    id: str
    bundle: str
    fallback: Optional[str]


class Refused(Exception):
    """The server did not answer. `status` is HTTP's (0 when it was not reached), `code` the server's own; some pass: see `retry_after`."""

    def __init__(self, status: int, code: str, text: str, retry_after: Optional[float]) -> None:
        super().__init__(text)
        self.status, self.code, self.retry_after = status, code, retry_after


class {name}:
    """Asks for predictions. key: an API key, where the server wants one; timeout: seconds after which an answer is of no use."""

    def __init__(self, url: str = {url!r}, key: Optional[str] = None, timeout: float = 10.0) -> None:
        self._url, self._key, self._timeout = url.rstrip("/"), key, timeout

    def predict(self, rows: Sequence[Row], keys: Optional[Sequence[Optional[str]]] = None) -> list[Prediction]:
        """A prediction for each row, in their order. keys: what outcomes will be joined by, one for each. Raises `Refused`."""
        body: dict[str, Any] = {{"rows": list(rows)}}
        if keys is not None:
            body["keys"] = list(keys)
        return self._predictions("/predict/{endpoint}", body)

    def predict_entities(
        self, entities: Sequence[Mapping[str, Any]], keys: Optional[Sequence[Optional[str]]] = None
    ) -> list[Prediction]:
        """The same for entities, whose features the server looks up. Raises `Refused`."""
        body: dict[str, Any] = {{"entities": [dict(entity) for entity in entities]}}
        if keys is not None:
            body["keys"] = list(keys)
        return self._predictions("/predict/{endpoint}/entities", body)

    def ready(self) -> bool:
        """Whether the server answers rightly now."""
        try:
            self._asked("/v2/models/{endpoint}/ready", None)
        except Refused:
            return False
        return True

    def _predictions(self, path: str, body: dict[str, Any]) -> list[Prediction]:
        answer = self._asked(path, body)
        bundle, fallback = cast(str, answer["bundle"]), cast(Optional[str], answer.get("fallback"))
        return [Prediction(float(value), str(name), bundle, fallback) for value, name in zip(answer["predictions"], answer["ids"])]

    def _asked(self, path: str, body: Optional[dict[str, Any]]) -> dict[str, Any]:
        headers = {{"content-type": "application/json", "x-noria-timeout-ms": str(int(1000 * self._timeout))}}
        if self._key:
            headers["authorization"] = "Bearer " + self._key
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as response:
                return cast("dict[str, Any]", json.load(response))
        except urllib.error.HTTPError as error:
            raise _refused(error) from None
        except OSError as error:
            raise Refused(0, "", "%s can't be reached: %s" % (self._url, error), None) from error


def _refused(error: urllib.error.HTTPError) -> Refused:
    try:
        told = json.load(error)
        text = "%s (%s); %s" % (told["what"], told["where"], told["fix"])
        code = str(told["code"])
    except (ValueError, KeyError, TypeError):
        text, code = str(error), ""
    after = error.headers.get("retry-after")
    return Refused(error.code, code, text, float(after) if after else None)
'''


def client_code(endpoint: str, bundle: str, features: Sequence[str], url: str) -> str:
    """The module's source. Raises `UserMistake` for an endpoint whose name can't be a class's."""
    name = "".join(part.capitalize() for part in endpoint.replace("-", "_").split("_")) + "Client"
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UserMistake(what=f"no class can be named after {endpoint!r}", where="the endpoint's name", fix="use letters, digits, - and _")
    fields = "\n".join(f"        {feature!r}: Optional[float]," for feature in features)
    return TEMPLATE.format(endpoint=endpoint, bundle=bundle[:12], features=repr(tuple(features)), fields=fields, name=name, url=url)
