"""Estimates from pairs whose ends are near: a Gaussian process over pairs of places (kriging).

The logarithm of (round trip + 3 ms) over (fibre floor + 3 ms) - how much longer than glass on the great circle - is a
constant, plus what each end adds for itself, plus what the country around it adds, plus what a route from here to there
adds. Pairs are alike as far as their ends are near: Rasmussen and Williams, Gaussian Processes for Machine Learning
(2006), chapter 2, with a kernel over both ends in either order. Only the nearest rows are asked (local kriging).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Mask = NDArray[np.bool_]

EARTH_KM = 6371.0088
VACUUM_MS_PER_KM = 2e3 / 299_792.458
"""Both ways; equals analysis.geo.floor, which this room may not import (a test compares them)."""
FIBRE_INDEX = 1.468
FIBRE_MS_PER_KM = VACUUM_MS_PER_KM * FIBRE_INDEX
OFFSET_MS = 3.0
"""Added to both sides of the ratio, so that a metro's tenths of a millisecond do not shout."""

MEAN = 0.5
"""Of the logarithm, before any evidence: a round trip of 1.65 times the floor (spread 0.3 either way)."""
NEIGHBOURS = 128
_BATCH = 32
_NEVER = 1e9

# Standard deviations of the parts of the logarithm and the distances over which they fade. Set by hand; six variants
# moved a benchmark set's median error by up to 40 % either way, so they are not worth fitting (decision 0173).
_CONSTANT, _OWN_NETWORK, _END = 0.3, 0.1, 0.05
_COUNTRY, _COUNTRY_KM = 0.12, 700.0
_ROUTES = ((0.15, 400.0), (0.25, 2500.0))
_BACKBONES, _ANY = 0.7, 0.4
"""What a pair of other networks still tells of a route: between clouds with wires of their own, and otherwise."""
NOISE = 0.04


class Field(NamedTuple):
    """Known pairs, for kriging.

    Attributes:
        distance_km: between all ends, n x n.
        network: a number for each end's network.
        backbone: whether that is a cloud with wires of its own.
        pairs: rows, m x 2, indexes of ends.
        ratio: the logarithm for each row.
        noise: its standard deviation for each row.
        faded: `fading` of the distances.
    """

    distance_km: Floats
    network: Whole
    backbone: Mask
    pairs: Whole
    ratio: Floats
    noise: Floats
    faded: tuple[Floats, ...]


class Guess(NamedTuple):
    """For each asked pair the logarithm, its standard deviation, the rows used and their weights."""

    ratio: Floats
    spread: Floats
    rows: Whole
    weights: Floats


def distances_km(latitude: Floats, longitude: Floats) -> Floats:
    """Great-circle distances of all points to each other (haversine)."""
    phi, east = np.radians(latitude), np.radians(longitude)
    half = np.sin((phi[:, None] - phi[None]) / 2) ** 2
    half += np.cos(phi[:, None]) * np.cos(phi[None]) * np.sin((east[:, None] - east[None]) / 2) ** 2
    return 2 * EARTH_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1)))


def fading(distance_km: Floats) -> tuple[Floats, ...]:
    """How much two ends share, by each of the reaches; made once, because a kernel asks for it very often."""
    reaches = (_COUNTRY_KM, *(reach for _, reach in _ROUTES))
    return tuple(np.exp(-distance_km / reach) for reach in reaches)


def ratio_of(ms: Floats, distance_km: Floats) -> Floats:
    """The logarithm that is estimated."""
    return np.log((ms + OFFSET_MS) / (distance_km * FIBRE_MS_PER_KM + OFFSET_MS))


def krige(field: Field, asked: Whole, hidden: Mask | None = None) -> Guess:
    """What the nearest rows say of each asked pair (k x 2); rows in `hidden` (k x m) are not looked at."""
    many = min(NEIGHBOURS, len(field.pairs))
    ratio, spread = np.zeros(len(asked)), np.zeros(len(asked))
    rows, weights = np.zeros((len(asked), many), np.int64), np.zeros((len(asked), many))
    for start in range(0, len(asked), _BATCH):
        part = slice(start, start + _BATCH)
        far = _apart(field, asked[part])
        if hidden is not None:
            far = np.where(hidden[part], _NEVER, far)
        chosen = np.argpartition(far, many - 1, axis=1)[:, :many]
        useless = np.take_along_axis(far, chosen, 1) >= _NEVER
        target = asked[part][:, None, :]
        known = _kernel(field, field.pairs[chosen], field.pairs[chosen])
        diagonal = np.arange(many)
        known[:, diagonal, diagonal] += field.noise[chosen] ** 2 + np.where(useless, 1e6, 0.0)
        toward = _kernel(field, target, field.pairs[chosen])[:, 0, :]
        toward[useless] = 0.0
        weight = np.linalg.solve(known, toward[..., None])[..., 0]
        ratio[part] = MEAN + (weight * (field.ratio[chosen] - MEAN)).sum(1)
        own = _kernel(field, target, target)[:, 0, 0]
        spread[part] = np.sqrt(np.maximum(own - (weight * toward).sum(1), 0.0) + NOISE**2)
        rows[part], weights[part] = chosen, weight
    return Guess(ratio, spread, rows, weights)


def _apart(field: Field, asked: Whole) -> Floats:
    """How far rows are from asked pairs: both ends' distances, halved when an end is shared."""
    far = field.distance_km
    a, b = asked[:, 0], asked[:, 1]
    c, d = field.pairs[:, 0], field.pairs[:, 1]
    apart = np.minimum(far[a][:, c] + far[b][:, d], far[a][:, d] + far[b][:, c])
    shared = (a[:, None] == c) | (a[:, None] == d) | (b[:, None] == c) | (b[:, None] == d)
    return np.where(shared, apart / 2, apart)


def _kernel(field: Field, some: Whole, others: Whole) -> Floats:
    i, j = some[..., :, None, 0], some[..., :, None, 1]
    k, m = others[..., None, :, 0], others[..., None, :, 1]
    net = field.network
    country, *routes = field.faded
    made = _COUNTRY**2 * (country[i, k] + country[j, m] + country[i, m] + country[j, k])
    for (share, _), faded in zip(_ROUTES, routes, strict=True):
        made += share**2 * (faded[i, k] * faded[j, m] + faded[i, m] * faded[j, k])
    alike = (net[i] == net[k]) & (net[j] == net[m]) | (net[i] == net[m]) & (net[j] == net[k])
    backbones = field.backbone[i] & field.backbone[j] & field.backbone[k] & field.backbone[m]
    made = made * np.where(alike, 1.0, np.where(backbones, _BACKBONES, _ANY))
    same = (i == k).astype(float) + (j == m) + (i == m) + (j == k)
    return np.asarray(made + _CONSTANT**2 + _OWN_NETWORK**2 * alike + _END**2 * same)
