"""Bundles: the same content is the same bundle; a changed byte, a missing file or a failing disk never passes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faults import FailingFiles
from noria.core.files import LocalFiles
from noria.core.signature import Signature
from noria.models.bundle import Bundle, DamagedBundle, Manifest, open_bundle, write_bundle
from servers import lineage_of

CONTENTS = {"model/model.onnx": b"onnx", "profile/profile.json": b"{}", "sample/requests.json": b"[]", "MODEL_CARD.md": b"# m"}


def manifest(name: str = "m") -> Manifest:
    return Manifest(
        name=name,
        runtime="onnx",
        signature=Signature.of_numbers(["a"]),
        task={},
        feature_set="set",
        definition_hash="hash",
        run="run",
        lineage=lineage_of(),
        metrics={},
        environment={},
        files={},
    )


def sealed(root: Path) -> Bundle:
    root.mkdir(parents=True, exist_ok=True)
    return write_bundle(root, manifest(), CONTENTS, LocalFiles())


def test_the_same_content_is_the_same_bundle(tmp_path: Path) -> None:
    one, two = sealed(tmp_path / "a"), sealed(tmp_path / "b")
    assert one.id == two.id
    assert sealed(tmp_path / "a").path == one.path
    assert open_bundle(one.path, LocalFiles()).manifest == one.manifest
    other = write_bundle(tmp_path / "a", manifest("n"), CONTENTS, LocalFiles())
    assert other.id != one.id


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_changed_byte_anywhere_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    bundle = sealed(tmp_path_factory.mktemp("b"))
    path = data.draw(st.sampled_from(sorted(p for p in bundle.path.rglob("*") if p.is_file())))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bytes(content))
    with pytest.raises(DamagedBundle):
        open_bundle(bundle.path, LocalFiles())


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    bundle = sealed(tmp_path)
    (bundle.path / "model/model.onnx").unlink()
    with pytest.raises(DamagedBundle, match="missing"):
        open_bundle(bundle.path, LocalFiles())
    with pytest.raises(DamagedBundle, match=r"no bundle\.json"):
        open_bundle(tmp_path / "nothing", LocalFiles())


@pytest.mark.parametrize("nth", range(1, 12))
def test_a_failing_disk_leaves_no_half_bundle(tmp_path: Path, nth: int) -> None:
    files = FailingFiles(nth)
    try:
        write_bundle(tmp_path, manifest(), CONTENTS, files)
    except OSError:
        assert not [p for p in tmp_path.iterdir() if not p.name.startswith(".")]
        again = write_bundle(tmp_path, manifest(), CONTENTS, LocalFiles())
        open_bundle(again.path, LocalFiles())
    else:
        assert not files.failed
