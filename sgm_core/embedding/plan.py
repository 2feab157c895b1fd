"""What embedding will take, said before it starts: tokens, memory, time; and how cells share batches."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from sgm_core.device import usable_cores
from sgm_core.errors import InputError
from sgm_core.model.interface import BackboneConfig
from sgm_core.units import duration

MAX_TOKENS = 15_000
"""Tokens of one cell: the released model's own limit in pretraining."""
_CORE_RATE = 3.5e10  # multiply-adds per second of one core, measured at full size in float32
_MOST_CELLS = 256  # their dense values are made at once
_COPIES = 14  # of a token's vector that are alive at once in an encoder block, at four times feed-forward


def default_batch_tokens(device: torch.device) -> int:
    """Return how many tokens a batch may have."""
    return 65_536 if device.type == "cuda" else 8_192


def batches(lengths: np.ndarray, batch_tokens: int) -> Iterator[np.ndarray]:
    """Yield row numbers of cells of similar length, at most `batch_tokens` tokens at once (or one cell)."""
    batch: list[int] = []
    tokens = 0
    for row in np.argsort(lengths, kind="stable").tolist():
        if batch and (tokens + lengths[row] > batch_tokens or len(batch) == _MOST_CELLS):
            yield np.array(batch)
            batch, tokens = [], 0
        batch.append(row)
        tokens += int(lengths[row])
    if batch:
        yield np.array(batch)


def seconds(config: BackboneConfig, lengths: np.ndarray, decoded: bool = False) -> float:
    """Return about how long this machine's CPU takes for cells of these `lengths`, in float32."""
    tokens = np.asarray(lengths, np.float64)
    if config.kind == "scbert":  # attention by random features: time goes with the tokens
        inner = _inner(config)
        features = int(_head_dim(config) * np.log(max(_head_dim(config), 2)))
        block = 4 * config.width * inner + 2 * config.ff * config.width**2 + 4 * inner * features
        return float(config.depth * tokens.sum() * block) / (_CORE_RATE * usable_cores())
    linear, quadratic = config.width**2 * (4 + 2 * config.ff), 2 * config.width
    work = config.depth * float((tokens * (linear + tokens * quadratic)).sum())
    if decoded:
        inner = config.decoder_heads * config.decoder_head_dim
        features = config.decoder_head_dim * np.log(max(config.decoder_head_dim, 2))
        block = 4 * config.decoder_width * inner + 8 * config.decoder_width**2 + 4 * inner * features
        work += len(tokens) * config.n_positions * config.decoder_depth * float(block)
    return work / (_CORE_RATE * usable_cores())


def memory(config: BackboneConfig, tokens: int) -> int:
    """Return about how many bytes encoding a batch of `tokens` takes beyond the weights, in float32."""
    if config.kind == "scbert":
        return int(tokens * 4 * ((6 + 2 * config.ff) * config.width + 6 * _inner(config)))
    return int(tokens * config.width * 4 * _COPIES)


def _head_dim(config: BackboneConfig) -> int:
    return config.head_dim or config.width // config.heads


def _inner(config: BackboneConfig) -> int:
    return config.heads * _head_dim(config)


def decoder_memory(config: BackboneConfig, n_cells: int) -> int:
    """Return about how many bytes decoding `n_cells` at once takes beyond the weights, in float32."""
    inner = config.decoder_heads * config.decoder_head_dim
    return int(n_cells * config.n_positions * 4 * (12 * config.decoder_width + 5 * inner))


def free_memory(device: torch.device) -> int:
    """Return how many bytes are free on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def check_plan(
    config: BackboneConfig,
    lengths: np.ndarray,
    call: Callable[[int], str],
    device: torch.device,
    batch_tokens: int,
    max_tokens: int,
    result_bytes: int,
    decoded_at_once: int,
) -> None:
    """Refuse what is too long or does not fit into memory, with numbers.

    Parameters
    ----------
    config : shape of the backbone
    lengths : tokens of each cell (n,)
    call : names a cell for messages
    device : where it will run
    batch_tokens, max_tokens : see `sgm_core.embedding.cells.embed`
    result_bytes : size of the result
    decoded_at_once : cells in one call of the decoder, 0 if it is not needed

    Raises
    ------
    InputError
        With what to change.
    """
    longest = int(lengths.max())
    if longest > max_tokens and not config.cell_token:
        row = int(lengths.argmax())
        over = lengths[lengths > max_tokens]
        raise InputError(
            f"{call(row)} has {longest:,} tokens and {max_tokens:,} are allowed ({len(over):,} of "
            f"{len(lengths):,} cells are over it). Attention grows with the square: these would take "
            f"{_size(memory(config, longest))} and about {duration(seconds(config, over))} on this "
            "machine's CPU. Bulk samples express nearly every gene; leave out genes with few counts, or say "
            f"max_tokens={longest} (--max-tokens) to run it all the same"
        )
    at_once = min(int(lengths.sum()), max(batch_tokens, longest))
    need = max(memory(config, at_once), decoder_memory(config, decoded_at_once))
    free = free_memory(device)
    here = result_bytes if device.type == "cpu" else 0
    if need + here > free:
        advice = (
            "say --batch-tokens or "
            f"batch_tokens={max(longest, int(batch_tokens * (free - here) / (2 * need)))}"
            if memory(config, longest) + here < free and not decoded_at_once
            else "give fewer cells at once, or use a machine with more"
        )
        raise InputError(
            f"a batch of {at_once:,} tokens needs about {_size(need)}, the result {_size(here)}, "
            f"and {_size(free)} of memory is free: {advice}"
        )


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.1f} MB"
