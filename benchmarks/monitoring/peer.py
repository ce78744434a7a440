"""Runs in a peer's own environment: which windows of a file does it flag with its defaults? `python peer.py NAME FILE`, JSON out.

The file has, by case, a reference `(rows, columns)` and windows `(windows, rows, columns)`; the last column has categories.
"""

from __future__ import annotations

import json
import os
import sys
import warnings

import numpy as np

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
warnings.filterwarnings("ignore")


def frame(values):
    import pandas as pd

    found = pd.DataFrame(values, columns=[f"c{i}" for i in range(values.shape[1])])
    last = found.columns[-1]
    found[last] = "k" + found[last].astype(int).astype(str)
    return found


def evidently(reference, windows, *, share: bool = False):
    from evidently import Report
    from evidently.presets import DataDriftPreset

    flags = []
    for window in windows:
        result = json.loads(Report([DataDriftPreset()]).run(frame(window), frame(reference)).json())
        counted = next(m["value"] for m in result["metrics"] if "DriftedColumnsCount" in m.get("metric_name", m.get("metric_id", "")))
        flags.append(bool(counted["share"] >= 0.5 if share else counted["count"] >= 1))
    return flags


def evidently_half(reference, windows):
    return evidently(reference, windows, share=True)


def nannyml(reference, windows):
    import nannyml as nml

    size = len(windows[0])
    columns = [f"c{i}" for i in range(reference.shape[1])]
    calculator = nml.UnivariateDriftCalculator(column_names=columns, chunk_size=size)
    calculator.fit(frame(reference))
    found = calculator.calculate(frame(np.concatenate(windows))).to_df()
    alerts = [c for c in found.columns if c[-1] == "alert"]
    return [bool(v) for v in found[found[("chunk", "chunk", "period")] == "analysis"][alerts].any(axis=1)]


def alibi(reference, windows):
    from alibi_detect.cd import TabularDrift

    detector = TabularDrift(reference, p_val=0.05, categories_per_feature={reference.shape[1] - 1: None})
    return [bool(detector.predict(window)["data"]["is_drift"]) for window in windows]


def river(reference, windows):
    from river.drift import ADWIN

    detectors = [ADWIN() for _ in range(reference.shape[1])]
    for row in reference:
        for detector, value in zip(detectors, row, strict=True):
            detector.update(float(value) if np.isfinite(value) else 0.0)
    flags = []
    for window in windows:
        flagged = False
        for row in window:
            for detector, value in zip(detectors, row, strict=True):
                detector.update(float(value) if np.isfinite(value) else 0.0)
                flagged |= detector.drift_detected
        flags.append(flagged)
    return flags


PEERS = {"evidently": evidently, "evidently-half": evidently_half, "nannyml": nannyml, "alibi-detect": alibi, "river": river}

if __name__ == "__main__":
    name, path = sys.argv[1], sys.argv[2]
    data = np.load(path)
    found = {}
    for case in sorted({key.split("/")[0] for key in data.files}):
        try:
            found[case] = PEERS[name](data[f"{case}/reference"], list(data[f"{case}/windows"]))
        except Exception as error:  # noqa: BLE001 - a peer that fails on a case has failed on it
            found[case] = [f"{type(error).__name__}: {error}"[:200]]
    sys.stdout.write("\n" + json.dumps(found) + "\n")
