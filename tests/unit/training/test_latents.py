"""Latents on disk: addressed by content and weights, in batches, by all processes of a run together."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from magicpose.networks.autoencoder import PatchAutoencoder
from magicpose.progress import Silent
from magicpose.training.data import find_clips, latents
from training_clips import write_clips


class Alone:
    process_index, num_processes = 0, 1

    def wait_for_everyone(self) -> None:
        pass


class Counting(PatchAutoencoder):
    """Remembers the sizes of the batches it was given."""

    def encode(self, x: torch.Tensor, return_dict: bool = True) -> object:
        self.batches = [*getattr(self, "batches", []), len(x)]
        return super().encode(x, return_dict)


def vae(seed: int = 0) -> Counting:
    torch.manual_seed(seed)
    return Counting(3, 2, (8, 8), 1)


def encode(data: Path, network: Counting) -> list[torch.Tensor]:
    return latents.encode_clips(find_clips(data), network, 32, data, "cpu", Alone(), Silent())


def test_frames_go_through_in_batches_bounded_by_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, network = write_clips(tmp_path, clips=2, frames=7), vae()
    whole = encode(data, network)
    assert network.batches == [7, 7] and [tuple(each.shape) for each in whole] == [(7, 3, 8, 8)] * 2
    for path in data.glob("latents-*/*"):
        path.unlink()
    monkeypatch.setattr(latents, "_PIXELS_AT_ONCE", 3 * 32 * 32)
    network.batches = []
    parts = encode(data, network)
    assert network.batches == [3, 3, 1] * 2
    assert all(torch.allclose(a.float(), b.float(), atol=0.02) for a, b in zip(whole, parts, strict=True))


def test_the_cache_knows_content_and_weights_not_names(tmp_path: Path) -> None:
    data, network = write_clips(tmp_path, clips=2), vae()
    first = encode(data, network)
    network.batches = []
    (data / "0001").rename(data / "renamed")
    assert all(torch.equal(a, b) for a, b in zip(first, encode(data, network), strict=True))
    assert network.batches == []
    Image.fromarray(np.full((32, 32, 3), 200, np.uint8)).save(data / "0000/0001.png")  # rendered again, same name
    second = encode(data, network)
    assert network.batches == [4]
    assert not torch.equal(second[0][1], first[0][1]) and torch.equal(second[1], first[1])
    other = vae(1)
    encode(data, other)
    assert other.batches == [4, 4]


def test_a_damaged_entry_is_made_again(tmp_path: Path) -> None:
    data, network = write_clips(tmp_path, clips=1), vae()
    first = [each.clone() for each in encode(data, network)]
    (entry,) = data.glob("latents-*/*.safetensors")
    entry.write_bytes(entry.read_bytes()[:100])
    assert torch.equal(encode(data, network)[0], first[0])


TOGETHER = """
import sys, torch
from pathlib import Path
from accelerate import Accelerator
from magicpose.networks.autoencoder import PatchAutoencoder
from magicpose.progress import Silent
from magicpose.training.data import find_clips, latents
accelerator, root = Accelerator(cpu=True), Path(sys.argv[1])
torch.manual_seed(0)
write, written = latents._write, []
latents._write = lambda path, found: (written.append(path), write(path, found))
network = PatchAutoencoder(3, 2, (8, 8), 1)
found = latents.encode_clips(find_clips(root), network, 32, root, "cpu", accelerator, Silent())
torch.save(found, root / f"found{accelerator.process_index}.pt")
(root / f"written{accelerator.process_index}.txt").write_text("".join(f"{path.name}\\n" for path in written))
"""


def test_two_processes_with_a_cold_cache_share_the_work(tmp_path: Path) -> None:
    data = write_clips(tmp_path, clips=5)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [*command, str(script), str(data)], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    shares = [(data / f"written{rank}.txt").read_text().split() for rank in (0, 1)]
    assert [len(share) for share in shares] == [3, 2] and not set(shares[0]) & set(shares[1])
    alone = write_clips(tmp_path / "alone", clips=5)
    wanted = latents.encode_clips(find_clips(alone), _plain(), 32, alone, "cpu", Alone(), Silent())
    for rank in (0, 1):
        found = torch.load(data / f"found{rank}.pt", weights_only=True)
        assert len(found) == 5 and all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))
    assert not list(data.rglob("*.part"))


def _plain() -> PatchAutoencoder:
    torch.manual_seed(0)
    return PatchAutoencoder(3, 2, (8, 8), 1)
