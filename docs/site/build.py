"""The documentation as a site: `python docs/site/build.py [FOLDER]` (default: build/docs).

The Markdown pages of the repository are laid out in `FOLDER/source` as they lie beside each other here, so that their links lead where they
lead on a code host; pages that are made from the code stand beside them; Sphinx makes `FOLDER/html` of both. Each warning is an error:
a link, an anchor or a reference that leads nowhere, a page that `docs/README.md` does not list, a block that is not in its language.
`FOLDER/external-links.txt` lists the addresses that pages lead to.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from reference import api_pages

SITE = Path(__file__).parent
ROOT = SITE.parents[1]
HOME, CONTENTS, API, DECISIONS = "README.md", "docs/README.md", "docs/api.md", "docs/adr/README.md"
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)(?=[)#])")
ADDRESS = re.compile(r"https?://[^\s)>\"'`]+")
PICTURE = re.compile(r'<picture>\s*<source [^>]*srcset="([^"]+)">\s*<img alt="([^"]+)" src="([^"]+)">\s*</picture>')


def main(out: Path) -> int:
    """Build the site; 0 if nothing is wrong with it."""
    source = out / "source"
    lay_out(source)
    from sphinx.cmd.build import main as sphinx

    strict = ["--fail-on-warning", "--keep-going", "--nitpicky", "--quiet", "--write-all"]
    code: int = sphinx(["-b", "html", "-c", str(SITE), "-d", str(out / "doctrees"), "-j", "auto", *strict, str(source), str(out / "html")])
    return code


def pages() -> list[str]:
    """The pages of the repository, as paths from its root."""
    found = [ROOT / HOME, *ROOT.glob("C*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/README.md")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def lay_out(source: Path) -> None:
    """Write what Sphinx reads. A file that is the same stays untouched, so that only what has changed is read again."""
    texts = {name: (ROOT / name).read_text() for name in pages()}
    made = api_pages(texts[API], texts["docs/errors.md"])
    texts[HOME] += contents(texts[CONTENTS])
    texts[API] += toctree("", [Path(name).name.removesuffix(".md") for name in made], "api/", shown=True)
    texts[DECISIONS] += toctree("", sorted(Path(name).stem for name in texts if re.match(r"docs/adr/\d", name)), shown=True)
    texts |= made
    written = {}
    for name, text in texts.items():
        written["index.md" if name == HOME else name] = linked(name, text)
        for target in files_of(name, text):
            copy(ROOT / target, source / target)
    for name, text in written.items():
        write(source / name, text)
    for path in source.glob("**/*.md"):
        if str(path.relative_to(source)) not in written:
            path.unlink()
    write(source.parent / "external-links.txt", external(texts))


def contents(text: str) -> str:
    """The tables of contents of the home page: a hidden one for each section of `docs/README.md`, of the pages that it links to."""
    sections = re.split(r"^## (.+)$", text, flags=re.MULTILINE)[1:]
    found = toctree("", [CONTENTS.removesuffix(".md")])
    for caption, body in zip(sections[::2], sections[1::2], strict=True):
        names = [os.path.normpath(f"docs/{target}").removesuffix(".md") for target in LINK.findall(body)]
        found += toctree(caption, names)
    return found


def toctree(caption: str, names: list[str], under: str = "", *, shown: bool = False) -> str:
    options = [":titlesonly:", ":maxdepth: 1"] + ([] if shown else [":hidden:"]) + ([f":caption: {caption}"] if caption else [])
    return "\n".join(["", "", "```{toctree}", *options, "", *(under + name for name in names), "```", ""])


def linked(page: str, text: str) -> str:
    """A page's text, with links to the same places within the site: a folder is its README, and the first README the home page."""

    def target(match: re.Match[str]) -> str:
        path = resolved(page, match[1])
        if (ROOT / path).is_dir():
            path = f"{path}/README.md"
        return os.path.relpath("index.md" if path == HOME else path, Path(page).parent)

    def both(match: re.Match[str]) -> str:
        dark, words, light = match.groups()
        return "\n\n".join(
            f'```{{image}} {path}\n:alt: "{words}"\n:class: only-{mode}\n```' for path, mode in ((light, "light"), (dark, "dark"))
        )

    return LINK.sub(target, PICTURE.sub(both, text))


def resolved(page: str, target: str) -> str:
    return os.path.normpath(Path(page).parent / target)


def files_of(page: str, text: str) -> Iterator[str]:
    """The files that are no pages and that a page links to or shows."""
    shown = [path for dark, _, light in PICTURE.findall(text) for path in (dark, light)]
    for target in [*LINK.findall(text), *shown]:
        path = resolved(page, target)
        if not path.endswith(".md") and (ROOT / path).is_file():
            yield path


def external(texts: dict[str, str]) -> str:
    found: dict[str, list[str]] = {}
    for name, text in sorted(texts.items()):
        for address in sorted(set(ADDRESS.findall(text))):
            if "127.0.0.1" not in address and "localhost" not in address:
                found.setdefault(address.rstrip(".,;"), []).append(name)
    return "".join(f"{address}\t{', '.join(names)}\n" for address, names in sorted(found.items()))


def write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists() or target.read_bytes() != path.read_bytes():
        shutil.copyfile(path, target)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/docs").resolve()))
