"""One vector per cell from a pretrained backbone."""

import numpy as np
import torch

from sgm_core.device import autocast
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.progress import Observer
from sgm_core.training.data import Values, ahead, token_batches


@torch.no_grad()
def pooled_vectors(
    model: MaskedModel,
    values: Values,
    rows: np.ndarray,
    keep_summary: bool = True,
    precision: str = "fp32",
    observer: Observer | None = None,
) -> np.ndarray:
    """Encode each of the cells `rows` once.

    Parameters
    ----------
    model, values : the model and the normalised values of its genes
    rows : row numbers of the dataset
    keep_summary : whether the latents' summary stays in the forward pass
    precision : fp32 or bf16
    observer : is told the progress and asked whether to stop

    Returns
    -------
    Pooled vectors (cells, P), float32, in the order of `rows`.
    """
    model.eval()
    vectors = np.empty((len(rows), model.backbone.config.pooled_width), np.float32)
    place = np.empty(len(values.lengths), np.int64)
    place[rows] = np.arange(len(rows))
    done = 0
    order = list(token_batches(rows, values.lengths, 128))
    for batch, x in zip(order, ahead(values.batch, order, values.device), strict=True):
        if observer is not None:
            observer.check()
            observer.progress(done, len(rows), "encoding cells")
        with autocast(values.device, precision):
            _, pooled = model.encode(x, keep_summary)
        vectors[place[batch]] = pooled.float().cpu().numpy()
        done += len(batch)
    return vectors
