"""Questions as an index can find their answers: without their conversation, and in several ways.

A search never fails because of it: where the model fails, or writes what is no question, the question is searched as it was asked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import msgspec

from noria.llm.generation.failures import NoAnswer
from noria.llm.generation.port import Completion, Generator, Options
from noria.llm.generation.prompt import Message, Prompt

PROMPTS = Path(__file__).parent / "prompts"
NUMBER = re.compile(r"^\s*(?:[-*•>]|\(?\d{1,2}[.):]|Q\d{0,2}:)\s+|^\s*(?:standalone |rewritten )?question:\s*", re.IGNORECASE)
QUOTES = "\"'“”„«»`* \t"
LATEST = 6  # messages of a conversation that a question may lean on
LONGEST = 1_000  # characters of a message, and of a question that comes back
SHORT = Options(most_tokens=128, timeout=10.0)


@dataclass(frozen=True)
class Rewritten:
    """A question. why_not: why it is as it was asked; empty where a model wrote it; completion: what the model wrote"""

    text: str
    why_not: str = ""
    completion: Completion | None = None


@dataclass(frozen=True)
class SeveralWays:
    """A question in several ways, itself first. why_not: why there is no other, or fewer than were asked"""

    questions: tuple[str, ...]
    why_not: str = ""
    completion: Completion | None = None


def rewritten(
    question: str, conversation: Sequence[Message], generator: Generator, options: Options = SHORT, prompt: Prompt | None = None
) -> Rewritten:
    """A follow-up such as "And in winter?" as a question of its own. Without a conversation it is left as it is, and nobody is asked.

    prompt: one with the variables conversation and question, in place of ours
    """
    said = [message for message in conversation if message.role in ("user", "assistant") and message.content.strip()][-LATEST:]
    if not said or not question.strip():
        return Rewritten(question, "there is no conversation that it could lean on" if question.strip() else "there is no question")
    lines = "\n".join(f"{message.role.capitalize()}: {' '.join(message.content.split())[:LONGEST]}" for message in said)
    asked = (prompt or _prompt("standalone")).filled({"conversation": lines, "question": " ".join(question.split())[:LONGEST]})
    made = _made(generator, asked, options)
    if isinstance(made, str):
        return Rewritten(question, made)
    found = next((clean for line in made.text.splitlines() if (clean := _clean(line))), "")
    reason = _no_question(found, question, made)
    return Rewritten(question, reason, made) if reason else Rewritten(found, "", made)


def several_ways(
    question: str, generator: Generator, count: int = 3, options: Options = SHORT, prompt: Prompt | None = None
) -> SeveralWays:
    """The question, and up to `count` other ways to ask it, to be searched together and fused.

    prompt: one with the variables count and question, in place of ours
    """
    if count < 1 or not question.strip():
        return SeveralWays((question,), "none were asked for" if question.strip() else "there is no question")
    asked = (prompt or _prompt("several_ways")).filled({"count": str(count), "question": " ".join(question.split())[:LONGEST]})
    made = _made(generator, asked, replace(options, most_tokens=max(options.most_tokens, 48 * count)))
    if isinstance(made, str):
        return SeveralWays((question,), made)
    found = {_same(question): question}
    for line in _lines(made.text):
        clean = _clean(line)
        if clean and not _no_question(clean, question, made) and len(found) <= count:
            found.setdefault(_same(clean), clean)
    ways = tuple(found.values())
    lacking = count + 1 - len(ways)
    return SeveralWays(ways, f"the model wrote {lacking} fewer that differ" if lacking else "", made)


@cache
def _prompt(name: str) -> Prompt:
    return Prompt.read(PROMPTS / f"{name}.md")


def _made(generator: Generator, messages: Sequence[Message], options: Options) -> Completion | str:
    """What the model wrote, or why it wrote nothing."""
    try:
        made = generator.generate(messages, options)
    except NoAnswer as failure:
        return f"{failure.code}: {failure.what}"
    if made.finish in ("filtered", "tools"):
        return "the answer was withheld" if made.finish == "filtered" else "the answer was calls of tools"
    return made


def _lines(text: str) -> list[str]:
    """Of text, or of the JSON list that some models write all the same."""
    start, end = text.find("["), text.rfind("]")
    if text.lstrip().startswith(("[", "```", "{")) and 0 <= start < end:
        try:
            return [str(each) for each in msgspec.json.decode(text[start : end + 1].encode("utf-8", "replace"), type=list[str])]
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    return text.splitlines()


def _clean(line: str) -> str:
    """A line without the number, the dash, the label and the quotes that models put around a question."""
    before = None
    while before != line:
        before, line = line, NUMBER.sub("", line.strip(QUOTES))
    return " ".join(line.split())


def _no_question(text: str, question: str, made: Completion) -> str:
    """Why a text can't stand for a question; empty where it can."""
    if not text or not any(letter.isalnum() for letter in text):
        return "the model wrote nothing"
    if text.endswith(":") or text.startswith("```"):
        return "the model wrote no question"
    if question.rstrip().endswith(("?", "？")) and text.endswith((".", "!", "。")):
        return "the model wrote a statement, and no question"
    if len(text) > LONGEST:
        return "what the model wrote is too long for a question"
    if made.finish == "length" and made.text.rstrip().endswith(text) and "\n" not in made.text.strip():
        return "what the model wrote has no end"
    return ""


def _same(text: str) -> str:
    return " ".join("".join(letter if letter.isalnum() else " " for letter in text.casefold()).split())
