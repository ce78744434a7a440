"""What `noria` and `noria status` print: what is wrong first, then what runs, then the rest in a line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.markup import escape

from noria.cli.render import MARKS, console, grid
from noria.evidence.problems import said


def show_status(found: Mapping[str, Any]) -> None:
    """The project at a glance. found: as `evidence.status` gives it"""
    out = console()
    health = found["health"]
    told = (
        escape(health.get("cause") or health.get("why") or "")
        or f"{len(found['endpoints'])} endpoints, {len(found['conservation'])} sums hold"
    )
    out.print(f"[bold]{escape(found['project'])}[/]  [dim]{escape(found['folder'])}[/]")
    count = len(found["incidents"])
    if count:
        mark = MARKS["unknown" if all(each["acknowledged_by"] for each in found["incidents"]) else "unhealthy"]
        out.print(f"{mark} {count} open incident{'s' * (count > 1)}; right now {health['health']}: {told}")
    else:
        out.print(f"{MARKS[health['health']]} {health['health']}: {told}")
    _incidents(out, found["incidents"])
    _running(out, found["stages"], datetime.fromisoformat(found["at"]))
    for endpoint in found["endpoints"]:
        _endpoint(out, endpoint)
    if found["tables"]:
        _tables(out, found["tables"])
    _sums(out, found["conservation"])
    out.print(f"\nnext: [bold]{found['next']}[/]")


def _incidents(out: Any, incidents: Sequence[Mapping[str, Any]]) -> None:
    for incident in incidents:
        more = f" [dim](+ {incident['findings'] - 1} more findings)[/]" if incident["findings"] > 1 else ""
        who = f" [dim]acknowledged by {escape(incident['acknowledged_by'])}[/]" if incident["acknowledged_by"] else ""
        since = f"since {incident['since'][:16].replace('T', ' ')}" + (f", {incident['strength']}" if incident["strength"] else "")
        out.print(f"\n[red]{incident['severity']}[/] {escape(incident['endpoint'])}: {escape(incident['summary'])}{more}{who}")
        if incident["fix"]:
            out.print(f"     [bold]→[/] {escape(incident['fix'])}")
        out.print(f"     {since}; [bold]{escape(incident['next'])}[/]")


def _running(out: Any, stages: Sequence[Mapping[str, Any]], now: datetime) -> None:
    if not stages:
        out.print("\nrunning: [dim]no server and no loop has run here[/]")
        return
    said = []
    for stage in stages:
        ago = _ago((now - datetime.fromisoformat(stage["at"])).total_seconds())
        said.append(f"[red]{stage['stage']} is silent for {ago}[/]" if stage["stalled"] else f"{stage['stage']} [dim]{ago} ago[/]")
    out.print("\nrunning: " + ", ".join(said))


def _ago(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _endpoint(out: Any, e: Mapping[str, Any]) -> None:
    if e["champion"] is None:
        out.print(f"\nendpoint [bold]{e['name']}[/]: [yellow]unknown[/], {escape(e['health']['why'])}")
        return
    out.print(
        f"\nendpoint [bold]{e['name']}[/]: champion {e['champion'][:12]} since {e['since'][:10]}, "
        + (f"trained as of {e['trained_as_of'][:10]}" if e["trained_as_of"] else f"from {escape(e['file'])}")
        + (f"; {e['challenger'][:12]} on trial" if e["challenger"] else "")
    )
    if e.get("shadow"):
        out.print(f"  {escape(_shadow(e['shadow']))}", highlight=False)
    for report in e["reports"]:
        out.print(f"  [dim]{escape(report['title'])}: {escape(report['path'])}[/]")
    if e["history"]:
        out.print(f"  [cyan]history[/] replayed until {e['history']['until'][:10]}; nothing has happened since")
    for m in sorted(e["monitors"], key=lambda m: ("unhealthy", "unknown", "healthy").index(m["health"])):
        words = said(m) if m["health"] == "healthy" else f"{m['health']}: {said(m)}"
        out.print(f"  {MARKS[m['health']]} {m['monitor']}: {escape(words)}")
    for d in e["decisions"]:
        out.print(f"  [dim]{d['time'][:10]}[/] {d['action']:<8} {escape(d['reason'])}")


def _shadow(shadow: Mapping[str, Any]) -> str:
    """What a shadow or an A/B test says so far; of a shadow of answers, that outcomes are not used."""
    told = "; outcomes of the champion's answers are not used" if "outcomes" in shadow.get("seen", {}) else ""
    return f"its trial says {shadow['verdict']}: {shadow['why']}{told}"


def _tables(out: Any, tables: Sequence[Mapping[str, Any]]) -> None:
    shown = grid("table", "version", "rows", "quarantined")
    for t in tables:
        rows = "never ingested" if t["rows"] is None else f"{t['rows']:,}"
        bad = f"{t['quarantined']:,}" + (f" ({escape('; '.join(t['reasons']))})" if t["reasons"] else "")
        shown.add_row(t["name"], "" if t["version"] is None else str(t["version"]), rows, bad)
    out.print(shown)


def _sums(out: Any, sums: Sequence[Mapping[str, Any]]) -> None:
    """That all rows are accounted for; each sum that is broken. All of them are in `--json`."""
    broken = [s for s in sums if not s["holds"]]
    if sums and not broken:
        out.print(f"[green]✓[/] rows in = rows out, in all {len(sums)} sums")
    for s in broken:
        rows_out = " + ".join(f"{count:,} {name}" for name, count in s["rows_out"].items())
        out.print(f"[red]✗ rows are missing[/]  {s['stage']}: {s['rows_in']:,} ≠ {rows_out}")
