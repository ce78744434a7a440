"""Sentences from templates: `{one|another}` is one of its parts, nested as deep as one likes, and `{NAME}` a part that stands above."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path

CHOICE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Templates:
    """The templates of a file. groups: by the heading `# name` that they stand under; parts: by name"""

    groups: dict[str, tuple[str, ...]]
    parts: dict[str, str]

    @staticmethod
    def read(path: Path) -> Templates:
        groups, parts, under = dict[str, list[str]](), dict[str, str](), ""
        for line in path.read_text("utf-8").splitlines()[1:]:  # the first says what the file is
            if line.startswith("@"):
                name, _, part = line[1:].partition(" ")
                parts[name] = part
            elif line.startswith("# "):
                under = line[2:]
                groups[under] = []
            elif line:
                groups[under].append(line.replace("\\n", "\n").replace("\\\\", "\\"))
        return Templates({name: tuple(of) for name, of in groups.items()}, parts)

    def spin(self, template: str, rng: random.Random) -> str:
        """One of the sentences of a template. `<|` and `|>` are signs, not choices."""
        template = template.replace("<|", "<¦").replace("|>", "¦>").replace("\\|", "¦")
        while found := CHOICE.search(template):
            choice = found[1]
            part = self.parts[choice] if choice in self.parts else rng.choice(choice.split("|"))
            template = template[: found.start()] + part + template[found.end() :]
        return re.sub(r" {2,}", " ", template).replace("¦", "|").strip()
