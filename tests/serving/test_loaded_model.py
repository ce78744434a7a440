"""A bundle beside the champion reads the champion's rows by name, on a real server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from noria.core.files import LocalFiles
from noria.core.signature import Field
from noria.data.rows import Rows
from noria.serving.batching.loaded_model import LoadedModel
from noria.serving.batching.lookup import in_order_of
from noria.serving.log.segments import read_log
from servers import Standalone, make_bundle, onnx_model

FOREVER = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def opened(root: Path, *features: str) -> LoadedModel:
    width = len(features)
    model, rows = onnx_model(width=width), np.arange(2.0 * width).reshape(2, width).tolist()
    return LoadedModel.open(make_bundle(root, model=model, features=features, rows=rows).path, LocalFiles())


def test_what_reads_other_inputs_than_the_champion_is_not_scored_on_its_rows(tmp_path: Path) -> None:
    champion = opened(tmp_path, "a", "b")
    assert opened(tmp_path, "b", "c").beside(champion) is None
    same, swapped, fewer = (opened(tmp_path, *names).beside(champion) for names in (("a", "b"), ("b", "a"), ("b",)))
    assert same is not None
    assert swapped is not None
    assert fewer is not None
    rows = Rows.of_values(champion.bundle.signature.inputs, [(1, 2)])
    assert [d.inputs(rows).block.tolist() for d in (same, swapped, fewer)] == [[[1, 2]], [[2, 1]], [[2]]]


def test_a_server_scores_a_shadow_on_its_own_inputs_and_logs_both_in_one_segment(tmp_path: Path) -> None:
    champion, shadow = opened(tmp_path / "bundles", "a", "b").bundle, opened(tmp_path / "bundles", "b").bundle
    server = Standalone(tmp_path / "server", champion.path, shadow.path)
    try:
        for i in range(3):
            status, answer = server.ask([(float(i), 7.5)])
            assert (status, answer["predictions"]) == (200, [float(i)])
        server.stop()
    finally:
        server.kill()
    logged = read_log(server.folder / "log", *FOREVER, LocalFiles())
    assert logged is not None
    shadowed = logged.of(shadow.id)
    assert shadowed.variant == ["challenger"] * 3
    assert shadowed.prediction.tolist() == [7.5] * 3
    assert shadowed.numbers.tolist() == [[7.5]] * 3
    assert len(list((server.folder / "log").rglob("*.seg"))) == len(list((server.folder / "log").iterdir()))


def test_a_lookup_gives_its_features_in_the_order_of_the_model_that_reads_them() -> None:
    class Looked:
        definition_hash, columns, names = "h", ("city",), ("n", "m")

        def decode(self, body: bytes) -> tuple[list[tuple[Any, ...]], list[str | None]]:
            return [(body,)], [None]

        def features(self, entities: Any, at: datetime) -> Any:  # noqa: ARG002
            return Rows.dense((Field("n"), Field("m")), np.array([[1, 2]], np.float32))

        def age_seconds(self, now: datetime) -> float:  # noqa: ARG002
            return 0.0

        def verify(self) -> None:
            return None

        def example(self, known: Any, at: datetime, *, shown: bool) -> dict[str, Any]:  # noqa: ARG002
            return {"city": "oslo"}

    lookup = Looked()
    assert in_order_of(lookup, ("n", "m")) is lookup
    swapped = in_order_of(lookup, ("m", "n"))
    assert swapped.features([], FOREVER[0]).block.tolist() == [[2, 1]]
    assert (swapped.definition_hash, swapped.names) == ("h", ("m", "n"))
