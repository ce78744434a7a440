"""Asking again: a logged prediction's features, or captured requests, sent to a server that runs now, and both answers compared."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import msgspec

from noria.core.errors import OutsideWorld
from noria.core.signature import Signature
from noria.data.rows import Rows
from noria.evaluation.task import Task
from noria.serving.log.predictions import Predictions
from noria.serving.observe.capture import Captured, read_captured

SECONDS = 10.0
SAME = 1e-6  # by which numbers may differ, relative to the largest, where no task says it


class NotAnswered(OutsideWorld):
    """The server did not answer."""

    code = "NR-603"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(what="the request was not answered", where=f"{url}: {reason}", fix="start it with `noria serve`, or give --url")


def ask_again(endpoint: str, task: Task | None, signature: Signature, logged: Predictions, url: str, secret: str | None) -> dict[str, Any]:
    """Send the features of one logged prediction, as they were served, to a server now. Raises `NotAnswered`.

    task: which says whether two answers are the same, None where every number counts; signature: of its bundle
    """
    (row,) = msgspec.to_builtins(logged.inputs(signature).dicts())  # times and bytes as texts
    body = msgspec.json.encode({"rows": [row]})
    status, answer = _send(f"{url}/predict/{urllib.parse.quote(endpoint, safe='')}", body, {}, secret)
    now = json.loads(answer)
    before, after = logged.outputs(signature), now["predictions"] if status == 200 else None
    return {
        "id": logged.ids[0],
        "endpoint": endpoint,
        "features": row,
        "before": {"bundle": logged.bundle[0], "prediction": before.listed()[0]},
        "now": {
            "status": status,
            "bundle": now.get("bundle"),
            "prediction": None if after is None else after[0],
            "id": now.get("ids", [None])[0],
            "error": now.get("what"),
        },
        "same": after is not None and _same(task, before, after),
    }


def _same(task: Task | None, before: Rows, after: list[Any]) -> bool:
    """Whether an answer counts as the one of before; one of other outputs does not."""
    try:
        now = Rows.of_listed(before.fields, after)
    except (KeyError, TypeError, ValueError):
        return False
    if task is None:
        return max(before.differences(now), default=0.0) <= SAME
    return bool(task.same(task.scores(before), task.scores(now))[0])


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
    """What of an answer should be the same again: its predictions, rounded; what a completion says; or its error's code."""
    if answer.startswith("data: "):
        return _said(answer)
    try:
        found = json.loads(answer.rpartition("event: answer\ndata: ")[2])  # of an answer in parts, its last event
    except ValueError:
        return answer
    if not isinstance(found, dict):
        return found
    if "choices" in found:
        return [[choice["message"]["content"], choice["finish_reason"]] for choice in found["choices"]]
    if isinstance(found.get("error"), dict):
        return found["error"].get("code")
    values = found.get("predictions") or [o["data"] for o in found.get("outputs", []) if o["name"] == "prediction" and "data" in o]
    return json.loads(json.dumps(values), parse_float=lambda text: round(float(text), 6)) if values else found.get("code")


def _said(events: str) -> Any:
    """What the chunks of a completion, or the events of a generated text, say together."""
    texts, ends = [], []
    for line in events.splitlines():
        if line.startswith("data: {"):
            found = json.loads(line.removeprefix("data: "))
            texts.append(found.get("text_output", ""))
            for choice in found.get("choices", ()):
                texts.append(choice["delta"].get("content") or "")
                ends += [choice["finish_reason"]] if choice["finish_reason"] else []
            ends += [found["error"]] if isinstance(found.get("error"), str) else []
            ends += [found["error"]["code"]] if isinstance(found.get("error"), dict) else []
    return ["".join(texts), ends]


def _shown(one: Captured) -> dict[str, Any]:
    return {"at": one.at, "status": one.status, "answer": one.answer[:500]}
