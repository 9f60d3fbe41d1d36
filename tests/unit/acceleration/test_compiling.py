"""Compiled networks: the same frames, compiled once, undone, and refused where they cannot be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from magicpose.acceleration.compiling import compile_networks, restore_networks
from magicpose.bench.measure import psnr, time_fast
from magicpose.bench.stack import build_stack, make_inputs
from magicpose.errors import UserError
from magicpose.networks.attend import attend_in_slices
from magicpose.networks.attention import attend
from magicpose.pipeline import MagicPosePipeline

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _own_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings, caches and counters of torch as before."""
    import torch._dynamo.config as limits

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "kernels"))
    torch.compiler.reset()
    with limits.patch(recompile_limit=limits.recompile_limit):
        yield
    torch.compiler.reset()


def compiled_graphs() -> int:
    from torch._dynamo.utils import counters

    assert not counters["graph_break"]
    return int(counters["stats"]["unique_graphs"])


def frames_of(pipe: MagicPosePipeline) -> np.ndarray:
    maps = np.zeros((2, 64, 64, 3), np.uint8)
    maps[1, 8:40, 20:40] = 255
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    frames = pipe(Image.fromarray(pixels), maps, num_inference_steps=2).frames
    return np.stack([np.asarray(frame) for frame in frames]).astype(int)


def test_the_pipeline_compiles_once_and_gives_the_same_frames(tiny_sd: Path) -> None:
    pipe = MagicPosePipeline.from_pretrained(tiny_sd)
    plain = frames_of(pipe)
    pipe.compile(backend="eager")  # everything but the making of kernels
    before = compiled_graphs()
    assert np.abs(frames_of(pipe) - plain).max() <= 1
    first = compiled_graphs()
    assert first > before
    assert np.abs(frames_of(pipe) - plain).max() <= 1
    assert compiled_graphs() == first
    pipe.detach()
    with torch.no_grad():
        pipe.model.unet(torch.zeros(3, 4, 8, 8), 1, torch.zeros(3, 8, 16))  # a new batch size
    assert compiled_graphs() == first


@pytest.mark.slow
def test_every_self_attention_of_a_full_stack_may_have_its_own_graph() -> None:
    stack = build_stack("tiny")
    inputs = make_inputs(stack, 64, 1)
    plain = time_fast(stack, inputs, 7.0).guided
    before = compiled_graphs()
    compile_networks(stack.model, backend="eager")
    assert psnr(time_fast(stack, inputs, 7.0).guided, plain) > 100
    first = compiled_graphs()
    assert first - before > 16  # more than torch allows of itself, and none was given up
    time_fast(stack, inputs, 7.0)
    assert compiled_graphs() == first
    restore_networks(stack.model)
    assert torch.equal(time_fast(stack, inputs, 7.0).guided, plain)


def test_bfloat16_attention_is_one_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("magicpose.networks.attention._has_matrix_tiles", lambda: False)
    q, k, v = (torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(n)).bfloat16() for n in range(3))
    seen: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        seen.append(graph)
        return graph.forward

    with torch.no_grad():
        out = torch.compile(attend, backend=keep, fullgraph=True)(q, k, v, 2)
        assert torch.equal(out, attend(q, k, v, 2))
    assert [node.target for node in seen[0].graph.nodes].count(attend_in_slices._opoverload) == 1


def test_kernels_are_kept_in_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = build_stack("tiny", "meta")
    monkeypatch.setenv("MAGICPOSE_CACHE", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    compile_networks(stack.model, backend="eager")
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "kernels")
    elsewhere = str(tmp_path / "elsewhere")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", elsewhere)
    compile_networks(stack.model, backend="eager")
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == elsewhere


def test_torchs_own_default_is_not_taken_for_the_users_wish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    monkeypatch.setenv("MAGICPOSE_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", default_cache_dir())  # as importing parts of torch leaves it
    compile_networks(build_stack("tiny", "meta").model, backend="eager")
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "kernels")


def test_what_cannot_be_compiled_is_refused(tiny_sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = MagicPosePipeline.from_pretrained(tiny_sd)
    pipe.set_arithmetic("winograd")
    with pytest.raises(UserError, match="leave out one of compiling and winograd"):
        pipe.compile(backend="eager")
    pipe.set_arithmetic("plain")
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(UserError, match=r"needs a C\+\+ compiler: install g\+\+"):
        pipe.compile()
    pipe.compile(backend="eager")
    with pytest.raises(UserError, match="leave out compiling or arithmetic int8"):
        pipe.set_arithmetic("int8")


@pytest.mark.slow
def test_a_later_start_finds_the_kernels(tiny_sd: Path) -> None:
    from torch._dynamo.utils import counters

    pipe = MagicPosePipeline.from_pretrained(tiny_sd)
    plain = frames_of(pipe)
    pipe.compile()
    assert np.abs(frames_of(pipe) - plain).max() <= 1
    torch.compiler.reset()
    counters.clear()
    assert np.abs(frames_of(pipe) - plain).max() <= 1
    assert counters["aot_autograd"]["autograd_cache_hit"] > 0
    assert counters["inductor"]["fxgraph_cache_miss"] == 0
