"""The languages of code, by the ending of a file's name, and how their top-level parts begin."""

from __future__ import annotations

import re

LANGUAGES = {
    ".py": "python", ".pyi": "python", ".js": "javascript", ".mjs": "javascript", ".ts": "typescript", ".tsx": "typescript",
    ".jsx": "javascript", ".java": "java", ".kt": "kotlin", ".scala": "scala", ".go": "go", ".rs": "rust", ".c": "c", ".h": "c",
    ".cc": "cpp", ".cpp": "cpp", ".hpp": "cpp", ".cs": "csharp", ".rb": "ruby", ".php": "php", ".swift": "swift", ".r": "r",
    ".jl": "julia", ".sh": "shell", ".sql": "sql", ".lua": "lua", ".toml": "toml", ".yaml": "yaml", ".yml": "yaml",
}  # fmt: skip

_C_LIKE = re.compile(r"^(?:[\w:<>,*&\[\]]+\s+)+[\w:~]+\s*\([^;]*$|^(?:class|struct|enum|namespace|interface|trait|impl|type)\b")
BEGINNINGS = {
    "python": re.compile(r"^(?:@|(?:async\s+)?def\s|class\s)"),
    "javascript": re.compile(r"^(?:export\s+)?(?:default\s+)?(?:async\s+)?(?:function|class|const|let|interface|type|enum)\b"),
    "go": re.compile(r"^(?:func|type|var|const)\b"),
    "rust": re.compile(r"^(?:pub(?:\([^)]*\))?\s+)?(?:async\s+)?(?:unsafe\s+)?(?:fn|struct|enum|trait|impl|mod|const|static|macro_rules!)"),
    "ruby": re.compile(r"^(?:class|module|def)\b"),
    "sql": re.compile(r"^(?:create|alter|drop|insert|select|with|update|delete|grant)\b", re.IGNORECASE),
    "shell": re.compile(r"^(?:function\s+\w+|\w+\s*\(\)\s*\{)"),
}
"""A line that begins a part at the top level; other languages: `begins_part`."""


def begins_part(language: str, line: str) -> bool:
    """Whether a line of code begins a function, a class or the like at the top level."""
    known = BEGINNINGS.get("javascript" if language == "typescript" else language, _C_LIKE)
    return known.match(line) is not None
