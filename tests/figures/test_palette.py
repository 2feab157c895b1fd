"""Palettes: told apart under colour-vision deficiency, visible on both grounds, never colour alone."""

import numpy as np

from sgm_core.figures import palette

# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
DEUTERANOPIA = [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
]
PROTANOPIA = [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
]


def linear(colours) -> np.ndarray:
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.072175],
            [0.0193339, 0.119192, 0.9503041],
        ]
    )
    xyz = np.clip(rgb, 0, 1) @ to_xyz.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def nearest(colours) -> float:
    rgb = linear(colours)
    smallest = np.inf
    for seen in (rgb, rgb @ np.array(DEUTERANOPIA).T, rgb @ np.array(PROTANOPIA).T):
        place = lab(seen)
        distance = np.linalg.norm(place[:, None] - place[None], axis=2)
        smallest = min(smallest, distance[np.triu_indices(len(colours), 1)].min())
    return float(smallest)


def contrast(colour: str, ground: str) -> float:
    weights = np.array([0.2126, 0.7152, 0.0722])
    a, b = sorted(float((linear([c]) @ weights)[0]) for c in (colour, ground))
    return (b + 0.05) / (a + 0.05)


def test_safe_colours_are_told_apart_by_every_common_colour_vision():
    assert nearest(palette.SAFE[:8]) > 15
    assert nearest(palette.SAFE) > 10
    trivial = ("#d62728", "#2ca02c", "#8c564b")  # red, green, brown: what a careless palette does
    assert nearest(trivial) < nearest(palette.SAFE[:8])


def test_every_colour_shows_on_both_grounds_of_the_theme():
    for colour in (*palette.SAFE, *(colour for colour, _ in palette.ARMS.values())):
        assert contrast(colour, "#FCFCFA") > 1.5
        assert contrast(colour, "#121517") > 2


def test_arms_differ_in_symbol_where_they_share_a_colour():
    marks = list(palette.ARMS.values())
    assert len(set(marks)) == len(marks)
    symbols = [symbol for _, symbol in palette.ARMS.values()]
    assert len(set(symbols)) == len(symbols)


def test_forty_levels_have_forty_marks():
    styles = palette.categorical([f"type {i}" for i in range(40)])
    assert len(set(styles.values())) == 40


def test_the_files_colours_are_used_unless_the_safe_ones_are_asked_for():
    given = {"HSC": "#ff0000", "GMP": "#00ff00"}
    assert palette.categorical(["HSC", "GMP"], given)["GMP"][0] == "#00ff00"
    assert palette.categorical(["HSC", "GMP"], given, colour_blind=True)["GMP"][0] == palette.SAFE[1]
    # A file that colours only some levels can't be mixed with ours.
    assert palette.categorical(["HSC", "pDC"], given)["HSC"][0] == palette.SAFE[0]
