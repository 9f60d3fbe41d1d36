"""Every recorded result of the original within its recorded tolerance, and every known wrong reading outside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch
from recorded import Golden
from torch import Tensor

from magicpose.checkpoints.original import keys
from magicpose.networks.attention import attend, attention_layers
from magicpose.networks.model import MagicPoseModel
from magicpose.networks.motion import MotionModules, attend_over_time
from magicpose.sampling import make_scheduler, sample

pytestmark = pytest.mark.filterwarnings("ignore")

Bank = dict[str, Tensor]


def bank_of(g: Golden, context: str = "in.context") -> Bank:
    with torch.no_grad():
        return g.model.reference_bank(g["in.ref_latent"], g["in.t"], g[context])


def eps(g: Golden, bank: Bank | None, pose: Tensor | None, context: str = "in.context") -> Tensor:
    with torch.no_grad():
        return g.model(g["in.x_noisy"], g["in.t"], g[context], bank=bank, pose=pose)


def relative_error(actual: Tensor, wanted: Tensor) -> float:
    return float((actual - wanted).pow(2).mean().sqrt() / wanted.pow(2).mean().sqrt())


# ---- right readings --------------------------------------------------------------------------------------------


def test_reference_bank(golden: Golden) -> None:
    bank = bank_of(golden)
    assert list(bank) == attention_layers(golden.model.unet)
    for n, states in enumerate(bank.values()):
        golden.check(f"mid.bank.{n:02d}", states)


def test_controlnet_residuals(golden: Golden) -> None:
    g = golden
    with torch.no_grad():
        hint = g.model.hint(g["in.pose"])
        skips, middle = g.model.pose_residuals(g["in.x_noisy"], g["in.t"], g["in.context"], hint)
    for n, residual in enumerate([*skips, middle]):
        golden.check(f"mid.pose.{n:02d}", residual)


def test_single_step_predictions(golden: Golden) -> None:
    g = golden
    bank, scale = bank_of(g), g.facts["guidance_scale"]
    conditional, unconditional = eps(g, bank, g["in.pose"]), eps(g, None, None)
    g.check("out.eps_appearance_only", eps(g, bank, None))
    g.check("out.eps_cond", conditional)
    g.check("out.eps_uncond", unconditional)
    g.check("out.eps_guided", unconditional + scale * (conditional - unconditional))
    balance = eps(g, bank_of(g, "in.context_uncond"), g["in.pose"], "in.context_uncond")
    g.check("out.eps_balance_uncond", balance)
    g.check("out.eps_balance_guided", balance + scale * (conditional - balance))


def test_unconditional_is_the_stock_unet_bit_for_bit(golden: Golden) -> None:
    stock: Any = diffusers.UNet2DConditionModel.from_config(golden.model.unet.config)
    stock.load_state_dict(golden.model.unet.state_dict())
    with torch.no_grad():
        plain = stock(golden["in.x_noisy"], golden["in.t"], golden["in.context"]).sample
    assert torch.equal(eps(golden, None, None), plain)


def test_five_ddim_steps(golden: Golden) -> None:
    g, scale = golden, golden.facts["guidance_scale"]
    scheduler, x, steps = make_scheduler("ddim"), g["in.x_T"], []
    scheduler.set_timesteps(5)
    assert scheduler.timesteps.flip(0).tolist() == g.facts["schedule"]["ddim_timesteps"]
    with torch.no_grad():
        for t in scheduler.timesteps:
            timestep = t.expand(len(x))
            bank = g.model.reference_bank(g["in.ref_latent"], timestep, g["in.context"])
            c = g.model(x, timestep, g["in.context"], bank=bank, pose=g["in.pose"])
            u = g.model(x, timestep, g["in.context"])
            x = scheduler.step(u + scale * (c - u), t, x).prev_sample
            steps.append(x)
    g.check("out.ddim5_steps", torch.stack(steps))
    still = MagicPoseModel(g.model.unet, g.model.appearance, g.model.pose_controlnet)  # recorded without motion modules
    final = sample(still, g["in.x_T"], g["in.ref_latent"], g["in.pose"], g["in.context"], 5, scale, "ddim")
    g.check("out.ddim5_final", final)


def test_training_loss_and_gradients(golden: Golden) -> None:
    g, model = golden, golden.model
    scheduler = diffusers.DDPMScheduler.from_config(make_scheduler("ddim").config)
    noisy = scheduler.add_noise(g["in.train_x0"], g["in.train_noise"], g["in.t"])
    bank = model.reference_bank(g["in.ref_latent"], g["in.t"], g["in.context"])
    predicted = model(noisy, g["in.t"], g["in.context"], bank=bank, pose=g["in.pose"])
    loss = torch.nn.functional.mse_loss(predicted, g["in.train_noise"])
    g.check("out.train_loss", loss.detach())
    assert model.appearance is not None and model.pose_controlnet is not None
    layout = keys.Layout((True, True, True, False), 2)
    homes = {
        "appearance_control_model.": (model.appearance.unet, keys.appearance_modules(layout)),
        "pose_control_model.": (model.pose_controlnet, keys.controlnet_modules(layout)),
    }
    recorded = [name for name in g.tensors if name.startswith("out.train_grad.")]
    assert len(recorded) == 10
    parameters = []
    for name in recorded:
        key = name.removeprefix("out.train_grad.")
        prefix, (network, table) = next((p, home) for p, home in homes.items() if key.startswith(p))
        ours = keys.translate(key.removeprefix(prefix), keys.reverse(table))
        assert ours is not None
        parameters.append(network.get_parameter(ours))
    for name, gradient in zip(recorded, torch.autograd.grad(loss, parameters), strict=True):
        torch.testing.assert_close(gradient, g[name], rtol=0, atol=1e-3 * float(g[name].abs().max()))


def test_motion(golden: Golden) -> None:
    g, motion = golden, golden.model.motion
    assert isinstance(motion, MotionModules)
    with torch.no_grad():
        block = motion.adapter.down_blocks[1].motion_modules[0]
        g.check("out.mm_block_y", attend_over_time(block, g["in.mm_block_x"], frames=16))
        with motion.insert(g.model.unet, clip_frames=4):
            bank = g.model.reference_bank(g["in.mm_ref_latent"], g["in.mm_t"], g["in.mm_context"])
            inputs = (g["in.mm_x_noisy"], g["in.mm_t"], g["in.mm_context"])
            g.check("out.mm_eps_cond", g.model(*inputs, bank=bank, pose=g["in.mm_pose"]))
            g.check("out.mm_eps_uncond", g.model(*inputs))


# ---- wrong readings, each with the error that was measured for it on the original ---------------------------------


def _reference_timestep_zero(g: Golden) -> Tensor:
    with torch.no_grad():
        bank = g.model.reference_bank(g["in.ref_latent"], torch.zeros_like(g["in.t"]), g["in.context"])
    return eps(g, bank, g["in.pose"])


def _other_reference_context(g: Golden) -> Tensor:
    return eps(g, bank_of(g, "in.context_uncond"), g["in.pose"])


def _before_norm1(g: Golden) -> Tensor:
    assert g.model.appearance is not None
    unet, bank, handles = g.model.appearance.unet, {}, []
    for name in attention_layers(unet):

        def keep(_module: Any, inputs: tuple[Tensor], _output: Tensor, name: str = name) -> None:
            bank[name] = inputs[0]

        handles.append(unet.get_submodule(name.replace("attn1", "norm1")).register_forward_hook(keep))
    bank_of(g)
    for handle in handles:
        handle.remove()
    return eps(g, bank, g["in.pose"])


class _BranchProjections:
    """Eq. 3 read literally: the bank goes through the appearance branch's own to_k and to_v."""

    def __init__(self, branch: Any, states: Tensor) -> None:
        self.branch, self.states = branch, states

    def __call__(self, attn: Any, x: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any) -> Tensor:
        key = torch.cat([attn.to_k(x), self.branch.to_k(self.states)], dim=1)
        value = torch.cat([attn.to_v(x), self.branch.to_v(self.states)], dim=1)
        return attn.to_out[0](attend(attn.to_q(x), key, value, attn.heads))


