"""`noria top`: a running server as it is this second, on a terminal."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping
from typing import Any

from noria.core.clock import Stopwatch
from noria.core.errors import OutsideWorld
from noria.serving.load import NobodyThere
from noria.serving.observe.metrics import ROWS, SECONDS, Histogram

PERIOD_SECONDS = 1.0
STAGES = {"wait_seconds": "waits", "lookup_seconds": "looks up", "score_seconds": "scores", "commit_seconds": "commits"}


class NotTold(OutsideWorld):
    """The admin port answers, but does not say how the server is."""

    code = "NR-542"

    def __init__(self, url: str, status: int, text: str) -> None:
        super().__init__(
            what="the server does not report its status", where=f"{url}: {status} {text[:200]}", fix="pass a key with the role read: --key"
        )


def look_once(url: str, key: str | None) -> dict[str, Any]:
    """A second of a server's life, as plain data. Raises `NobodyThere` or `NotTold`."""
    before, watch = _status(url, key), Stopwatch()
    time.sleep(PERIOD_SECONDS)
    return between(before, _status(url, key), watch.seconds)


def watch(url: str, key: str | None) -> None:
    """Show every second's figures until Ctrl-C."""
    from rich.live import Live

    before, since = _status(url, key), Stopwatch()
    with Live(_picture(between(before, before, 1.0), url), refresh_per_second=4, screen=False) as live:
        while True:
            time.sleep(PERIOD_SECONDS)
            now = _status(url, key)
            live.update(_picture(between(before, now, since.seconds), url))
            before, since = now, Stopwatch()


def between(before: Mapping[str, Any], now: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """What happened between two looks at a server's state, by endpoint, its workers taken together."""
    names = sorted({e["endpoint"] for state in now["workers"].values() for e in state["endpoints"]})
    errors = _errors(now) - _errors(before)
    return {
        "health": now["health"],
        "why": now["why"],
        "degraded": now["degraded"],
        "restarts": now["restarts"],
        "workers": len(now["workers"]),
        "connections": sum(state["connections"] for state in now["workers"].values()),
        "errors_a_second": {code: count / seconds for code, count in errors.items()},
        "endpoints": [_endpoint(name, before, now, seconds) for name in names],
    }


def _endpoint(name: str, before: Mapping[str, Any], now: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    counts = _counts(now, name) - _counts(before, name)
    answers = _histogram(before, now, name, "answer_seconds", SECONDS)
    parts = [e for state in now["workers"].values() for e in state["endpoints"] if e["endpoint"] == name]
    rows = _histogram(before, now, name, "batch_rows", ROWS)
    return {
        "endpoint": name,
        "bundles": sorted({e["bundle"] for e in parts}),
        "requests_a_second": counts["requests"] / seconds,
        "rows_a_second": counts["answered"] / seconds,
        "failed_a_second": counts["failed"] / seconds,
        "fallbacks_a_second": counts["fallbacks"] / seconds,
        "waiting_rows": sum(e["waiting"] for e in parts),
        "batch_rows": rows.total / sum(rows.counts) if sum(rows.counts) else None,
        "p50_ms": _ms(answers, 0.5),
        "p99_ms": _ms(answers, 0.99),
        "stages_p99_ms": {word: _ms(_histogram(before, now, name, stage, SECONDS), 0.99) for stage, word in STAGES.items()},
        "feature_age_seconds": max((e["feature_age_seconds"] for e in parts if e["feature_age_seconds"] is not None), default=None),
    }


def _counts(state: Mapping[str, Any], name: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for worker in state["workers"].values():
        for e in worker["endpoints"]:
            if e["endpoint"] == name:
                found.update(e["counts"])
    return found


def _errors(state: Mapping[str, Any]) -> Counter[str]:
    found: Counter[str] = Counter()
    for worker in state["workers"].values():
        found.update(worker["errors"])
    return found


def _histogram(before: Mapping[str, Any], now: Mapping[str, Any], name: str, measure: str, bounds: tuple[float, ...]) -> Histogram:
    """What a histogram of all workers gained; a worker that was started anew begins at nothing."""
    found = Histogram(bounds)
    for state, sign in ((now, 1), (before, -1)):
        for worker in state["workers"].values():
            for e in worker["endpoints"]:
                if e["endpoint"] == name:
                    found.counts = [a + sign * b for a, b in zip(found.counts, e["measures"][measure]["counts"], strict=True)]
                    found.total += sign * e["measures"][measure]["total"]
    found.counts = [max(count, 0) for count in found.counts]
    return found


def _ms(histogram: Histogram, share: float) -> float | None:
    """An upper bound of a quantile in milliseconds; None where nothing happened."""
    value = histogram.quantile(share)
    return None if not sum(histogram.counts) or value == float("inf") else 1e3 * value


def _status(url: str, key: str | None) -> dict[str, Any]:
    request = urllib.request.Request(f"{url}/status", headers={"authorization": f"Bearer {key}"} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            found: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as error:
        raise NotTold(url, error.code, error.read().decode("utf-8", "replace")) from error
    except OSError as error:
        raise NobodyThere(url, str(error)) from error
    return found


def _picture(found: Mapping[str, Any], url: str) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from noria.cli.render import MARKS

    head = Text.from_markup(
        f"{MARKS[found['health']]} {found['health']}{': ' + found['why'] if found['why'] else ''}   [dim]{url}[/]   "
        f"{found['workers']} worker{'s' * (found['workers'] != 1)}, {found['restarts']} restarts, {found['connections']:,} connections"
    )
    parts: list[Any] = [head]
    grid = Table(box=None, pad_edge=False, header_style="dim")
    grid.add_column("endpoint")
    for column in ("requests/s", "failed/s", "p50 ms", "p99 ms", "batch", "queued"):
        grid.add_column(column, justify="right")
    for e in found["endpoints"]:
        failed = f"[red]{e['failed_a_second']:,.0f}[/]" if e["failed_a_second"] else "0"
        figures = [_cell(e["p50_ms"], "≤{:g}"), _cell(e["p99_ms"], "≤{:g}"), _cell(e["batch_rows"], "{:.1f}"), f"{e['waiting_rows']:,}"]
        grid.add_row(e["endpoint"], f"{e['requests_a_second']:,.0f}", failed, *figures)
    parts += [Text(""), grid, Text("")]
    for e in found["endpoints"]:
        stages = ", ".join(f"{word} {_cell(value, '≤{:g}')}" for word, value in e["stages_p99_ms"].items())
        age = "" if e["feature_age_seconds"] is None else f"; features {e['feature_age_seconds']:,.0f} s old"
        bundles = " and ".join(bundle[:12] for bundle in e["bundles"])
        parts.append(Text.from_markup(f"[dim]{e['endpoint']}[/]  {bundles}; batch p99 in ms: {stages}{age}"))
    lines = [Text.from_markup(f"[yellow]degraded[/] {trouble}") for trouble in found["degraded"]]
    lines += [Text.from_markup(f"[red]{code}[/] {rate:,.1f}/s") for code, rate in found["errors_a_second"].items() if rate]
    return Group(*parts, *lines)


def _cell(value: float | None, form: str) -> str:
    return "[dim]–[/]" if value is None else form.format(value)
