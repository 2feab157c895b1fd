"""What the released code hides beyond the draw: named faults, which come back with compat=official."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from sgm_core.model.bundle import bundle_names
from sgm_core.model.masking import cell_noise, pack
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.model.weights import import_weights, load_backbone
from sgm_core.training.config import pretrain_config

N = 300


def masked_model(shared: Path, kind: str, compat: str) -> tuple[MaskedModel, Tensor, Tensor]:
    """Return a model, values (N, L) of cells, and a draw of their masks."""
    folder = shared / f"fixtures/{kind}_tiny"
    if kind not in bundle_names():
        import_weights(folder, None if kind == "scgpt" else folder / "genes.json", kind)
    backbone = load_backbone(kind, compat=compat).double()
    length = backbone.config.n_positions
    config = pretrain_config(backbone=kind, masker="uniform", summary="none", latents=4, subset=2)
    model = MaskedModel(backbone, config.to_dict(), torch.arange(length) < length - 1)
    generator = torch.Generator().manual_seed(0)
    x = 4 * torch.rand(N, length, generator=generator, dtype=torch.float64)
    x = x * (torch.rand(N, length, generator=generator) < 0.6)
    x[:, -1] = 0
    x[0] = 0
    x[0, :3] = torch.tensor([3.0, 0, 0])  # of one expressed gene
    noise = cell_noise(0, 0, 0, range(N), length)
    return model, x, model.draw(x, noise, torch.zeros(N, 2, dtype=torch.long)).masked


def test_a_tenth_of_scberts_drawn_genes_is_left_as_it_is(shared: Path) -> None:
    """Named fault: they are scored, and the encoder sees what is to be predicted."""
    model, x, drawn = masked_model(shared, "scbert", "official")
    backbone, codes = model.backbone, model.backbone.codes(x)
    hidden, scored = backbone.as_released(codes, drawn)
    assert torch.equal(scored, drawn) and not (hidden & ~drawn).any()
    total, left = int(drawn.sum()), int((drawn & ~hidden).sum())
    assert abs(left - 0.1 * total) < 5 * (0.09 * total) ** 0.5 and left > 10
    # the number is rounded up, and a gene alone is hidden
    maskable = backbone.maskable(codes).sum(1)
    assert torch.equal(drawn.sum(1), (maskable * 0.15).ceil().long()) and maskable[0] == drawn[0].sum() == 1
    # a gene's mask does not depend on the cells beside it
    alone = backbone.as_released(codes[7:8], drawn[7:8])[0]
    assert torch.equal(alone[0], hidden[7])
    # the loss is that of the drawn genes, with the left ones in sight
    at, real = pack(drawn)
    encoded = backbone.encode(codes, backbone.shown(codes) & ~hidden, None, hidden)
    logits = backbone.logits(encoded, at)[real]
    wanted = torch.nn.functional.cross_entropy(logits, codes.gather(1, at)[real].long())
    assert torch.allclose(model(x, drawn).loss, wanted, rtol=1e-10)

    model, x, drawn = masked_model(shared, "scbert", "corrected")
    codes = model.backbone.codes(x)
    assert all(torch.equal(one, drawn) for one in model.backbone.as_released(codes, drawn))
    assert drawn[0].sum() == 0  # a cell's only gene is left
    other = torch.where(drawn, 5 - codes, codes)
    made = [model._encode_masked(one, drawn, drawn)[0].tokens for one in (codes, other)]
    assert torch.equal(*made)


def test_scgpts_token_of_the_cell_is_hidden_now_and_then(shared: Path) -> None:
    """Named fault: its masking takes <cls> for a gene, whose value, 0, is to be predicted."""
    model, x, drawn = masked_model(shared, "scgpt", "official")
    backbone, codes = model.backbone, model.backbone.codes(x)
    hidden, scored = backbone.as_released(codes, drawn)
    assert torch.equal(hidden, scored) and torch.equal(hidden[:, :-1], drawn[:, :-1])
    assert not drawn[:, -1].any()
    share = 0.4 * N
    assert abs(int(hidden[:, -1].sum()) - share) < 5 * (0.6 * share) ** 0.5
    # zeros may be drawn as well, and have no tokens: the share is that of the expressed genes
    zeros = backbone.maskable(codes) & (codes == 0)
    also = backbone.as_released(codes, drawn | zeros)[0][:, -1]
    assert abs(int(also.sum()) - share) < 5 * (0.6 * share) ** 0.5
    at, real = pack(hidden)
    encoded = backbone.encode(codes, backbone.shown(codes) & ~hidden, None, hidden)
    wanted = backbone.score(encoded, hidden, at, real, codes).loss
    assert torch.allclose(model(x, drawn).loss, wanted, rtol=1e-10)
    first = int(hidden[:, -1].nonzero()[0])
    entered = backbone.embed_tokens(codes, backbone.shown(codes) & ~hidden, None, hidden)
    cls = backbone.cells(entered)[first] - backbone.gene_norm(backbone.positions.weight[-2])
    assert torch.allclose(cls, backbone.values(codes.new_tensor(-1.0)), atol=1e-10)

    model, x, drawn = masked_model(shared, "scgpt", "corrected")
    assert all(torch.equal(one, drawn) for one in model.backbone.as_released(model.backbone.codes(x), drawn))


@pytest.mark.parametrize("kind", ("scgpt", "scbert"))
def test_the_official_ways_train(few_cells, shared: Path, tmp_path: Path, kind: str) -> None:
    from other_bundles import other_bundle

    from sgm_core.cells.split import donor_folds
    from sgm_core.training.pretrain import pretrain

    other_bundle(kind, list(map(str, few_cells.genes[:250])), shared, tmp_path)
    config = pretrain_config(
        data="few", backbone=kind, compat="official", epochs=1, batch_size=16, device="cpu", latents=4,
        latent_width=8, subset=2, guide="error",
    )  # fmt: skip
    result = pretrain(few_cells, config, donor_folds(few_cells, n_folds=3)[0])
    counted = result.masks[result.masks["by"] == "all"]
    assert counted["masked"].sum() == counted["masked_nonzero"].sum() > 0
