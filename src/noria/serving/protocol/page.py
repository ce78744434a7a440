"""The OpenAPI document as a page for people: an entry for each path, without any script."""

from __future__ import annotations

import json
from functools import cache
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

Json = dict[str, Any]


@cache
def _style() -> str:
    return Path(__file__).with_name("page.css").read_text()


def page(found: Json, url: str) -> str:
    """The document as HTML: an entry for each path, an example to paste for each that is asked with a body."""
    models = [path for path in found["paths"] if path.startswith("/predict/") and path.count("/") == 2]
    sections = [(unquote(path.split("/")[2]), _of_endpoint(found["paths"], path.split("/")[2])) for path in models]
    taken = {path for _, part in sections for path in part}
    sections.append(("The server", {path: item for path, item in found["paths"].items() if path not in taken}))
    body = "".join(
        f"<h2>{escape(title)}</h2>"
        + "".join(_entry(path, method, op, url) for path, item in part.items() for method, op in item.items() if method in ("get", "post"))
        for title, part in sections
    )
    info = found["info"]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])}</title><style>{_style()}</style><h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f'<p>{escape(info["description"])} <a href="/openapi.json">openapi.json</a></p>{body}{_refusals(found)}</html>'
    )


def _refusals(found: Json) -> str:
    """What any answer but 200 means: the same for all paths."""
    operation = next(op for item in found["paths"].values() for method, op in item.items() if method in ("get", "post"))
    rows = "".join(f"<tr><td>{s}<td>{escape(answer['description'])}" for s, answer in operation["responses"].items() if s != "200")
    words = "The body of an error says what happened, where, and how to fix it, and has a stable error code."
    return f"<h2>Errors</h2><p>{words}</p><table>{rows}</table>"


def _of_endpoint(paths: Json, name: str) -> Json:
    roots = (f"/predict/{name}", f"/v2/models/{name}")
    return {path: item for path, item in paths.items() if any(path == root or path.startswith(f"{root}/") for root in roots)}


def _entry(path: str, method: str, operation: Json, url: str) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    kinds = f"<p>accepts {escape(', '.join(content))}</p>" if content else ""
    example = f"<pre>{escape(_example(path, content['application/json']['schema'], url))}</pre>" if "application/json" in content else ""
    return (
        f'<details><summary><b class="{method}">{method.upper()}</b><code>{escape(path)}</code><span>{escape(operation["summary"])}</span>'
        f"</summary><div>{kinds}{example}</div></details>"
    )


def _example(path: str, schema: Json, url: str) -> str:
    return f"curl {url}{path} -d '{json.dumps(_sample(schema))}'"


def _sample(schema: Json) -> Any:
    """The simplest value of a schema of ours."""
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return _sample(schema["anyOf"][0])
    kind = schema.get("type")
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: _sample(properties[name]) for name in schema.get("required", ())}
    if kind == "array":
        return [_sample(schema["items"])] if "items" in schema else []
    return 1 if kind == "integer" else "" if kind == "string" else 0.5
