"""Runs in NannyML's own environment: the days on which it alerts with its defaults. `python nannyml_peer.py FILE DAY`, JSON out."""

from __future__ import annotations

import json
import os
import sys
import time
import warnings

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
warnings.filterwarnings("ignore")


def days(result) -> list[str]:
    """The days of the analysis on which anything of a result alerts."""
    table = result.filter(period="analysis").to_df()
    alerts = table[[column for column in table.columns if column[-1] == "alert"]].any(axis=1)
    starts = table[("chunk", "start_date")] if ("chunk", "start_date") in table.columns else table[("chunk", "chunk", "start_date")]
    return [str(day)[:10] for day in starts[alerts]]


def main(path: str, reference_until: str) -> None:
    import nannyml as nml
    import pandas as pd

    rows = pd.read_parquet(path)
    reference, analysis = rows[rows["timestamp"] < reference_until], rows[rows["timestamp"] >= reference_until]
    inputs = [c for c in rows.columns if c not in ("id", "repaid", "timestamp", "y_pred", "y_pred_proba")]
    common = {"timestamp_column_name": "timestamp", "chunk_period": "D"}
    model = {"y_pred_proba": "y_pred_proba", "y_pred": "y_pred", "y_true": "repaid", "problem_type": "classification_binary"}
    begun = time.perf_counter()
    made = {
        "drift of each column": nml.UnivariateDriftCalculator(column_names=[*inputs, "y_pred_proba"], **common),
        "realized AUC": nml.PerformanceCalculator(metrics=["roc_auc"], **model, **common),
        "estimated AUC": nml.CBPE(metrics=["roc_auc"], **model, **common),
    }
    alerts = {}
    for name, calculator in made.items():
        calculator.fit(reference)
        done = calculator.estimate(analysis) if hasattr(calculator, "estimate") else calculator.calculate(analysis)
        alerts[name] = days(done)
    print(json.dumps({"seconds": time.perf_counter() - begun, "alerts": alerts}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
