"""Files appear whole or not at all, and an output has one maker at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from magicpose.errors import UserError
from magicpose.files import claimed, replacing, replacing_folder

HOLD = """
import sys, time
from pathlib import Path
from magicpose.files import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_takes_its_place_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with replacing(path) as draft:
        draft.write_text("one")
        assert not path.exists()
    mask = os.umask(0)
    os.umask(mask)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("one", 0o666 & ~mask)
    with pytest.raises(RuntimeError), replacing(path) as draft:
        draft.write_text("two")
        raise RuntimeError
    assert (path.read_text(), names(path.parent)) == ("one", ["a.txt"])


def test_a_folder_takes_its_place_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    for text in ("one", "two"):
        with replacing_folder(path) as draft:
            (draft / text).write_text(text)
    assert (names(path), names(tmp_path)) == (["two"], ["frames"])
    with pytest.raises(RuntimeError), replacing_folder(path) as draft:
        (draft / "three").write_text("3")
        raise RuntimeError
    assert (names(path), names(tmp_path)) == (["two"], ["frames"])


def test_the_longest_name_that_the_disk_takes(tmp_path: Path) -> None:
    path = tmp_path / ("人" * 83 + ".txt")  # 253 bytes
    with claimed(path), replacing(path) as draft:
        draft.write_text("one")
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("kind", [replacing, replacing_folder])
def test_what_another_put_there_meanwhile_is_not_lost(tmp_path: Path, kind: type) -> None:
    path = tmp_path / "out"
    with pytest.raises(UserError, match=r"out was made by another process meanwhile"), kind(path, new=True) as draft:
        if not draft.is_dir():
            draft.write_text("ours")
        path.write_text("theirs")
    assert (path.read_text(), names(tmp_path)) == ("theirs", ["out"])


def test_the_second_process_with_the_same_output_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    first = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    try:
        with pytest.raises(UserError, match=r"out\.mp4 is being made by another process: wait"), claimed(path):
            pass
        with claimed(tmp_path / "other.mp4"):
            pass
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    assert names(tmp_path) == [".out.mp4.lock"]
    with claimed(path):  # what a killed process left is in nobody's way
        pass
    assert names(tmp_path) == []
