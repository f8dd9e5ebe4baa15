"""Tiles: every pixel and every position of the code belongs to one, and fits."""

import numpy as np
import pytest

from convae_keras import tiling as tiles
from convae_keras.tiling import MARGIN, cuts


@pytest.mark.parametrize("stride", [2, 8])
@pytest.mark.parametrize("sides", [(600, 411), (3, 90_000), (1001, 1000), (40, 30)])
def test_every_place_once(sides, stride):
    n, rows, columns = 3, *(-(-side // stride) for side in sides)
    seen = np.zeros((n, *sides), int), np.zeros((n, rows, columns), int)
    largest = 0
    for cut in cuts((n, *sides, 1), (n, rows, columns, 5)):
        for counts, own in zip(seen, (cut.own_images, cut.own_codes), strict=True):
            counts[own] += 1
        largest = max(largest, seen[0][cut.images].size)
        # What is thrown away is the margin, at the same place in both.
        inner = np.ones_like(seen[1][cut.codes])[cut.inner_codes]
        assert inner.shape == seen[1][cut.own_codes].shape
        if len(cut.codes) > 1:
            before = [
                a.start - b.start
                for a, b in zip(cut.own_codes[1:], cut.codes[1:], strict=True)
            ]
            assert before == [place.start for place in cut.inner_codes[1:]]
            assert all(by in (0, MARGIN) for by in before)
    assert all((counts == 1).all() for counts in seen)
    assert largest <= max(tiles.BATCH_PIXELS, (stride * (tiles.TILE + 2 * MARGIN)) ** 2)


def test_codes_without_a_place_are_cut_by_image():
    found = [*cuts((900, 28, 28, 1), (900, 32))]
    assert [cut.images for cut in found] == [cut.codes for cut in found]
    assert sum(len(range(900)[cut.images[0]]) for cut in found) == 900
    assert len(found) > 1
