"""Images as columns of a profile: what each figure says, whatever the layout; and what a camera does that nobody meant shows."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from image_bundles import FREE, network_bundle
from noria.core.signature import Field
from noria.data.rows import Rows
from noria.models.bundle import PROJECTION_FILE
from noria.profiles.images import ImageProjection, axes, images
from noria.profiles.inputs import MAX_DIMENSIONS, InputProjections
from noria.profiles.profile import STATISTICS, Profile, profile
from servers import Standalone

FREE_IMAGE = Field("image", "uint8", (None, None, 3))
COUNT = 400


def scenes(count: int, seed: int, height: int = 24, width: int = 32) -> NDArray[np.uint8]:
    """Smooth images of various brightness `(count, height, width, 3)`."""
    rng = np.random.default_rng(seed)
    along = np.sin(np.linspace(0, 6, width)[None, None, :, None] + rng.uniform(0, 6, (count, 1, 1, 1)))
    light = rng.uniform(90, 160, (count, 1, 1, 1)) + 40 * along + rng.normal(scale=6, size=(count, height, width, 3))
    return np.clip(light, 0, 255).astype(np.uint8)


def rows_of(field: Field, values: Any) -> Rows:
    return Rows.of_values((field,), [(value,) for value in values])


def figures(field: Field, values: Any) -> dict[str, list[float]]:
    """The columns that images become, after the projection was sealed."""
    rows = rows_of(field, values)
    fitted = InputProjections.from_json(InputProjections.fit(rows).to_json())
    return dict(zip(fitted.names, fitted.of(rows, None).T.tolist(), strict=True))


def test_the_figures_are_what_they_are_called() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    image[:, 3:] = 255
    found = figures(FREE_IMAGE, [image, np.full((2, 8, 3), 100, np.uint8)])
    assert found["image (brightness)"] == [127.5, 100]
    assert found["image (contrast)"] == [127.5, 0]
    assert found["image (sharpness)"] == [255 / 5, 0]
    assert found["image (saturated)"] == [1, 0]
    assert (found["image (height)"], found["image (width)"]) == ([4, 2], [6, 8])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((None, None, 3), (0, 1)), ((3, None, None), (1, 2)), ((28, 28), (0, 1)), ((3, 224, 224), (1, 2)), ((9, 9, 9), (0, 1)), ((8,), (0,))],
)
def test_where_height_and_width_are(shape: tuple[int | None, ...], expected: tuple[int, ...]) -> None:
    assert axes(shape) == expected


def test_colours_first_or_last_are_the_same_image() -> None:
    values = scenes(5, 0)
    last = figures(Field("image", "uint8", (24, 32, 3)), values)
    first = figures(Field("image", "uint8", (3, 24, 32)), values.transpose(0, 3, 1, 2))
    for name, numbers in last.items():
        assert first[name] == pytest.approx(numbers)


@pytest.mark.parametrize("shape", [(24, 32, 3), (None, None, 3), (None, 32, None)])
def test_an_unknown_image_is_null_and_its_neighbours_are_themselves(shape: tuple[int | None, ...]) -> None:
    values = scenes(4, 1)
    field = Field("image", "uint8", shape)
    column = pa.chunked_array(
        [rows_of(field, [values[0], None, values[1]]).column("image").slice(1), rows_of(field, [values[2]]).column("image")]
    )
    found = list(images(column, shape))
    assert found[0] is None
    assert [image.tolist() for image in found[1:] if image is not None] == values[1:3].tolist()
    light = ImageProjection("image", shape, 0, 255).of(column, None)[:, 0]
    assert np.isnan(light[0])
    assert light[1:] == pytest.approx(values[1:3].reshape(2, -1).mean(axis=1))


def test_floats_lie_between_the_lowest_and_the_highest_that_were_seen() -> None:
    values = np.random.default_rng(0).uniform(-2, 2, (50, 6, 6)).clip(-1, 1).astype(np.float32)
    found = figures(Field("image", "float32", (6, 6)), values)
    assert np.mean(found["image (saturated)"]) == pytest.approx(0.5, abs=0.05)


def test_a_long_vector_is_looked_at_like_an_image_and_no_direction_of_it_is_learnt() -> None:
    since = time.monotonic()
    found = figures(Field("pixels", "uint8", (None,)), list(scenes(30, 2, 48, 40).reshape(30, -1)))
    assert set(found) == {"pixels (brightness)", "pixels (contrast)", "pixels (sharpness)", "pixels (saturated)", "pixels (width)"}
    assert scenes(1, 2, 48, 40).size > MAX_DIMENSIONS
    assert time.monotonic() - since < 5.0


def test_a_large_image_is_judged_by_some_of_its_lines() -> None:
    image = np.repeat(scenes(1, 3, 40, 1000), 30, axis=1)
    since = time.monotonic()
    found = figures(FREE_IMAGE, image)
    assert found["image (brightness)"] == pytest.approx([image.mean()], rel=0.01)
    assert time.monotonic() - since < 0.5


def test_what_is_no_number_is_left_out_and_said() -> None:
    rows = rows_of(Field("words", "string", (2, 2)), [[["a", "b"], ["c", "d"]]])
    assert InputProjections.fit(rows).left_out == {"words": "string[2, 2] is not profiled"}


DRIFTS = {
    "darker": (lambda seed: (scenes(COUNT, seed) * 0.6).astype(np.uint8), "image (brightness)"),
    "another size": (lambda seed: scenes(COUNT, seed, 20, 28), "image (height)"),
    "blurred": (
        lambda seed: (scenes(COUNT, seed) // 2 + np.roll(scenes(COUNT, seed), 1, axis=2) // 2).astype(np.uint8),
        "image (sharpness)",
    ),
    "overexposed": (lambda seed: np.clip(scenes(COUNT, seed).astype(int) + 110, 0, 255).astype(np.uint8), "image (saturated)"),
}


def reference() -> tuple[InputProjections, Profile]:
    rows = rows_of(FREE_IMAGE, scenes(COUNT * 4, 0))
    fitted = InputProjections.from_json(InputProjections.fit(rows).to_json())
    columns = np.column_stack([fitted.of(rows, None), np.full(len(rows), 0.5)])
    return fitted, profile((*fitted.names, "prediction"), columns, np.arange(len(rows)) // 100)


@pytest.mark.parametrize("kind", DRIFTS)
def test_a_drift_of_images_shows_in_the_statistics_of_a_window_and_its_absence_does_not(kind: str) -> None:
    made, seen = DRIFTS[kind]
    fitted, known = reference()
    place = fitted.names.index(seen)

    def moved(values: NDArray[np.uint8]) -> float:
        """How far a window's ranks moved, or what share of it has values that there never were."""
        columns = np.column_stack([fitted.of(rows_of(FREE_IMAGE, values), None), np.full(len(values), 0.5)])
        found = dict(zip(STATISTICS, known.statistics(columns)[place], strict=True))
        return float(max(abs(found["mean_rank"] - known.usual_ranks[place]), found["outside"]))

    assert moved(made(7)) > 0.3
    assert moved(scenes(COUNT, 7)) < 0.06


def test_a_server_shows_that_its_images_became_darker(tmp_path: Path) -> None:
    fitted, known = reference()
    bundle = network_bundle(tmp_path / "bundles", FREE, known.to_json(), {PROJECTION_FILE: fitted.to_json()})
    server = Standalone(tmp_path / "server", bundle.path, sketched_rows=500)
    try:
        darker = (scenes(30, 5) * 0.6).astype(np.uint8)
        for image in darker:
            body = json.dumps({"rows": [{"image": image.tolist()}]}).encode()
            assert server.http("POST", "/predict/small", body)[0] == 200
        deadline, columns = time.monotonic() + 10, dict[str, Any]()
        while not columns.get("image (brightness)", {}).get("shift") and time.monotonic() < deadline:
            time.sleep(0.2)
            live = server.http("GET", "/status")[1]["endpoints"][0]["live_profile"]
            columns = live["columns"] if live else {}
        assert columns["image (brightness)"]["shift"] < -0.3
        assert abs(columns["image (saturated)"]["shift"]) < 0.1
    finally:
        server.kill()
