"""A model that looks at photos goes round the loop: trained, sealed, replayed, and told that they got darker."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from shutil import copytree

import numpy as np
import pyarrow as pa
import pytest

from image_project import DARK_DAY, FIELDS, HEIGHT, WIDTH, write_image_project
from lived import Lived, lived_through
from noria.core.errors import UserMistake
from noria.core.files import LocalFiles
from noria.core.signature import SCORE, Field
from noria.evidence.explain import explain
from noria.features.fields import given_as
from noria.models.bundle import CARD_FILE
from noria.monitoring.recorded import skew_of
from noria.serving.batching.loaded_model import LoadedModel
from noria.serving.log.seal import read_sealed, seal, table_of
from noria.serving.log.segments import read_log
from noria.stores.findings import findings_of
from noria.stores.workspace import Workspace
from projects import START

FIRST, LAST = (START + timedelta(days=days) for days in (40, 68))


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    with lived_through(write_image_project(tmp_path_factory.mktemp("images") / "shop"), FIRST, LAST) as found:
        yield found


def test_the_bundle_is_sealed_with_tensors(lived: Lived) -> None:
    assert lived.champion.signature.inputs == FIELDS
    assert lived.champion.signature.outputs == (SCORE,)
    card = lived.champion.file(CARD_FILE).read_text()
    assert "photo: uint8[any, any, 3], square: uint8[4, 4, 3]" in card
    assert "is not profiled" not in card


def test_the_bundle_is_opened_as_a_server_does(lived: Lived) -> None:
    """Its sample, written as requests are, is answered as when it was sealed."""
    opened = LoadedModel.open(lived.champion.path, LocalFiles())
    assert opened.prove() <= 1e-6
    opened.close()


def test_what_was_asked_is_logged_pixel_by_pixel_and_equals_the_definitions(lived: Lived) -> None:
    logged = read_log(lived.context.stores.log_folder, FIRST, FIRST + timedelta(days=1), lived.context.stores.workspace.files)
    assert logged is not None
    first = logged.inputs(lived.champion.signature).dicts()[0]
    photo = np.array(first["photo"])
    assert photo.shape == (HEIGHT, WIDTH, 3)
    assert photo[:4, :4].tolist() == first["square"], "the square is the photo's corner"
    assert len(first["thumbnail"]) == 8
    skew = skew_of(lived.context, FIRST)
    assert skew is not None
    assert (skew["rows"], {f["feature"]: f["differing"] for f in skew["features"]}) == (len(logged), dict.fromkeys(first, 0))


def test_photos_that_become_darker_are_told_by_their_brightness(lived: Lived) -> None:
    found = [
        f for f in findings_of(lived.context.stores.catalog, ["returns"]) if "(brightness)" in f.subject or "(brightness)" in f.summary
    ]
    assert found, [(f.kind, f.subject, f.summary) for f in findings_of(lived.context.stores.catalog, ["returns"])]
    assert all(f.opened_at >= DARK_DAY for f in found)


def test_a_prediction_is_explained_with_its_image(lived: Lived) -> None:
    context = lived.context
    logged = read_log(context.stores.log_folder, FIRST, FIRST + timedelta(days=1), context.stores.workspace.files)
    assert logged is not None
    copytree(context.stores.log_folder, context.project.folder / ".noria" / "log" / "returns")
    told = explain(context.project, Workspace.of(context.project.folder, context.project.settings), logged.ids[0])
    first = logged.inputs(lived.champion.signature).dicts()[0]
    assert {f["name"]: f["value"] for f in told["features"]} == first
    command = [sys.executable, "-m", "noria", "explain", logged.ids[0]]
    done = subprocess.run(command, cwd=context.project.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(first["price"])[:5] in done.stdout
    assert len(done.stdout) < 4_000, "people don't read pixels"
    json.dumps(told)


def test_the_log_is_sealed_into_a_table_with_its_images(lived: Lived) -> None:
    stores = lived.context.stores
    files, tables = stores.workspace.files, stores.workspace.tables
    logged = read_log(stores.log_folder, FIRST, FIRST + timedelta(days=1), files)
    assert logged is not None
    done = seal("returns", stores.log_folder, tables, lambda _: lived.champion.signature, files, LAST + timedelta(days=2), None)
    assert done.balance.holds
    assert tables.read_or_none(table_of("returns")) is not None
    found = read_sealed("returns", tables, lambda _: lived.champion.signature, FIRST, FIRST + timedelta(days=1), logged.ids[0])
    assert found is not None
    assert found.inputs(lived.champion.signature).dicts()[0] == logged.inputs(lived.champion.signature).dicts()[0]


IMAGE, SQUARE = Field("image", "uint8", (None, None, 3)), Field("image", "uint8", (2, 2))
ONES = np.ones((2, 2), np.int64)


@pytest.mark.parametrize(
    ("field", "values", "expected"),
    [
        (SQUARE, np.stack([ONES, 2 * ONES]), [[1] * 4, [2] * 4]),
        (SQUARE, [ONES, None], [[1] * 4, None]),
        (SQUARE, [[[1, 2], [3, 4]]], [[1, 2, 3, 4]]),
        (SQUARE, pa.array([[1, 2, 3, 4], None], pa.list_(pa.uint8())), [[1, 2, 3, 4], None]),
        (SQUARE, pa.array([[[1, 2], [3, 4]]]), [[1, 2, 3, 4]]),
        (IMAGE, [np.ones((1, 1, 3), np.uint8)], [{"shape": [1, 1, 3], "values": [1, 1, 1]}]),
        (Field("x", "float32", (1, 2)), [np.array([[1, 2]])], [[1.0, 2.0]]),
        (SQUARE, [], []),
    ],
)
def test_a_tensor_may_be_given_in_many_forms(field: Field, values: object, expected: list[object]) -> None:
    assert given_as(field, values).to_pylist() == expected


@pytest.mark.parametrize(
    ("field", "values"),
    [
        (SQUARE, [np.ones((2, 3))]),
        (SQUARE, [ONES * 0.5]),
        (SQUARE, [ONES * 300]),
        (SQUARE, [-ONES]),
        (SQUARE, [[[1, 2], [3]]]),
        (SQUARE, [[["a", "b"], ["c", "d"]]]),
        (IMAGE, np.ones((4, 2, 2), np.uint8)),
        (IMAGE, [np.ones(3, np.uint8)]),
    ],
)
def test_a_tensor_of_another_shape_or_type_is_refused(field: Field, values: object) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError, UserMistake)):
        given_as(field, values)
