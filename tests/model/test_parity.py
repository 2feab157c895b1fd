"""Parity with the public scFoundation modules: tensors that they gave for random weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sgm_core.model.backbone import Backbone
from sgm_core.model.checkpoint import KEYS, official_config, official_names, read_official
from sgm_core.model.interface import OFFICIAL_POOLS

DTYPES = {"fp64": (torch.float64, 1e-9, 1e-9), "fp32": (torch.float32, 1e-5, 1e-4)}  # outputs, gradients
MODES = ("t4", "f1", "f2.5", "a5", "bulk_F", "bulk_T")


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "fixtures" / "scfoundation_tiny"


@pytest.fixture(scope="module")
def inputs(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "inputs.pt", weights_only=True)


@pytest.fixture(scope="module", params=list(DTYPES))
def case(request: pytest.FixtureRequest, folder: Path):
    """Expected tensors, number format, and the two tolerances (relative to each tensor's maximum)."""
    dtype, outputs, gradients = DTYPES[request.param]
    return torch.load(folder / f"expected_{request.param}.pt", weights_only=True), dtype, outputs, gradients


def read(folder: Path, key: str, dtype: torch.dtype, compat: str = "corrected") -> Backbone:
    stored = read_official(folder / "models.ckpt", key)
    backbone = Backbone(replace(stored.config, compat=compat))
    backbone.load_state_dict(stored.state_dict())
    return backbone.to(dtype).eval()


def assert_close(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float, what: str = "") -> None:
    difference = (ours.detach().reshape(theirs.shape) - theirs).abs().max()
    assert difference <= tolerance * theirs.abs().max(), f"{what}: {difference:.2e}"


@torch.no_grad()
def test_value_embedding(folder: Path, inputs, case) -> None:
    expected, dtype, tolerance, _ = case
    model, probe = read(folder, "gene", dtype), inputs["probe_values"].to(dtype)
    ours = model.values(probe)
    assert_close(ours[:, :-2], expected["gene.probe_embedding"][:, :-2], tolerance)
    assert_close(model.values.masked, expected["gene.probe_embedding"][0, -2], tolerance)
    assert model.values.pad is not None
    assert_close(model.values.pad, expected["gene.probe_embedding"][0, -1], tolerance)
    assert_close(model.values.bins(probe)[:, :-2], expected["gene.probe_bin_weights"][:, :-2], tolerance)


@torch.no_grad()
@pytest.mark.parametrize("key", ("cell", "rde"))
def test_cell_embeddings(folder: Path, inputs, case, key: str) -> None:
    """All cells in one packed call, against the official code cell by cell."""
    expected, dtype, tolerance, _ = case
    model, checked = read(folder, key, dtype), 0
    for mode in MODES:
        x = inputs[f"x_{mode}"].to(dtype)
        encoded = model.encode(x, model.shown(x))
        for pool, parts in OFFICIAL_POOLS.items():
            name = f"{key}.embedding_{pool}_{mode}"
            if name in expected:
                assert_close(model.pool(encoded, x, parts), expected[name], tolerance, name)
                checked += 1
        if mode == "t4":
            first = encoded.tokens[encoded.cell == 0]
            assert_close(first, expected[f"{key}.encoder_cell0"], tolerance)
    assert checked == sum(name.startswith(f"{key}.embedding_") for name in expected)


@torch.no_grad()
def test_encoder_of_a_batch(folder: Path, inputs, case) -> None:
    expected, dtype, tolerance, _ = case
    model, x = read(folder, "gene", dtype), inputs["x_t4"].to(dtype)
    rows = ~inputs["full_encoder_padding"]
    encoded = model.encode(x, model.shown(x))
    assert_close(encoded.tokens, expected["gene.encoder_batch"][rows], tolerance)
    assert encoded.at.tolist() == inputs["full_encoder_positions"][rows].tolist()


@torch.no_grad()
def test_decoder_cell_by_cell(folder: Path, inputs, case) -> None:
    """The corrected stabiliser gives for a batch what the official code gives for each cell alone."""
    expected, dtype, tolerance, _ = case
    model, x = read(folder, "gene", dtype), inputs["x_t4"].to(dtype)
    nothing = torch.zeros_like(x, dtype=torch.bool)
    encoded = model.encode(x, model.shown(x))
    assert_close(model.decode(encoded, nothing), expected["gene.reconstruction_single"], tolerance)
    assert_close(model.decoder_states(encoded, nothing), expected["gene.gene_embedding_single"], tolerance)


@torch.no_grad()
def test_decoder_of_a_batch_as_the_official_code_has_it(folder: Path, inputs, case) -> None:
    expected, dtype, tolerance, _ = case
    model, x = read(folder, "gene", dtype, "official"), inputs["x_t4"].to(dtype)
    nothing = torch.zeros_like(x, dtype=torch.bool)
    encoded = model.encode(x, model.shown(x))
    assert_close(model.decode(encoded, nothing), expected["gene.reconstruction_batch"], tolerance)
    assert_close(model.decoder_states(encoded, nothing), expected["gene.gene_embedding_batch"], tolerance)


@pytest.mark.parametrize("recompute", (False, True), ids=("kept", "recomputed"))
def test_masked_loss_and_every_gradient(folder: Path, inputs, case, recompute: bool) -> None:
    expected, dtype, tolerance, gradient_tolerance = case
    model, x = read(folder, "gene", dtype, "official"), inputs["x_t4"].to(dtype)
    model.recompute = recompute
    masked = inputs["mask"]
    predicted = model.decode(model.encode(x, model.shown(x) & ~masked), masked)
    assert_close(predicted, expected["gene.masked_reconstruction"], tolerance)
    loss = (predicted - x)[masked].square().mean()
    assert_close(loss, expected["gene.masked_mse"], tolerance)
    loss.backward()
    parameters, names = dict(model.named_parameters()), official_names(model.config)
    checked = 0
    for ours, parameter in parameters.items():
        theirs = expected[f"grad.{names[ours]}"]
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        assert_close(gradient, theirs, gradient_tolerance, names[ours])
        checked += 1
    assert checked == sum(name.startswith("grad.") for name in expected)


def test_the_full_size_has_the_265_official_names_and_shapes(shared: Path) -> None:
    lines = (shared / "fixtures" / "scfoundation_state_dict.txt").read_text().splitlines()
    expected = {}
    for line in lines:
        if line and not line.startswith("#"):
            name, shape, dtype, _ = line.split("\t")
            expected[name] = (shape, dtype)
    assert len(expected) == 265
    config = official_config(
        {
            "model": "mae_autobin",
            "model_config": {
                "mae_autobin": {
                    "seq_len": 19266,
                    "bin_num": 100,
                    "bin_alpha": 1.0,
                    "encoder": {
                        "hidden_dim": 768,
                        "depth": 12,
                        "heads": 12,
                        "module_type": "transformer",
                        "norm_first": False,
                    },
                    "decoder": {
                        "hidden_dim": 512,
                        "depth": 6,
                        "heads": 8,
                        "dim_head": 64,
                        "module_type": "performer",
                    },
                }
            },
        }
    )
    with torch.device("meta"):
        model = Backbone(config)
    ours = {}
    for mine, theirs in official_names(config).items():
        tensor = model.state_dict()[mine]
        shape = (1, *tensor.shape) if mine in ("values.masked", "values.pad") else tuple(tensor.shape)
        ours[theirs] = (str(shape), str(tensor.dtype).removeprefix("torch."))
    assert ours == expected
    assert set(official_names(config)) == set(model.state_dict())
    assert sum(p.numel() for p in model.parameters()) == 119_252_285


def test_every_weight_set_of_the_file_can_be_read(folder: Path) -> None:
    tables = [read_official(folder / "models.ckpt", key).values.table for key in KEYS]
    assert not torch.equal(tables[0], tables[1]) and not torch.equal(tables[1], tables[2])
