"""What kind of file a set of keys gives away: dead keys, files of other families, LoRAs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from magicpose.checkpoints.original.keys import CONTROL, POSE, UNET, VAE
from magicpose.checkpoints.original.schedule import SCHEDULE_BUFFERS
from magicpose.errors import UserError

SD15_FAMILY = "magicpose needs a Stable Diffusion 1.5-family file"

# Keys that nothing reads: the schedule, copies of the weights, CLIP's pooled head, a VAE's training loss. (The hint
# encoder that the appearance branch inherited from ControlNet and never calls is dead too; its prefix depends on the
# file.)
DEAD = re.compile(
    rf"(model\.)?({'|'.join(SCHEDULE_BUFFERS)}|lvlb_weights|scale_factor)$"
    r"|denoiser\.(log_)?sigmas$"
    r"|model_ema\."
    r"|(first_stage_model\.)?(loss|model_ema)\."
    r"|cond_stage_model\.(transformer\.text_model\.embeddings\.position_ids"
    r"|(transformer\.)?logit_scale|transformer\.text_projection\.weight)$"
    r"|logit_scale$|(text_encoder\.)?text_projection\.weight$"
)

# A key that gives a foreign file away -> what such a file is.
FOREIGN = (
    (r"conditioner\.embedders\.|model\.diffusion_model\.label_emb\.|(unet\.)?add_embedding\.", "an SDXL checkpoint"),
    (r"cond_stage_model\.model\.", "a Stable Diffusion 2.x checkpoint"),
    (r"((model\.)?diffusion_model\.)?joint_blocks\.", "a Stable Diffusion 3 checkpoint"),
    (r"((model\.)?diffusion_model\.)?double_blocks\.", "a Flux checkpoint"),
    (r"v_pred$", "a checkpoint that predicts velocity"),
    (r"difference$", "a ControlNet stored as its difference to a base"),
    (r"lora_controlnet$", "a Control-LoRA, which is no LoRA of a base"),
    (r"(image_proj|ip_adapter)\.", "an IP-Adapter"),
    (r"adapter\.(body|conv_in)\.", "a T2I-Adapter"),
    (r"(string_to_(param|token)|emb_params$|<)", "a textual inversion"),
)

_LORA = re.compile(
    r"lora_(unet|te|controlnet)\d?_|lycoris_|(unet|text_encoder)\..*lora|base_model\.model\."
    r"|.*[._](lora_(A|B|up|down|mid|magnitude_vector|embedding_[AB])|lora\.(up|down)|dora_scale|ia3_l)\b"
    r"|.*_lora\.(up|down)\.|.*\.(hada|lokr|oft)_"
)
# Whatever else such a file holds, it is a checkpoint.
_WHOLE = (UNET, VAE, CONTROL, POSE, "cond_stage_model.", "model_ema.")


def is_lora(names: Iterable[str]) -> bool:
    """Whether keys are a LoRA's (or LoHa's, LoKr's, ...), and not a checkpoint in which one was forgotten."""
    names = list(names)
    return any(_LORA.match(name) for name in names) and not any(name.startswith(_WHOLE) for name in names)


def check_family(names: Iterable[str], source: str) -> None:
    """Raises UserError for a file of another family or another kind, by its own name."""
    names = list(names)
    for pattern, what in FOREIGN:
        if any(re.match(pattern, name) for name in names):
            raise UserError(f"{source}: this is {what}; {SD15_FAMILY}")
    if is_lora(names):
        raise UserError(f"{source}: this is a LoRA; give it after its base: magicpose convert BASE LORA -o FOLDER")
