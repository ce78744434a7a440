"""Reference pages from docstrings: what `import noria as nr` gives, in the groups of `docs/api.md`.

A docstring of this project says in a sentence what a thing is, then a line `name: …` for each parameter, then what else there is to know,
as Markdown. Signatures and types come from the code.
"""

from __future__ import annotations

import builtins
import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import noria

NAME = re.compile(r"- `(nr\.\w+|noria(?:\.\w+)+)`")
PUBLIC = ("noria", "noria.llm")  # the modules whose names are promised: a class is what it takes, elsewhere what it has
NAMES = r"[a-z_]\w*(?:, [a-z_]\w*)*"
USUAL = "Any Callable Collection Iterable Literal Mapping NDArray Path Sequence datetime timedelta np pa pd float64 int64 Array DataFrame"
KNOWN = {*noria.__all__, *vars(builtins), *USUAL.split(), "Dataset", "OpenProject", "StoredTable", "TrainingRows", "Result"}


def groups(page: str) -> dict[str, list[str]]:
    """The sections of `docs/api.md` with the names that their lists begin with: `nr.Table`, or the whole path of what is no public name."""
    sections = re.split(r"^## (.+)$", page, flags=re.MULTILINE)[1:]
    found = {}
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        found[title] = [match[1] for line in body.splitlines() if (match := NAME.match(line))]
    return found


def api_pages(page: str, errors: str) -> dict[str, str]:
    """Path → text of the page of each group. page: `docs/api.md`; errors: `docs/errors.md`, to which names of errors are linked."""
    links = {name: (code, anchor(code, name)) for code, name in re.findall(r"^### (NR-\d+) (\w+)$", errors, re.MULTILINE)}
    found = {}
    for title, names in groups(page).items():
        [said] = re.findall(rf"^## {title}\n(.*?)(?=^- )", page, re.MULTILINE | re.DOTALL)
        parts = [f"# {title}", said.strip(), *(entry(name, links) for name in names)]
        found[f"docs/api/{re.sub(r'[^a-z]+', '-', title.lower())}.md"] = "\n\n".join(parts) + "\n"
    return found


def entry(path: str, links: dict[str, tuple[str, str]]) -> str:
    """One name: its signature, what it is, its parameters, and, of what is not public itself, its attributes and methods."""
    owner, name = resolve(path)
    thing = getattr(owner, name)
    links = {**links, **errors_beside(thing)}
    module = "noria" if path.startswith("nr.") else path.rpartition(".")[0]
    public = module in PUBLIC
    kind = "class" if inspect.isclass(thing) else "function" if callable(thing) else "data"
    body = [text_of(thing, links, whole=public or kind == "function")] if kind != "data" else [noria_data(name)]
    if kind == "class" and not public:
        body += [member(thing, each, links) for each in members(thing)]
    signature = signature_of(thing) if kind != "data" and (public or kind == "function") else ""
    return directive(f"py:{kind}", f"{name}{signature}", "\n\n".join(body), module)


def anchor(code: str, name: str) -> str:
    return f"{code}-{name}".lower()


def errors_beside(thing: Any) -> dict[str, tuple[str, str]]:
    """The errors that the module of a thing knows: two may have one name."""
    found = vars(inspect.getmodule(thing) or noria).items()
    kinds = {
        name: kind.code for name, kind in found if inspect.isclass(kind) and issubclass(kind, noria.NoriaError) and "NR-0" not in kind.code
    }
    return {name: (code, anchor(code, name)) for name, code in kinds.items()}


def resolve(path: str) -> tuple[Any, str]:
    if path.startswith("nr."):
        return noria, path.removeprefix("nr.")
    module, _, name = path.rpartition(".")
    return importlib.import_module(module), name


def noria_data(name: str) -> str:
    """What a public name that is a plain value means; such a value has no docstring."""
    module = inspect.getsource(importlib.import_module(next(home for home, names in noria._HOMES.items() if name in names) + ".table"))
    [said] = re.findall(rf"^{name} = .+?#\s*(.+)$", module, re.MULTILINE)
    return str(said)


def directive(kind: str, signature: str, body: str, module: str = "", level: int = 5) -> str:
    option = f":module: {module}\n" if module else ""
    return f"{':' * level}{{{kind}}} {signature}\n{option}\n{body}\n{':' * level}"


def signature_of(thing: Any) -> str:
    """Names and defaults; the types stand with the parameters."""
    if isinstance(thing, type) and getattr(thing, "_is_protocol", False) and "__init__" not in vars(thing):
        return ""
    found = inspect.signature(thing)
    bare = [each.replace(annotation=each.empty, default=shown_default(each.default)) for each in found.parameters.values()]
    return str(found.replace(parameters=bare, return_annotation=found.empty))


