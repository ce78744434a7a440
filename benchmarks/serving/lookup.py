"""Features for two entities from an online store: the store, a bundle of the same definitions, and a worker that looks up.

python -m benchmarks.serving.lookup STORE SOCKET    a worker of the supervisor
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

import noria as nr
from benchmarks.serving.model import FEATURES, NAMES
from noria.data.ingest import push
from noria.features.feature_set import FeatureSet
from noria.features.lookup import EntityLookup
from noria.features.materialize import Materializer
from noria.serving.process.worker import run_worker
from noria.stores.online import LmdbStore
from noria.stores.tables import DeltaTables

ENTITIES = 10_000
AT = datetime(2024, 1, 2, tzinfo=UTC)
HALF = FEATURES // 2
SPINE = pa.schema([("user", pa.string()), ("item", pa.string())])


def _view(entity: str, features: list[str]) -> nr.FeatureView:
    table = nr.Table(f"{entity}s", nr.files("none.parquet"), key=(entity, "at"), event_time="at")
    return nr.FeatureView(f"by_{entity}", table, entity=entity, latest=features, ttl="9000d")


VIEWS = [_view("user", NAMES[:HALF]), _view("item", NAMES[HALF:])]
FEATURE_SET = FeatureSet("bench", nr.Table("asks", nr.files("none.parquet"), key="id", event_time="at"), VIEWS)


def make_store(folder: Path) -> Path:
    """Both entities' features, materialised."""
    tables, store = DeltaTables(folder / "tables"), LmdbStore(folder / "online")
    rng = np.random.default_rng(5)
    at = pa.array(np.full(ENTITIES, "2024-01-01", dtype="datetime64[us]")).cast(pa.timestamp("us", tz="UTC"))
    for view in VIEWS:
        columns = {view.entities[0]: [f"{view.entities[0]}{i}" for i in range(ENTITIES)], "at": at}
        push(view.table, tables, pa.table({**columns, **{name: rng.normal(size=ENTITIES) for name in view.features}}))
        Materializer(store, tables).run(view, AT)
    store.close()
    return folder / "online"


def write_entities(path: Path, count: int = 512) -> Path:
    rng = np.random.default_rng(6)
    asked = [{"entities": [{"user": f"user{u}", "item": f"item{i}"}]} for u, i in rng.integers(0, ENTITIES, (count, 2))]
    path.write_text("\n".join(json.dumps(one) for one in asked))
    return path


def opener(store: Path) -> Callable[[str], EntityLookup]:
    return lambda _endpoint, _bundle: EntityLookup(FEATURE_SET, LmdbStore(store), SPINE)


if __name__ == "__main__":
    run_worker(int(sys.argv[2]), opener(Path(sys.argv[1])))
