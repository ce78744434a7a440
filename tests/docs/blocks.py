"""The fenced blocks of the pages: what each holds, and whether it says that it is not run, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("examples/**/README.md"))]
FENCE = re.compile(r"(?:^<!-- not run: (?P<reason>[^>]+) -->\n)?^```(?P<language>[a-z]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"python", "sh", "console", "toml", "json", "yaml", "ini", "text"}


@dataclass(frozen=True)
class Block:
    """A block of a page. line: where its text begins; reason: why it is not run, where it says that"""

    page: Path
    line: int
    language: str
    text: str
    reason: str | None

    @property
    def where(self) -> str:
        return f"{name_of(self.page)}, line {self.line}"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(page, text[: found.start("text")].count("\n") + 1, found["language"], found["text"], found["reason"])
        for found in FENCE.finditer(text)
    ]


def commands_of(block: Block) -> list[tuple[str, str]]:
    """The commands of a block, each with the output that is shown for it: lines that begin with `$` in a console, all lines of a script."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if block.language == "console" and not line.startswith("$ "):
            found[-1][1].append(line)
        elif line.strip():
            found.append((line.removeprefix("$ "), []))
    return [(command, "\n".join(output)) for command, output in found]
