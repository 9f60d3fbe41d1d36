"""Prompt -> text states, as Stable Diffusion 1.5 makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def encode_text(
    text_encoder: Any, tokenizer: Any, prompts: Sequence[str], device: torch.device | None = None
) -> Tensor:
    """CLIP's last hidden states of the padded prompts: [B, S, D], in the encoder's dtype.

    `device`: where the work is done, for an encoder whose weights wait elsewhere.
    """
    ids: Tensor = tokenizer(
        list(prompts),
        padding="max_length",
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_tensors="pt",
    ).input_ids
    states: Tensor = text_encoder(ids.to(device or text_encoder.device)).last_hidden_state
    return states
