"""Named palettes, each with its reason; every colour shows on near-white and on near-black.

Colour never speaks alone: arms have a symbol each, a class its name in the legend and on the map.
"""

from collections.abc import Mapping, Sequence

from sgm_core.analysis.arm_names import arm_name as arm_name

# The first six are Okabe and Ito's (https://jfly.uni-koeln.de/color), without the yellow and the black that
# one of the two grounds swallows. The rest was added one by one: of the colours of lightness 40-80 and chroma
# under 72, the one farthest (CIELAB) from all before it under normal vision, deuteranopia and protanopia
# (matrices of Machado et al. 2009, doi:10.1109/TVCG.2009.113).
SAFE = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#AACC77", "#BB2233",
    "#0066DD", "#DDBBBB", "#446666", "#3399FF", "#CC7744", "#44CCDD", "#775588", "#EEBB55",
    "#FF6688", "#AA6655", "#AA4411", "#BBCC99",)  # fmt: skip
SYMBOLS = ("circle", "diamond", "square", "cross", "triangle-up", "x")

# Lightness rises evenly and hue runs blue - green - yellow, safe for all (van der Walt and Smith 2015); the
# darkest tenth is cut, so that low values stay visible on a dark ground.
VIRIDIS = ((0.0, "#482475"), (0.25, "#3a528b"), (0.5, "#21918c"), (0.75, "#5ec962"), (1.0, "#e5d33a"))
# Grey for none, then purple to orange with rising lightness (after plasma): no expression recedes and
# expression stands out, on light and on dark.
EXPRESSION = ((0.0, "rgba(140,145,150,0.30)"), (0.08, "#7868B4"), (0.5, "#CC5A8A"), (1.0, "#F2A431"))
# One hue on transparent for shares in a matrix.
SHARE = ((0.0, "rgba(0,114,178,0.04)"), (0.5, "rgba(0,114,178,0.5)"), (1.0, "rgba(0,114,178,1)"))

ARMS = {
    "self-guided": ("#D55E00", "diamond"),
    "expression+summary": ("#E69F00", "triangle-up"),
    "inverse-expression+summary": ("#AACC77", "triangle-down"),
    "programmes+summary": ("#44CCDD", "hexagon"),
    "error-guided+summary": ("#775588", "hourglass"),
    "reducible-error+summary": ("#AA6655", "bowtie"),
    "sma+summary": ("#BB2233", "star-diamond"),
    "adios+summary": ("#446666", "pentagon"),
    "random-ratio+summary": ("#3399FF", "octagon"),
    "uniform+summary": ("#0072B2", "square"),
    "uniform": ("#56B4E9", "circle"),
    "original": ("#CC79A7", "star"),
    "no-pretraining": ("#8A8F98", "x"),
    "pca-logistic": ("#009E73", "circle-open"),
    "pca-knn": ("#009E73", "square-open"),
    "hvg-logistic": ("#009E73", "diamond-open"),
    "majority": ("#8A8F98", "x-thin-open"),
}
"""Colour and symbol of arms and baselines, in the order in which figures and tables show them."""
SCHEMES = {
    "linear-probe": "Linear probe",
    "partial": "Partial finetune",
    "last-block": "Last block",
    "official": "scFoundation's own",
    "baseline": "Baseline",
}
FAMILIES = {
    "mitochondrial": ("Mitochondrial", "#D55E00", "diamond"),
    "ribosomal": ("Ribosomal", "#0072B2", "square"),
    "haemoglobin": ("Haemoglobin", "#BB2233", "triangle-up"),
    "immunoglobulin_tcr": ("Immunoglobulin / TCR", "#CC79A7", "cross"),
    "sex_linked": ("Sex-linked", "#E69F00", "x"),
    "stress": ("Dissociation stress", "#009E73", "pentagon"),
}

VERDICTS = {
    "known": ("#009E73", "star"),
    "plausible": ("#0072B2", "square-open"),
    "artefact": ("#CC79A7", "x"),
    "unclear": ("#8A8F98", "hexagon-open"),
    "divided": ("#E69F00", "star-triangle-up-open"),
}
"""Colour and symbol of what reviewers say of a gene."""


def arm_colour(arm: str, index: int = 0) -> str:
    """Return the arm's fixed colour; anything unknown takes the safe palette's colour number `index`."""
    return ARMS[arm][0] if arm in ARMS else SAFE[index % len(SAFE)]


def arm_symbol(arm: str) -> str:
    """Return the arm's fixed symbol."""
    return ARMS[arm][1] if arm in ARMS else "circle"


def categorical(
    levels: Sequence[str], given: Mapping[str, str] | None = None, colour_blind: bool = False
) -> dict[str, tuple[str, str]]:
    """Return colour and symbol of each level.

    Parameters
    ----------
    levels
        In the order wanted; past 20 the colours repeat with another symbol.
    given
        Colours that came with the file; used when they cover every level, unless `colour_blind`.
    colour_blind
        Take the safe colours whatever the file brings.
    """
    if given and not colour_blind and all(level in given for level in levels):
        return {level: (given[level], SYMBOLS[0]) for level in levels}
    return {
        level: (SAFE[i % len(SAFE)], SYMBOLS[i // len(SAFE) % len(SYMBOLS)]) for i, level in enumerate(levels)
    }
