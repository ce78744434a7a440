"""A project with an application: what a help desk is asked, and a handbook that answers it."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from noria.core.clock import SystemClock

SETTINGS = """
[project]
name = "desk"
module = "desk"

[loop]
tick = "1h"
"""
MODULE = """
import noria as nr
from noria import llm

docs = nr.Table("docs", llm.document_files("handbook"), key="id", event_time="changed_at", deleted="deleted")
asked = nr.Table("asked", nr.files("data/asked.csv"), key="question_id", event_time="asked_at")
feedback = nr.Table("feedback", nr.files("data/feedback.csv"), key="question_id", event_time="given_at")

guardrails = llm.Guardrails((llm.PersonalData(),))
application = llm.Application(docs, llm.HashedEmbedder(), guardrails=guardrails, terms=llm.Terms(count=3, least=0.1))
desk = nr.Model("desk", llm.questions(asked), label=nr.Label(feedback, "helpful"), trainer=application, task=nr.Generation())
endpoint = nr.Endpoint("desk", desk)
monitor = nr.Monitor(endpoint, false_alarms_per_year=2)
retrain = nr.Retrain(desk, when=[nr.changed(docs)])
"""
TOPICS = ("holidays", "expenses", "laptops", "parking", "travel")
PAGE = """# {topic}

All about {topic}.

## How to ask for {topic}

Write to the office of {topic} two weeks before. The form for {topic} is number 7{topic}.

## Limits of {topic}

Nobody may have more than twenty {topic} a year.
"""
NOTHING = {"conversation": None, "access": None, "conditions": None, "mode": None, "tenant": None}


def write_desk(folder: Path, module: str = MODULE) -> Path:
    """The project, with twenty questions of the last day, of which half were said to be answered well or badly."""
    now = SystemClock().now()
    for name in ("handbook", "data"):
        (folder / name).mkdir()
    (folder / "noria.toml").write_text(SETTINGS)
    (folder / "desk.py").write_text(module)
    for topic in TOPICS:
        (folder / "handbook" / f"{topic}.md").write_text(PAGE.format(topic=topic))
    times = [now - timedelta(hours=21 - i) for i in range(20)]
    asked = [f"q{i},{at.isoformat()},How do I ask for {TOPICS[i % len(TOPICS)]}?" for i, at in enumerate(times)]
    given = [f"q{i},{(at + timedelta(minutes=30)).isoformat()},{int(i % 4 != 1)}" for i, at in enumerate(times) if i % 2]
    (folder / "data" / "asked.csv").write_text("\n".join(["question_id,asked_at,question", *asked]))
    (folder / "data" / "feedback.csv").write_text("\n".join(["question_id,given_at,helpful", *given]))
    return folder


class Desk:
    """A real server of a project's endpoint, in processes of its own."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.endpoint = endpoint
        start = [sys.executable, "-m", "noria", "serve", endpoint, "--project", str(folder), "--port", "0", "--json"]
        self.process = subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.communicate()[1])
        self.port = int(json.loads(line)["port"])

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", path, json.dumps(body), headers or {})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def answer(self, question: str, **more: Any) -> dict[str, Any]:
        """The outputs of the answer to one question."""
        status, told = self.post(f"/predict/{self.endpoint}", {"rows": [{"question": question, **NOTHING, **more}]})
        assert status == 200, told
        [found] = told["predictions"]
        return dict(found)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)


@contextmanager
def served(folder: Path, endpoint: str = "desk") -> Iterator[Desk]:
    desk = Desk(folder, endpoint)
    try:
        yield desk
    finally:
        desk.stop()
