"""Colours of many categories and of numbers."""

import numpy as np
import pytest

from sgm_core.figures.ramps import RAMPS, distinct, is_colour, ramp

LIGHT, DARK = "#FCFCFA", "#121517"


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 has it."""
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", RAMPS)
def test_a_ramp_goes_from_end_to_end_and_shows_on_both_grounds(name):
    colours = ramp(name, 255)
    assert len(colours) == 255 and all(map(is_colour, colours))
    assert (colours[0], colours[-1]) == (RAMPS[name][0][1].lower(), RAMPS[name][-1][1].lower())
    assert len(set(colours)) > 150
    assert min(contrast(colour, ground) for colour in colours for ground in (LIGHT, DARK)) > 1.3


@pytest.mark.parametrize("name", ["Viridis", "Cividis", "Magma"])
def test_lightness_rises_evenly_so_that_no_colour_sense_is_needed(name):
    values = np.array([luminance(colour) for colour in ramp(name, 50)])
    assert (np.diff(values) > 0).all()


def test_sixty_categories_have_sixty_colours():
    colours = distinct(60)
    assert len(set(colours)) == 60 and all(map(is_colour, colours))
    assert min(contrast(colour, ground) for colour in colours for ground in (LIGHT, DARK)) > 1.1


@pytest.mark.parametrize("text", ["red", "#fff", "#12345g", "url(//evil)", "#123456;x", ""])
def test_what_is_no_colour(text):
    assert not is_colour(text)
