"""Long work is never silent: it says before it begins how much there is, and while it says nothing, that it is still at it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from noria.cli import progress
from noria.cli.progress import watching
from noria.core.progress import Progress
from noria.loop.comparison import MANY_TICKS, _announced
from noria.loop.replay import Span

START = datetime(2014, 1, 1, tzinfo=UTC)


def test_work_that_says_nothing_is_said_to_be_still_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SILENT_SECONDS", 0.01)
    said, enough = list[str](), threading.Event()

    def say(text: str) -> None:
        said.append(text)
        enough.set()

    with progress._still(lambda _: None, say) as tell:
        tell(Progress("train", "fitting on 7 rows"))
        assert enough.wait(60)
    assert said[0].startswith("train: still fitting on 7 rows, for 0 s")


def test_shares_grow_in_sight_and_quiet_work_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    with watching(quiet=False) as tell:
        tell(Progress("replay", "5 Jan 2014", track="loop", share=0.00123))
        tell(Progress("replay", "9 May 2019", track="loop", share=0.5))
    assert capsys.readouterr().err == "replay: loop 5 Jan 2014 0.12%\nreplay: loop 9 May 2019 50%\n"
    with watching(quiet=True) as tell:
        tell(Progress("replay", "begin"))
    assert capsys.readouterr().err == ""


def test_a_replay_of_many_ticks_says_so_before_it_begins() -> None:
    days = Span(START, START + timedelta(days=300))
    assert _announced(days, timedelta(days=1), 3) == ["1 Jan 2014 to 28 Oct 2014, 300 ticks of 1d, 3 policies side by side"]
    minutes = _announced(Span(START, START + timedelta(days=3_652)), timedelta(minutes=1), 3)
    assert "5,258,880 ticks of 1m" in minutes[0]
    assert "a longer `tick` in [loop]" in minutes[1]
    assert MANY_TICKS < 5_258_880
