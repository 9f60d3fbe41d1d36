"""Hashes and records: what earlier versions wrote is what this one compares with."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from magicpose import __version__
from magicpose.animation.options import AnimateOptions, changing
from magicpose.animation.presets import PRESETS
from magicpose.provenance import hash_contents, hash_file, hash_files, hash_json, hash_source, record, stamp_files


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        path.write_bytes(path.name.encode())
    return paths


def test_hashes_are_those_that_old_jobs_and_caches_hold(files: list[Path]) -> None:
    a, b = sha256(b"a.png"), sha256(b"b.png")
    assert hash_file(files[0]) == hash_files(files[:1]) == a
    assert hash_files(files) == hash_source(str(files[0].parent)) == sha256((a + b).encode())
    assert hash_contents([b"a.png", b"b.png"]) == sha256(bytes.fromhex(a) + bytes.fromhex(b))
    assert hash_json([1, "x", {"b": None, "a": 2}]) == sha256(b'[1, "x", {"a": 2, "b": null}]')


def test_a_source_is_known_by_its_content(files: list[Path]) -> None:
    folder = str(files[0].parent)
    before = hash_source(folder)
    assert hash_source(str(files[0])) != hash_source(str(files[1]))
    files[1].write_bytes(b"a.png")
    assert hash_source(str(files[0])) == hash_source(str(files[1]))
    assert hash_source(folder) != before
    assert hash_source("wave") == "wave"


def test_a_large_file_is_hashed_in_chunks(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / "large").write_bytes(content)
    assert hash_file(tmp_path / "large") == sha256(content)


def test_stamps_notice_a_replaced_file(tmp_path: Path) -> None:
    weights = tmp_path / "unet" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"12")
    (tmp_path / "other.txt").write_bytes(b"")
    (stamp,) = stamp_files(tmp_path, ("*/*.safetensors", "model_index.json"))
    assert stamp[:2] == ["unet/model.safetensors", 2]
    weights.write_bytes(b"123")
    assert stamp_files(tmp_path, ("*/*.safetensors",)) != [stamp]


def test_only_networks_make_synthetic_pictures() -> None:
    assert record(shows="pose maps") == {"magicpose": __version__, "shows": "pose maps"}
    assert record(synthetic=True, seed=1) == {"magicpose": __version__, "synthetic": True, "seed": 1}


def test_a_job_begun_before_the_mark_goes_on() -> None:
    options = AnimateOptions()
    recorded = options.recorded(PRESETS["fast"])
    assert changing(record(synthetic=True, **recorded)) == changing(record(**recorded))
