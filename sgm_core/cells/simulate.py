"""A seeded simulator of an AML bone-marrow niche: the embedded demo. Nothing here was measured."""

import numpy as np
import pandas as pd
from scipy import sparse

from sgm_core import home
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.write import write_dataset
from sgm_core.errors import InputError, NotFoundError
from sgm_core.resources.panel import Panel, read_panel

NOTE = "SIMULATED: drawn from a statistical model of AML and healthy bone marrow. No patient, no measurement."
UNLABELLED = "unassigned"
TIMEPOINTS = ("Diagnosis", "Treatment", "Relapse")

# Type: share in healthy marrow, the types that it shades into (itself: none), and whether leukaemic
# cells take its likeness.
_TYPES: dict[str, tuple[float, tuple[str, ...], bool]] = {
    "HSC": (0.07, ("LMPP", "Early erythroid"), True),
    "LMPP": (0.07, ("HSC", "GMP", "pDC"), True),
    "GMP": (0.08, ("LMPP", "Promonocyte"), True),
    "Promonocyte": (0.07, ("GMP", "CD14 monocyte"), True),
    "CD14 monocyte": (0.13, ("Promonocyte", "cDC"), True),
    "cDC": (0.05, ("CD14 monocyte",), True),
    "pDC": (0.04, ("LMPP", "cDC"), False),
    "Early erythroid": (0.08, ("HSC", "Late erythroid"), False),
    "Late erythroid": (0.08, ("Early erythroid",), False),
    "CD4 T": (0.11, ("CD8 T",), False),
    "CD8 T": (0.09, ("CD4 T", "NK"), False),
    "NK": (0.05, ("CD8 T",), False),
    "B cell": (0.05, ("B cell",), False),
    "Plasma cell": (0.04, ("B cell",), False),
}
CELL_TYPES = tuple(_TYPES)
_LIKENESS = tuple(name for name, (_, _, leukaemic) in _TYPES.items() if leukaemic)
_BLASTS = {"Diagnosis": 0.7, "Treatment": 0.25, "Relapse": 0.6, "Healthy": 0.0}
_LEAST = 5  # cells of a sample
_CYCLING = {"LMPP": 0.25, "GMP": 0.4, "Promonocyte": 0.2, "Early erythroid": 0.5, "HSC": 0.05, "CD8 T": 0.05}


def simulate(
    seed: int = 0,
    n_cells: int = 3000,
    n_genes: int = 1000,
    n_aml: int = 8,
    n_healthy: int = 4,
    depth: float = 900.0,
    mixing: float = 0.17,
) -> tuple[sparse.csr_matrix, pd.DataFrame, np.ndarray]:
    """Simulate marrow samples of AML donors (diagnosis, treatment, relapse) and healthy donors.

    A cell's log2 profile is its type's, shaded towards a neighbouring type, plus the effects of its donor, of
    malignancy, of the cell cycle and of treatment; counts are negative binomial around profile x library
    size.

    Parameters
    ----------
    seed
        Same seed, same cells.
    n_cells, n_genes
        Size; genes are taken evenly from the 1,000 of the panel.
    n_aml, n_healthy
        Donors.
    depth
        Median number of molecules per cell.
    mixing
        Mean share of a neighbouring type in a cell's profile: 0 makes the types easy to tell apart.

    Returns
    -------
    counts : csr_matrix of int32, shape (n_cells, n_genes)
    obs : DataFrame
        Columns cell, donor, timepoint, condition, malignant, cell_type; about 1 % of the cells 'unassigned'.
    genes : array of str, shape (n_genes,)
    """
    panel = read_panel()
    if not 50 <= n_genes <= len(panel.genes):
        raise InputError(f"n_genes is {n_genes}: the demo has {len(panel.genes)}; take 50 to that many")
    donors, samples = n_aml + n_healthy, _samples(n_aml, n_healthy)
    least = max(10 * donors, _LEAST * len(samples))
    if donors < 2 or n_cells < least:
        raise InputError(
            f"{n_cells} cells of {donors} donors: take 2 donors or more, and for so many donors {least} cells"
        )
    rng = np.random.default_rng([seed, 20260])
    obs = _draw_cells(rng, n_cells, samples)
    profile = _profiles(rng, panel, obs, mixing)
    chosen = np.linspace(0, len(panel.genes) - 1, n_genes).round().astype(int)
    mean = np.exp2(profile)
    mean /= mean.sum(axis=1, keepdims=True)
    mean *= depth * np.exp(rng.normal(0, 0.45, size=(n_cells, 1)))
    dispersion = rng.uniform(1.5, 6, size=mean.shape[1])
    rate = rng.standard_gamma(dispersion, size=mean.shape) * (mean / dispersion)
    counts = sparse.csr_matrix(rng.poisson(rate[:, chosen]).astype(np.int32))
    hidden = rng.random(n_cells) < 0.01
    obs.loc[hidden, "cell_type"] = UNLABELLED
    return counts, obs, panel.genes[chosen]


def _samples(n_aml: int, n_healthy: int) -> list[tuple[str, str]]:
    """Return donor and timepoint of each sample: AML donors are all seen at diagnosis, some missed later."""
    of_patients = [
        (f"AML{donor + 1:02d}", timepoint)
        for donor in range(n_aml)
        for step, timepoint in enumerate(TIMEPOINTS)
        if step == 0 or (donor + step) % 5
    ]
    return of_patients + [(f"BM{donor + 1:02d}", "Healthy") for donor in range(n_healthy)]


