"""A corpus of the docstrings of NumPy and SciPy, and questions whose answers it has.

In:   the installed packages numpy and scipy
Out:  `docs/<package>/<function>.md`, `questions.jsonl`, `asked.csv` and `feedback.csv` under `data/`

A docstring begins with a line that says what the function does. **Questions are made of these lines, so documents don't have them**, and an
answer has to be found by what the rest says. Every third question stands in the set on which candidates are judged; the others are what
users asked in the last two days, **whose times, and whose feedback, are invented**: one in twelve did not help.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from noria.core.clock import SystemClock

MODULES = (
    "numpy",
    "numpy.linalg",
    "numpy.fft",
    "numpy.random",
    "scipy.stats",
    "scipy.linalg",
    "scipy.optimize",
    "scipy.signal",
    "scipy.special",
)
LEAST, MOST = 400, 6_000  # characters of a docstring
VERBS = re.compile(r"(Compute|Return|Find|Test|Calculate|Perform|Solve|Create|Construct|Generate|Evaluate|Draw|Estimate|Apply|Minimize)s? ")
ASKED = 2  # of three questions, those that users ask
UNHELPFUL = 12


def docstrings() -> Iterator[tuple[str, str, str]]:
    """(package/function, the line that says what it does, the rest), each function once."""
    seen = set[str]()
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in sorted(getattr(module, "__all__", dir(module))):
            text = inspect.getdoc(getattr(module, name, None)) or ""
            lines = text.splitlines()
            start = 2 if lines and "(" in lines[0] and len(lines) > 2 else 0  # the line of a signature
            summary, _, rest = "\n".join(lines[start:]).partition("\n\n")
            summary = " ".join(summary.split())
            if LEAST <= len(rest) <= MOST and VERBS.match(summary) and 25 <= len(summary) <= 140 and summary not in seen:
                seen.add(summary)
                yield f"{module_name.split('.')[0]}/{module_name}.{name}", summary, rest


def question(summary: str) -> str:
    """What somebody asks who wants what a function does."""
    verb, _, what = summary.partition(" ")
    return f"How do I {verb.lower().rstrip('s')} {what.rstrip('.')}?"


def document(name: str, rest: str) -> str:
    """A docstring as Markdown: its underlined headings as such."""
    body = re.sub(r"^([A-Z][\w ]+)\n-{3,}$", r"## \1", rest, flags=re.MULTILINE)
    return f"# {name.split('/')[1]}\n\n{body}\n"


def prepare(folder: Path, most: int = 100_000) -> None:
    """Write everything below `folder`/data; most: functions, for a smaller corpus"""
    data, now = folder / "data", SystemClock().now()
    judged, asked, feedback = list[str](), ["question_id,asked_at,question"], ["question_id,given_at,helpful"]
    for number, (name, summary, rest) in enumerate(list(docstrings())[:most]):
        path = data / "docs" / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document(name, rest), encoding="utf-8")
        if number % 3 == ASKED:
            package = name.split("/")[0]
            judged.append(
                json.dumps({"id": name, "question": question(summary), "relevant": {f"{name}.md": 1}, "slices": {"package": package}})
            )
        else:
            at = now - timedelta(minutes=4 * (number % 700) + 5)
            text = question(summary).replace('"', "'")
            asked.append(f'{name},{at.isoformat()},"{text}"')
            feedback.append(f"{name},{(at + timedelta(minutes=2)).isoformat()},{int(number % UNHELPFUL != 0)}")
    (data / "questions.jsonl").write_text("\n".join(judged) + "\n", encoding="utf-8")
    (data / "asked.csv").write_text("\n".join(asked) + "\n", encoding="utf-8")
    (data / "feedback.csv").write_text("\n".join(feedback) + "\n", encoding="utf-8")


if __name__ == "__main__":
    prepare(Path(__file__).parent, *map(int, sys.argv[1:]))