def _branch_projections(g: Golden) -> Tensor:
    assert g.model.appearance is not None
    before = g.model.unet.attn_processors
    literal = {
        f"{name}.processor": _BranchProjections(g.model.appearance.unet.get_submodule(name), states)
        for name, states in bank_of(g).items()
    }
    g.model.unet.set_attn_processor(before | literal)
    try:
        return eps(g, None, g["in.pose"])
    finally:
        g.model.unet.set_attn_processor(before)


def _without(g: Golden, block: str) -> Tensor:
    bank = {name: v[:, :0] if name.startswith(block) else v for name, v in bank_of(g).items()}
    return eps(g, bank, g["in.pose"])


def _other_sample(g: Golden) -> Tensor:
    with torch.no_grad():
        bank = g.model.reference_bank(g["in.ref_latent"].flip(0), g["in.t"], g["in.context"])
    return eps(g, bank, g["in.pose"])


def _zero_context(g: Golden) -> Tensor:
    with torch.no_grad():
        return g.model(g["in.x_noisy"], g["in.t"], torch.zeros_like(g["in.context"]))


WRONG: dict[str, tuple[str, Callable[[Golden], Tensor]]] = {
    "reference timestep 0 instead of t": ("out.eps_cond", _reference_timestep_zero),
    "reference gets another context": ("out.eps_cond", _other_reference_context),
    "bank holds the hidden state before norm1": ("out.eps_cond", _before_norm1),
    "keys and values projected by the appearance branch (paper's eq. 3 read literally)": (
        "out.eps_cond",
        _branch_projections,
    ),
    "bank entries of middle and decoder only": ("out.eps_cond", lambda g: _without(g, "down_blocks")),
    "bank entries without the middle": ("out.eps_cond", lambda g: _without(g, "mid_block")),
    "reference of the other sample": ("out.eps_cond", _other_sample),
    "uncond keeps the pose ControlNet (vs out.eps_uncond)": (
        "out.eps_uncond",
        lambda g: eps(g, None, g["in.pose"]),
    ),
    "uncond with zero context (vs out.eps_uncond)": ("out.eps_uncond", _zero_context),
    "pose image in [-1,1]": ("out.eps_cond", lambda g: eps(g, bank_of(g), 2 * g["in.pose"] - 1)),
    "pose image in BGR": ("out.eps_cond", lambda g: eps(g, bank_of(g), g["in.pose"].flip(1))),
}


@pytest.mark.parametrize("reading", WRONG)
def test_wrong_reading_fails(golden: Golden, reading: str) -> None:
    wanted, wrong = WRONG[reading]
    actual = wrong(golden)
    with pytest.raises(AssertionError):
        golden.check(wanted, actual)
    measured = golden.facts["relative_rms_error_of_wrong_readings"][reading]
    assert relative_error(actual, golden[wanted]) == pytest.approx(measured, rel=0.02)


def test_every_wrong_reading_is_tried(golden: Golden) -> None:
    assert set(WRONG) == set(golden.facts["relative_rms_error_of_wrong_readings"])
