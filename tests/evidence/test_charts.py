"""Charts: their data is in the page once, no text of data gets out of it, and without a script the lines are still there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from noria.evidence.charts import Mark, bars, heatmap, seconds, timeline
from noria.evidence.line_chart import Band, Line, line_chart, times
from noria.evidence.page import page
from pages import stands_alone

STARTS = [f"2024-01-0{day}T00:00:00+00:00" for day in range(1, 6)]
HOSTILE = "</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>"


def test_charts_of_nothing_and_of_constants_are_drawn() -> None:
    assert "<svg" in line_chart([Line("a", "loop", [])], [])
    assert "<svg" in line_chart([Line("a", "loop", [1.0])], STARTS[:1])
    assert "<svg" in line_chart([Line("a", "loop", [1.0, 1.0, None])], STARTS[:3])
    assert "<svg" in heatmap([], [], [], most=1.0)
    assert "<svg" in timeline([], [("train", "trained")], [])


def test_no_text_of_data_gets_out_of_a_chart() -> None:
    marks = [Mark(seconds(STARTS[1]), "bad", HOSTILE, HOSTILE)]
    chart = line_chart(
        [Line(HOSTILE, "loop", [1.0] * 5)], STARTS, unit=HOSTILE, marks=marks, bands=[Band(HOSTILE, "loop", [(0.0, 1.0)] * 5)]
    )
    others = heatmap([HOSTILE], STARTS, [[1.0] * 5], most=1.0) + timeline(marks, [("bad", HOSTILE)], STARTS) + bars([HOSTILE], [1.0], [1.0])
    (told,) = stands_alone(page(HOSTILE, HOSTILE, HOSTILE, [chart, others])).data
    assert told["lines"][0]["name"] == told["unit"] == told["marks"][0]["title"] == told["bands"][0]["name"] == HOSTILE


def test_data_is_short_and_gaps_stay_gaps() -> None:
    lines = [Line("a", "loop", [0.123456789, None, 2.0, 1234567.8, float("inf")]), Line("b", "bad", 0.5)]
    (told,) = stands_alone(page("t", "h", "", [line_chart(lines, STARTS)])).data
    assert told["x"] == {"first": 1704067200.0, "step": 86400.0, "count": 5}
    assert [line["values"] for line in told["lines"]] == [[0.12346, None, 2, 1234568, None], 0.5]
    (uneven,) = stands_alone(page("t", "h", "", [line_chart(lines[1:], [*STARTS[:2], STARTS[4]])])).data
    assert uneven["x"] == [seconds(STARTS[i]) for i in (0, 1, 4)]


def test_without_scripts_a_line_has_its_gaps_and_a_point_by_itself_is_a_dot() -> None:
    chart = line_chart([Line("a", "loop", [1.0, 2.0, None, 3.0, None])], STARTS)
    (drawn,) = re.findall(r'class="line loop" d="([^"]*)"', chart)
    assert [len(part.split()) for part in drawn.split("M")[1:]] == [2, 2]
    assert len(set(drawn.split("M")[2].split())) == 1


def test_marks_and_lines_share_one_axis_of_time() -> None:
    starts = [STARTS[0], STARTS[1], STARTS[4]]  # not evenly spaced
    chart = line_chart([Line("a", "loop", [1.0, 2.0, 3.0])], starts, marks=[Mark(seconds(STARTS[1]), "bad", "t")])
    (points,) = re.findall(r'class="line loop" d="M([^"]*)"', chart)
    first, second, last = (float(point.split(",")[0]) for point in points.split())
    assert (second - first) / (last - first) == pytest.approx(0.25, abs=0.001)
    assert f'x1="{second}"' in chart


def test_evidence_stands_on_a_scale_whose_zero_is_the_alarm() -> None:
    assert times(100.0, 100.0) == 0
    assert times(10.0, 100.0) == pytest.approx(-1)
    assert times(0.0, 100.0) == -2.5
    assert times(1e300, 1e-3) == 3.5


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_browser_draws_the_charts_under_the_policy_of_the_page(tmp_path: Path) -> None:
    marks = [Mark(seconds(STARTS[1]), "bad", "title", "caption")]
    band = Band("interval", "loop", [(0.0, 2.0)] * 5)
    charts = [
        line_chart(
            [Line("each <window>", "loop", [1.0, None, 3.0, 2.0, 1.0]), Line("limit", "bad", 2.5)], STARTS, marks=marks, bands=[band]
        ),
        line_chart([Line("evidence", "loop", [-1.0, 0.5, 1.0, -2.5, 0.0])], STARTS, scale="times"),
        line_chart([Line("one", "loop", [1.0])], STARTS[:1], unit="min"),
        line_chart([Line("none", "loop", [])], []),
    ]
    (tmp_path / "page.html").write_text(page("t", "h", "", charts))
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom")
    dom = subprocess.run(
        ["chromium", *options, (tmp_path / "page.html").as_uri()], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert dom.count('class="chart live"') == 4
    read = re.sub(r"<[^>]*>", " ", dom[dom.index("u-legend") :])
    for words in ("5 Jan 2024", "0 to 2", "each &lt;window&gt;", "2.5", "1.0 times the threshold", "1 min"):
        assert words in read
