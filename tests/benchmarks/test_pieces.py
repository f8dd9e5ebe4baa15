"""What is compared in speed computes the same."""

import numpy as np
import pytest
from pieces import PIECES, arguments, forward_and_backward

pytestmark = pytest.mark.static


@pytest.mark.slow
@pytest.mark.parametrize("name", PIECES)
def test_both_ways_return_the_same_numbers(name, monkeypatch):
    monkeypatch.setattr("pieces.BATCH_SIZE", 2)
    (side, channels, wanted), *ways = PIECES[name]
    x, kernel, bias = arguments(side, channels)
    assert x.shape == (2, side, side, channels[0])
    outputs, gradients = zip(
        *(forward_and_backward(way, side, channels, wanted)() for way in ways),
        strict=True,
    )
    np.testing.assert_allclose(*outputs, atol=1e-5)
    for usual, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(usual, other, rtol=1e-4, atol=1e-3)
