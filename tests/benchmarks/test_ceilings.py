"""Operations and bytes, counted by hand for the printed Keras network."""

import numpy as np
import pytest
from ceilings import cost, training_step

from convae_keras import conv_autoencoder

ENCODER = 9 * 16 * 28**2 + 9 * 16 * 8 * 14**2
DECODER = 9 * 8 * 8 * 14**2


@pytest.mark.static
def test_operations_are_those_of_the_convolutions():
    plain, bytes_ = cost(conv_autoencoder("keras", fused=False))
    assert plain == 3 * 2 * (ENCODER + DECODER + 9 * 8 * 28**2)
    # Each layer reads what the one before it wrote.
    written = (28**2 * 16, 14**2 * 16, 14**2 * 8, 14**2 * 8, 28**2 * 8)
    assert bytes_ == 3 * 4 * (2 * sum(written) + 2 * 28**2)
    # Fused: 16 products for each of a quarter of the pixels.
    fused, _ = cost(conv_autoencoder("keras"))
    assert fused == 3 * 2 * (ENCODER + DECODER + 16 * 8 * 14**2)


@pytest.mark.static
def test_dense_and_transposed_layers_are_counted():
    operations, _ = cost(conv_autoencoder("pytorch"))
    encoder = 9 * 16 * 28**2 + 9 * 16 * 32 * 14**2
    assert operations == 3 * 2 * (encoder + 9 * 32 * 16 * 7**2 + 9 * 16 * 14**2)
    reference = conv_autoencoder("reference")
    narrow, wide = (conv_autoencoder("reference", latent_dim=n) for n in (32, 33))
    assert cost(narrow) == cost(reference)
    assert cost(wide)[0] - cost(narrow)[0] == 3 * 2 * 2 * 7 * 7 * 64


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_step_trains_in_whole_or_in_parts():
    x = np.random.default_rng(0).random((4, 28, 28, 1), "float32")
    models = [conv_autoencoder("keras", seed=0) for _ in range(2)]
    losses = [
        training_step(m, x, parts)() for m, parts in zip(models, (1, 2), strict=True)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert models[0].optimizer.iterations == 1
    half = [np.concatenate([w.ravel() for w in m.get_weights()]) for m in models]
    np.testing.assert_allclose(*half, atol=2e-3)
