"""A training says how good its candidate is on days it has not seen, and of each gate what it said, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from noria.cli.exits import ended
from noria.cli.main import command
from noria.evidence.training import lines
from projects import edit


def noria(folder: Path, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    assert ended(command, [*words, "--project", str(folder)]) == code
    done = capsys.readouterr()
    return done.out, done.err


def test_a_training_tells_its_quality_and_what_each_gate_said(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    returns = pq.read_table(shop / "data" / "returns.parquet")
    outcomes = np.where(np.arange(returns.num_rows) < 0.85 * returns.num_rows, returns.column("returned").to_numpy(), 0)
    at = returns.schema.get_field_index("returned")
    pq.write_table(returns.set_column(at, "returned", pa.array(outcomes)), shop / "data" / "returns.parquet")  # the holdout has one class
    noria(shop, capsys, "ingest", "--json")
    out, err = noria(shop, capsys, "train")
    assert "unseen rows, 0.0% of them positive" in out
    assert "log_loss: candidate 0." in out
    assert "auc" not in out  # there is none, of one class
    assert "gate passed: beats champion in log_loss by -0.2 (there is no champion yet)" in out
    told = [line.removeprefix("train: ").split(" ")[0] for line in err.splitlines()]
    assert [word for word in told if word != "still"] == ["joining", "fitting", "fitting", "evaluating,"]
    first, second = json.loads(noria(shop, capsys, "train", "--json")[0])
    assert (first["action"], second["action"]) == ("train", "refuse")
    assert [gate["outcome"] for gate in first["trained"]["gates"]] == ["unknown", "unknown"]
    assert "may have seen all" in first["trained"]["gates"][0]["why"]
    assert first["trained"]["gates"][0]["why"] in second["reason"]
    assert first["trained"]["holdout_rows"] == 542
    assert first["trained"]["champion"] is None
    assert first["trained"]["run"]
    compared = first["trained"]["compared"]
    assert "may have seen all" in compared["lost"]
    assert sum(compared["importance"].values()) == pytest.approx(1)
    mean, lower, upper = compared["bounds"]["log_loss"]
    assert lower < mean < upper
    assert mean == pytest.approx(first["trained"]["candidate"]["log_loss"])
    assert compared["constant"]["log_loss"] > 0


def test_a_gate_over_a_column_that_is_not_there_is_found_by_check(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(shop / "shop.py", {'over=["city"]': 'over=["cty"]'})
    assert "did you mean 'city'" in noria(shop, capsys, "check", code=2)[1]


def test_figures_of_candidate_and_champion_stand_side_by_side() -> None:
    told: dict[str, Any] = {"holdout_rows": 1_200, "holdout_positives": 0.25, "gates": [], "task": {"name": "binary"}}
    told |= {"candidate": {"log_loss": 0.4, "auc": 0.75}, "champion": {"log_loss": 0.5}}
    told |= {"run": "r1", "reports": []}
    told["compared"] = {"bounds": {}, "gains": {}, "constant": {}, "importance": {}, "lost": ""}
    assert lines(told) == [
        "evaluated on 1,200 unseen rows, 25.0% of them positive",
        "log_loss: candidate 0.4000, champion 0.5000",
        "auc: candidate 0.7500",
        "no gates",
    ]
    told["compared"] = {
        "bounds": {"log_loss": [0.4, 0.35, 0.45]},
        "gains": {"log_loss": [0.1, 0.05, 0.15]},
        "constant": {"log_loss": 0.6},
        "importance": {"price": 0.2, "city": 0.7, "hour": 0.1},
        "lost": "",
    }
    assert lines(told)[1:4] == [
        "log_loss: candidate 0.4000 (0.3500 to 0.4500), champion 0.5000, always the mean 0.6000, "
        "better than the champion by 0.1 (0.05 to 0.15)",
        "auc: candidate 0.7500",
        "most important: city 70%, price 20%, hour 10%",
    ]


def test_what_people_said_of_other_answers_is_no_figure_of_a_candidate() -> None:
    told: dict[str, Any] = {"holdout_rows": 32, "holdout_positives": 0.75, "gates": [], "task": {"name": "generation"}}
    told |= {"candidate": {"helpful": 0.78, "log_loss": 0.9}, "champion": None, "run": "r1", "reports": []}
    told["compared"] = {"bounds": {}, "gains": {}, "constant": {}, "importance": {}, "lost": ""}
    found = "\n".join(lines(told))
    assert "what people said of earlier answers: helpful 0.7800" in found
    assert "log_loss" not in found
