"""A user's mistakes on the command line: one clear message, exit code 2, no traceback, nothing half-written."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from projects import edit
from typed_commands import typed


def noria(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return typed(folder, *arguments)


def refused(done: subprocess.CompletedProcess[str], code: str, *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert f"\nerror {code}: " in f"\n{done.stderr}"  # after the progress of what had begun
    assert "where: " in done.stderr
    assert "fix: " in done.stderr
    for word in words:
        assert word in done.stderr


def stored(folder: Path) -> list[str]:
    return sorted(p.parent.name for p in folder.glob(".noria/tables/*/_delta_log"))


def test_a_missing_data_file_is_named(shop: Path) -> None:
    (shop / "data" / "orders.parquet").unlink()
    refused(noria("ingest", folder=shop), "NR-201", "data/orders.parquet", str(shop))
    assert "orders" not in stored(shop)


def test_a_damaged_data_file_is_named(shop: Path) -> None:
    path = shop / "data" / "orders.parquet"
    path.write_bytes(path.read_bytes()[:5000])
    refused(noria("ingest", folder=shop), "NR-202", "data/orders.parquet")
    assert "orders" not in stored(shop)


def test_a_table_without_its_time_column_is_refused_with_the_nearest_name(shop: Path) -> None:
    path = shop / "data" / "orders.parquet"
    table = pq.read_table(path)
    pq.write_table(table.rename_columns(["order_id", "city", "price", "placed_on"]), path)
    refused(noria("ingest", folder=shop), "NR-203", "placed_at", "placed_on")
    refused(noria("check", folder=shop), "NR-203", "placed_at")
    assert "orders" not in stored(shop)


@pytest.mark.parametrize("kind", [pa.string(), pa.timestamp("us")])
def test_a_time_without_a_zone_is_refused(shop: Path, kind: pa.DataType) -> None:
    path = shop / "data" / "orders.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(3, "placed_at", table.column("placed_at").cast(pa.timestamp("us")).cast(kind)), path)
    refused(noria("ingest", folder=shop), "NR-204", "placed_at")


def test_a_module_that_raises_is_shown_with_its_line(shop: Path) -> None:
    (shop / "shop.py").write_text("import noria as nr\n\n1 / 0\n")
    refused(noria("check", folder=shop), "NR-110", "ZeroDivisionError", "line 3: 1 / 0")


def test_a_module_that_is_not_python_is_shown_with_its_line(shop: Path) -> None:
    (shop / "shop.py").write_text("import noria as nr\ndef broken(:\n")
    refused(noria("check", folder=shop), "NR-110", "SyntaxError", "line 2")


def test_a_folder_that_is_no_project(tmp_path: Path) -> None:
    refused(noria("status", folder=tmp_path), "NR-103", "noria.toml")


def test_an_unknown_setting_is_refused_with_the_nearest_one(shop: Path) -> None:
    (shop / "noria.toml").write_text('[project]\nname = "shop"\nmodule = "shop"\n[serving]\nprot = 80\n')
    refused(noria("status", folder=shop), "NR-103", "serving.prot", "did you mean 'port'")


def test_an_unknown_endpoint_is_refused_with_the_nearest_one(shop: Path) -> None:
    refused(noria("serve", "return", folder=shop), "NR-111", "did you mean 'returns'")


def test_serving_before_anything_was_trained_says_what_to_run(shop: Path) -> None:
    refused(noria("serve", folder=shop), "NR-420", "noria train")


def test_training_before_anything_was_ingested_says_what_to_run(shop: Path) -> None:
    refused(noria("train", folder=shop), "NR-206", "noria ingest")


def test_a_replay_of_a_span_without_rows_says_so(shop: Path) -> None:
    edit(shop / "noria.toml", {"2024-02-10": "2025-02-10", "2024-03-28": "2025-02-14"})
    assert noria("ingest", folder=shop).returncode == 0
    refused(noria("replay", folder=shop), "NR-703", "table 'orders' has no row in the replay's span", "2025-02-10 to 2025-02-14")


def test_a_trainer_that_raises_leaves_nothing_registered(shop: Path) -> None:
    edit(shop / "shop.py", {"    return lightgbm.train": "    raise RuntimeError('out of luck')\n    return lightgbm.train"})
    assert noria("ingest", folder=shop).returncode == 0
    refused(noria("train", folder=shop), "NR-310", "out of luck", "shop.py")
    assert not list(shop.glob(".noria/objects/bundles/*"))
    status = json.loads(noria("status", "--json", folder=shop).stdout)
    assert status["endpoints"][0]["champion"] is None


def test_a_port_in_use_is_refused(shop: Path) -> None:
    assert noria("ingest", folder=shop).returncode == 0
    assert noria("train", folder=shop).returncode == 0
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(noria("serve", "--port", str(port), folder=shop), "NR-512", str(port), "--port")
    refused(noria("serve", "--host", "0.0.0.0", folder=shop), "NR-513", "0.0.0.0")


def test_errors_are_json_for_programs(shop: Path) -> None:
    done = noria("serve", "return", "--json", folder=shop)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "NR-111"


def test_an_unknown_option_is_refused_without_a_traceback(shop: Path) -> None:
    done = noria("status", "--jsn", folder=shop)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_second_controller_is_refused(shop: Path) -> None:
    from noria.stores.catalog import Catalog

    catalog = Catalog(shop / ".noria" / "catalog.db")
    catalog.take_lease()
    assert noria("ingest", folder=shop).returncode == 0
    refused(noria("train", folder=shop), "NR-401", "already running")
    catalog.close()