def _draw_cells(rng: np.random.Generator, n_cells: int, samples: list[tuple[str, str]]) -> pd.DataFrame:
    """Draw samples, then each cell's type: blasts by the leukaemia, the rest by the healthy shares."""
    shares = np.array([share for share, _, _ in _TYPES.values()])
    shares /= shares.sum()
    patients = dict.fromkeys(donor for donor, when in samples if when != "Healthy")
    leukaemia = {donor: rng.dirichlet(np.full(len(_LIKENESS), 1.2)) for donor in patients}
    weights = rng.lognormal(0, 0.3, len(samples)) * [2.0 if when == "Healthy" else 1.0 for _, when in samples]
    sizes = _LEAST + rng.multinomial(n_cells - _LEAST * len(samples), weights / weights.sum())
    parts = []
    for (donor, timepoint), size in zip(samples, sizes):
        malignant = rng.random(size) < _BLASTS[timepoint] * rng.uniform(0.8, 1.2)
        types = rng.choice(CELL_TYPES, size=size, p=rng.dirichlet(shares * 60))
        if malignant.any():
            types[malignant] = rng.choice(_LIKENESS, size=malignant.sum(), p=leukaemia[donor])
        parts.append(
            pd.DataFrame(
                {
                    "cell": [f"{donor}-{timepoint}-{i:04d}" for i in range(size)],
                    "donor": donor,
                    "timepoint": timepoint,
                    "condition": "Healthy" if timepoint == "Healthy" else "AML",
                    "malignant": np.where(malignant, "yes", "no"),
                    "cell_type": types,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _profiles(rng: np.random.Generator, panel: Panel, obs: pd.DataFrame, mixing: float) -> np.ndarray:
    """Return log2 expression, shape (cells, panel genes)."""
    n_cells, n_genes = len(obs), len(panel.genes)
    effect = {
        str(name): values.to_numpy() * rng.uniform(0.6, 1.1, n_genes)
        for name, values in panel.effects.items()
    }
    by_type = np.array([effect[name] for name in CELL_TYPES])
    own = np.array([CELL_TYPES.index(name) for name in obs["cell_type"]])
    near = np.array([CELL_TYPES.index(rng.choice(_TYPES[name][1])) for name in obs["cell_type"]])
    malignant = (obs["malignant"] == "yes").to_numpy()
    # Leukaemic differentiation is blurred: more of the neighbour in malignant cells.
    share = rng.beta(1.5, 1.5 * (1 - mixing) / mixing, n_cells) if mixing else np.zeros(n_cells)
    share = np.where(malignant, np.minimum(1.25 * share, 0.9), share)[:, None]
    blend = np.log2((1 - share) * np.exp2(by_type)[own] + share * np.exp2(by_type)[near])
    log2 = panel.level + rng.normal(0, 0.7, n_genes) + blend

    cycling = rng.random(n_cells) < obs["cell_type"].map(_CYCLING).fillna(0.01).to_numpy()
    when = obs["timepoint"].to_numpy()
    for state, cells in (
        ("cycling", cycling),
        ("treated", when == "Treatment"),
        ("relapsed", malignant & (when == "Relapse")),
    ):
        log2[cells] += effect[state]
    males = _donor_effects(rng, log2, obs["donor"].to_numpy(), malignant, effect["malignant"])
    male_genes = np.isin(panel.genes, ["RPS4Y1", "DDX3Y", "EIF1AY", "KDM5D", "UTY", "USP9Y", "ZFY"])
    log2[np.ix_(~males, male_genes)] = -np.inf
    log2[np.ix_(males, panel.genes == "XIST")] = -np.inf
    return log2


def _donor_effects(
    rng: np.random.Generator,
    log2: np.ndarray,
    donors: np.ndarray,
    malignant: np.ndarray,
    programme: np.ndarray,
) -> np.ndarray:
    """Add each donor's own shifts and its leukaemia's programme in place; return which cells are male."""
    n_genes = log2.shape[1]
    males = np.zeros(len(donors), dtype=bool)
    for index, donor in enumerate(np.unique(donors)):
        cells = donors == donor
        males[cells] = index % 2 == 0
        log2[cells] += rng.normal(0, 0.25, n_genes)
        # A leukaemia expresses most, never all, of the programme, and shifts genes of its own.
        active = programme * (rng.random(n_genes) < 0.7) + rng.normal(0, 0.4, n_genes)
        log2[cells & malignant] += active
    return males


def make_demo(name: str = "demo", seed: int = 0, n_cells: int = 3000, n_genes: int = 1000) -> Dataset:
    """Return the simulated demo dataset, made at the first call.

    Parameters
    ----------
    name
        Name of the dataset; an existing simulated dataset of that name is returned as it is.
    seed, n_cells, n_genes
        As in `simulate`.

    Raises
    ------
    InputError
        If `name` is a dataset that was not simulated.
    """
    try:
        existing = open_dataset(name)
    except NotFoundError:
        existing = _write_demo(name, seed, n_cells, n_genes)
    if not existing.simulated:
        raise InputError(f"dataset {name!r} exists and holds real cells: give the demo another name")
    return existing


def _write_demo(name: str, seed: int, n_cells: int, n_genes: int) -> Dataset:
    counts, obs, genes = simulate(seed=seed, n_cells=n_cells, n_genes=n_genes)
    try:
        return write_dataset(
            name,
            [counts],
            obs,
            genes,
            roles={"donor": "donor", "cell_type": "cell_type", "timepoint": "timepoint"},
            unlabelled=(UNLABELLED,),
            source={
                "path": f"sgm_core.cells.simulate, seed {seed}",
                "format": "simulated",
                "counts": "draws",
            },
            simulated=True,
            note=NOTE,
        )
    except (InputError, OSError):
        # The server and a worker may start together; whoever is second takes the first one's.
        if not (home.home() / "datasets" / name / "dataset.json").exists():
            raise
        return open_dataset(name)
