"""Feast's DuckDB offline store on the same work; runs in Feast's own environment. Prints {"seconds", "rows"} as JSON.

python peer_feast.py ROWS ENTITIES
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd

ROWS, ENTITIES = int(sys.argv[1]), int(sys.argv[2])
START, SPAN = pd.Timestamp("2023-11-14T22:13:20Z"), 90 * 86_400 * 1_000_000
FEATURES = [f"v{i}" for i in range(10)]


def events() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    happened = START + pd.to_timedelta(np.sort(rng.integers(0, SPAN, ROWS)), unit="us")
    columns = {"entity": rng.integers(0, ENTITIES, ROWS), "happened": happened, "known": happened + pd.Timedelta(minutes=1)}
    return pd.DataFrame({**columns, **{name: rng.normal(size=ROWS) for name in FEATURES}})


def spine() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {"entity": rng.integers(0, ENTITIES, ROWS), "event_timestamp": START + pd.to_timedelta(rng.integers(0, SPAN, ROWS), unit="us")}
    )


def main() -> None:
    os.environ["FEAST_USAGE"] = "False"
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
    from feast.types import Float64
    from feast.value_type import ValueType

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "events.parquet"
        events().to_parquet(path)
        config = RepoConfig(
            project="peer",
            provider="local",
            registry=str(Path(scratch) / "registry.db"),
            offline_store={"type": "duckdb"},
            online_store={"type": "sqlite", "path": str(Path(scratch) / "online.db")},
            entity_key_serialization_version=3,
        )
        store = FeatureStore(config=config)
        entity = Entity(name="entity", join_keys=["entity"], value_type=ValueType.INT64)
        source = FileSource(path=str(path), timestamp_field="happened", created_timestamp_column="known")
        view = FeatureView(
            name="latest", entities=[entity], ttl=timedelta(days=7), source=source, schema=[Field(name=n, dtype=Float64) for n in FEATURES]
        )
        store.apply([entity, view])
        asked = spine()
        start = time.perf_counter()
        found = store.get_historical_features(asked, features=[f"latest:{n}" for n in FEATURES]).to_df()
        print(json.dumps({"seconds": time.perf_counter() - start, "rows": len(found)}))


main()