class Shown:
    """A default as a page shows it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def shown_default(value: Any) -> Any:
    if value is inspect.Parameter.empty:
        return value
    text = repr(value)
    return Shown("…" if text.startswith("<") else text)


def text_of(thing: Any, links: dict[str, tuple[str, str]], *, whole: bool = True) -> str:
    """A docstring as Markdown: prose, and a field for each parameter. whole: also for those of which it says nothing"""
    types = types_of(thing)
    prose, fields = parts_of(inspect.getdoc(thing) or "", set(types))
    told = {name: words for names, words in fields for name in names}
    rows = [field(name, kind, told.get(name, "")) for name, kind in types.items() if whole or name in told]
    parts = [linked_errors(prose[0], links) if prose else "", linked_errors("\n".join(rows), links)]
    return "\n\n".join([part for part in (*parts, *(linked_errors(each, links) for each in prose[1:])) if part])


def field(name: str, kind: str, words: str = "") -> str:
    return f":param {name}: " + (f"`{kind}`: {words}".removesuffix(": ") if kind else words)


def types_of(thing: Any) -> dict[str, str]:
    """Parameters and their types, as code; the attributes of what is made elsewhere."""
    try:
        found = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {
        each.name: "" if each.annotation is each.empty else code(each.annotation)
        for each in found
        if each.name not in ("self", "args", "kwargs")
    }


def code(annotation: Any) -> str:
    """A type as it is written; nothing where it is made of names that a reader can't know."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    unknown = set(re.findall(r"[A-Za-z_]\w*", re.sub(r"""(["']).*?\1""", "", text))) - KNOWN
    return "" if unknown else text


def parts_of(text: str, known: set[str]) -> tuple[list[str], list[tuple[list[str], str]]]:
    """A docstring's paragraphs of prose, and its lines `name, other: words`, each with what is indented below it."""
    prose, fields = [], []
    for paragraph in re.split(r"\n\s*\n", text):
        if paragraph.lstrip().startswith(">>>"):
            prose.append(f"```pycon\n{paragraph}\n```")
            continue
        kept, current = [], None
        for line in split_up(paragraph, known):
            match = re.match(rf"({NAMES}): (.+)", line)
            if match and set(match[1].split(", ")) <= known:
                current = (match[1].split(", "), [match[2]])
                fields.append(current)
            elif current is not None:
                current[1].append(line.strip())
            else:
                kept.append(line)
        if kept:
            prose.append("\n".join(kept))
    described = []
    for names, words in fields:
        text, raises, errors = " ".join(words).partition(" Raises `")
        described.append((names, text.rstrip(".;") if raises else text))
        prose += [f"Raises `{errors}"] if raises else []
    return prose, described


def split_up(paragraph: str, known: set[str]) -> Iterator[str]:
    """Lines, where `…; name: …` begins one of its own if it is a parameter that is described there."""
    joined = re.sub(r"\n {4,}", " ", paragraph)
    for line in joined.splitlines():
        pieces = re.split(rf"(?:;|(?<=[.])) (?=(?:{'|'.join(map(re.escape, sorted(known))) or '$^'})(?:, \w+)*: )", line)
        yield from pieces


def linked_errors(text: str, links: dict[str, tuple[str, str]]) -> str:
    def link(match: re.Match[str]) -> str:
        code, anchor = links[match[1]]
        return f"[`{match[1]}` ({code})](../errors.md#{anchor})"

    return re.sub(rf"`({'|'.join(links)})`", link, text) if links else text


def members(kind: type) -> Iterator[str]:
    """The attributes and methods that a class says something of, in the order in which they are written."""
    for base in reversed([each for each in kind.__mro__ if each.__module__.startswith("noria")]):
        for name, value in vars(base).items():
            wrapped = getattr(value, "fget", None) or getattr(value, "func", None) or value
            if not name.startswith("_") and (inspect.isfunction(wrapped) or isinstance(value, property)):
                yield name


def member(kind: type, name: str, links: dict[str, tuple[str, str]]) -> str:
    value = inspect.getattr_static(kind, name)
    function = getattr(value, "fget", None) or getattr(value, "func", None)
    if function is not None:
        answers = inspect.signature(function).return_annotation
        text = linked_errors(inspect.getdoc(function) or "", links)
        return directive("py:attribute", name, (f"`{code(answers)}`: {text}" if code(answers) else text).removesuffix(": "), level=4)
    parameters = list(inspect.signature(value).parameters.values())[1:]
    bare = [each.replace(annotation=each.empty, default=shown_default(each.default)) for each in parameters]
    return directive("py:method", name + str(inspect.Signature(bare)), text_of(value, links), level=4)
