"""Prompts: files with a message for each role, whose variables are filled with data and never read as part of the prompt.

    ---
    variables: question, sources
    ---
    # system
    Answer from the sources alone, and cite them as [1].

    # user
    {sources}

    {question}

A brace that is meant is written twice, as in Python's own format strings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from noria.core.errors import UserMistake, nearest
from noria.core.ids import digest

ROLES = ("system", "user", "assistant")
HEAD, ROLE = re.compile(r"\A---\n(?P<head>.*?)\n---\n", re.DOTALL), re.compile(r"^# (\w+)[ \t]*$", re.MULTILINE)
PART = re.compile(r"\{\{|\}\}|\{([^{}\n]*)\}|[{}]")


class BadPrompt(UserMistake):
    """A prompt's file is not one, or it is filled with other variables than it has."""

    code = "NR-830"

    def __init__(self, name: str, why: str, fix: str) -> None:
        super().__init__(what=why, where=f"prompt {name!r}", fix=fix)


@dataclass(frozen=True)
class Message:
    """What one role says, as chat interfaces have it."""

    role: str
    content: str


@dataclass(frozen=True)
class Prompt:
    """A prompt as its file has it. It is known by its content: `version`."""

    name: str
    text: str

    def __post_init__(self) -> None:
        named = set(self._parts_of_messages())
        lacking, unused = named - set(self.variables), set(self.variables) - named
        if lacking:
            one = sorted(lacking)[0]
            fix = f"declare it: `variables: {', '.join([*self.variables, one])}`; a brace that is meant is written twice"
            raise BadPrompt(self.name, f"{{{one}}} is no variable of it{nearest(one, self.variables)}", fix)
        if unused:
            raise BadPrompt(self.name, f"the variable {sorted(unused)[0]!r} stands nowhere in it", "use it, or take it out of `variables`")

    @staticmethod
    def read(path: Path) -> Prompt:
        """The prompt of a file. Raises `BadPrompt`."""
        try:
            return Prompt(path.stem, path.read_text(encoding="utf-8").replace("\r\n", "\n"))
        except (OSError, UnicodeDecodeError) as error:
            raise BadPrompt(path.stem, f"{path} can't be read: {error}", "write the prompt there, as UTF-8") from error

    @property
    def version(self) -> str:
        """SHA-256 of the file: another text is another version."""
        return digest(self.text.encode())

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """What it is filled with."""
        head = HEAD.match(self.text)
        line = re.search(r"^variables:(.*)$", head["head"], re.MULTILINE) if head else None
        return tuple(name.strip() for name in line[1].split(",") if name.strip()) if line else ()

    @cached_property
    def _messages(self) -> tuple[Message, ...]:
        """The messages as they are written, with their variables."""
        body = HEAD.sub("", self.text)
        pieces = ROLE.split(body)
        if pieces[0].strip() or len(pieces) < 3:
            raise BadPrompt(
                self.name, "it does not begin with a role", f"write a line `# system` or `# user` before the text of each of {ROLES}"
            )
        found = [Message(role, content.strip()) for role, content in zip(pieces[1::2], pieces[2::2], strict=True)]
        for message in found:
            if message.role not in ROLES:
                fix = f"use one of {', '.join(ROLES)}"
                raise BadPrompt(self.name, f"there is no role {message.role!r}{nearest(message.role, ROLES)}", fix)
        return tuple(found)

    def _parts_of_messages(self) -> list[str]:
        names = list[str]()
        for message in self._messages:
            for found in PART.finditer(message.content):
                if found[0] in ("{", "}"):
                    raise BadPrompt(self.name, f"a {found[0]} stands alone", "write it twice, or close the variable's name")
                if found[1] is not None:
                    names.append(found[1].strip())
        return names

    def filled(self, values: Mapping[str, str]) -> list[Message]:
        """The messages with their variables filled. What stands in a value is data: it is put in once, and never read again.

        Raises `BadPrompt` for a variable that is missing, or that the prompt does not have.
        """
        for name in self.variables:
            if name not in values:
                raise BadPrompt(self.name, f"the variable {name!r} was not given", f"give {', '.join(self.variables)}")
        for name in values:
            if name not in self.variables:
                raise BadPrompt(self.name, f"it has no variable {name!r}{nearest(name, self.variables)}", "leave it out, or declare it")

        def part(found: re.Match[str]) -> str:
            return found[0][0] if found[1] is None else values[found[1].strip()]

        return [Message(message.role, PART.sub(part, message.content)) for message in self._messages]
