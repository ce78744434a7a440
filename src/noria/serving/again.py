"""Asking again: a logged prediction's features, or captured requests, sent to a server that runs now, and both answers compared."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from noria.core.errors import OutsideWorld
from noria.core.signature import Signature
from noria.evaluation.task import Task
from noria.serving.log.predictions import Predictions
from noria.serving.observe.capture import Captured, read_captured

SECONDS = 10.0


class NotAnswered(OutsideWorld):
    """The server did not answer."""

    code = "NR-603"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(what="the request was not answered", where=f"{url}: {reason}", fix="start it with `noria serve`, or give --url")


def ask_again(endpoint: str, task: Task, signature: Signature, logged: Predictions, url: str, secret: str | None) -> dict[str, Any]:
    """Send the features of one logged prediction, as they were served, to a server now. Raises `NotAnswered`.

    task: which says whether two answers are the same; signature: of its bundle
    """
    (row,) = msgspec.to_builtins(logged.inputs(signature).dicts())  # times and bytes as texts
    body = msgspec.json.encode({"rows": [row]})
    status, answer = _send(f"{url}/predict/{urllib.parse.quote(endpoint, safe='')}", body, {}, secret)
    now = json.loads(answer)
    before, after = float(logged.prediction[0]), now["predictions"][0] if status == 200 else None
    return {
        "id": logged.ids[0],
        "endpoint": endpoint,
        "features": row,
        "before": {"bundle": logged.bundle[0], "prediction": before},
        "now": {
            "status": status,
            "bundle": now.get("bundle"),
            "prediction": after,
            "id": now.get("ids", [None])[0],
            "error": now.get("what"),
        },
        "same": after is not None and bool(task.same(np.array(before), np.array(after))),
    }


def ask_captured_again(path: Path, url: str, secret: str | None) -> dict[str, Any]:
    """Send every captured request of a file to a server now. Raises `BadCapture` or `NotAnswered`."""
    different = []
    captured = read_captured(path)
    for place, one in enumerate(captured, 1):
        status, answer = _send(url + one.path, one.body_bytes, one.headers, secret)
        if status != one.status or _numbers(answer) != _numbers(one.answer):
            different.append({"line": place, "path": one.path, "before": _shown(one), "now": {"status": status, "answer": answer[:500]}})
    return {"requests": len(captured), "same": len(captured) - len(different), "different": different}


def _send(url: str, body: bytes, headers: dict[str, str], secret: str | None) -> tuple[int, str]:
    own = {"content-type": "application/json", **headers, **({"authorization": f"Bearer {secret}"} if secret else {})}
    request = urllib.request.Request(url, body, own)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            return response.status, response.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")
    except OSError as error:
        raise NotAnswered(url, str(error)) from error


def _numbers(answer: str) -> Any:
    """What of an answer should be the same again: its predictions, rounded; or its error's code."""
    try:
        found = json.loads(answer)
    except ValueError:
        return answer
    if not isinstance(found, dict):
        return found
    values = found.get("predictions") or [o["data"] for o in found.get("outputs", []) if o["name"] == "prediction" and "data" in o]
    return json.loads(json.dumps(values), parse_float=lambda text: round(float(text), 6)) if values else found.get("code")


def _shown(one: Captured) -> dict[str, Any]:
    return {"at": one.at, "status": one.status, "answer": one.answer[:500]}
