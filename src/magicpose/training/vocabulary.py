"""A CLIP tokenizer for captions of a small vocabulary, learned by byte-pair encoding.

The trainer of the `tokenizers` package breaks ties by hash order, so two runs learn different merges; this one
breaks them by spelling, so that the same captions always give the same tokenizer.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

_WORD = re.compile(r"[a-z]+|[0-9]|[^\sa-z0-9]+")  # how CLIP splits lower-case English
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789,.-'"
START, END = "<|startoftext|>", "<|endoftext|>"


def train_tokenizer(captions: Iterable[str], size: int, context_tokens: int) -> Any:
    """A `CLIPTokenizer` of at most `size` entries; prompts are padded to `context_tokens`."""
    from transformers import CLIPTokenizer

    pieces = [*_ALPHABET, *(letter + "</w>" for letter in _ALPHABET)]
    merges = learn_merges(captions, size - len(pieces) - 2)
    vocabulary = {
        piece: number for number, piece in enumerate([*pieces, *("".join(pair) for pair in merges), START, END])
    }
    return CLIPTokenizer(vocab=vocabulary, merges=merges, pad_token=END, model_max_length=context_tokens)


def learn_merges(captions: Iterable[str], count: int) -> list[tuple[str, str]]:
    """The `count` most frequent pairs, one after the other (Sennrich et al. 2016); fewer if words run out."""
    words = Counter(word for caption in captions for word in _WORD.findall(caption.lower()))
    spelled = {word: [*word[:-1], word[-1] + "</w>"] for word in words}
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in spelled.items():
            for pair in itertools.pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        spelled = {word: _merge(parts, best) for word, parts in spelled.items()}
    return merges


def _merge(parts: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for part in parts:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return merged
