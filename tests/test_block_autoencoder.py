"""The autoencoder of blocks: its shapes, and that it learns."""

import numpy as np
import pytest

from convae_keras import block_autoencoder, train
from convae_keras.baselines import mean_image
from convae_keras.data.patches import photograph_patches
from convae_keras.evaluation import reconstruct
from convae_keras.metrics import psnr
from convae_keras.models import count_trainable, pixel_range
from convae_keras.pipelines import to_float
from convae_keras.saving import load_model

pytestmark = pytest.mark.slow

SMALL = {"filters": (4, 8), "seed": 0}


@pytest.mark.parametrize(
    "shape, options, code",
    [
        ((64, 64, 3), {}, (8, 8, 8)),
        ((60, 81, 1), {}, (8, 11, 3)),
        ((28, 28, 1), {"latent_dim": 5}, (4, 4, 5)),
        ((3, 2, 3), SMALL, (1, 1, 2)),
        ((8, 8, 1), {"filters": (4,)}, (4, 4, 1)),
    ],
)
def test_shapes(shape, options, code):
    model = block_autoencoder(shape, **options)
    assert model.encoder.output_shape == (None, *code)
    x = np.random.default_rng(0).random((2, *shape), "float32")
    y = model.predict(x, verbose=0)
    assert y.shape == x.shape and y.dtype == "float32" and pixel_range(model) == (0, 1)


def test_it_has_few_weights():
    assert count_trainable(block_autoencoder((512, 512, 3))) < 200_000


def test_the_weights_come_from_the_seed(tmp_path):
    model, same = (block_autoencoder((8, 8, 1), **SMALL) for _ in range(2))
    other = block_autoencoder((8, 8, 1), filters=(4, 8), seed=1)
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).random((2, 8, 8, 1), "float32")
    y = model.predict(x, verbose=0)
    for equal in (same, load_model(tmp_path / "model.keras")):
        pairs = zip(equal.get_weights(), model.get_weights(), strict=True)
        assert all(np.array_equal(*pair) for pair in pairs)
        np.testing.assert_allclose(equal.predict(x, verbose=0), y, rtol=1e-5)
    assert (other.predict(x, verbose=0) != y).any()


def test_it_learns_from_few_photographs():
    parts = photograph_patches(32)
    x, targets = parts["x_train"], to_float(parts["x_test"][::10])
    x = x[:: len(x) // 40]
    model = block_autoencoder((32, 32, 3), seed=0)
    options = {"epochs": 8, "batch_size": 4, "learning_rate": 0.002, "verbose": 0}
    train(model, x, augment=True, **options)
    mean = psnr(targets, mean_image(x)(targets)).mean()
    assert psnr(targets, reconstruct(model, targets)).mean() > mean + 4


@pytest.mark.parametrize(
    "options, message",
    [
        ({"image_shape": (None, None, 3)}, "`image_shape` must be .*, a fixed size"),
        ({"image_shape": (8, 8)}, "`image_shape` must be"),
        ({"latent_dim": 0}, "`latent_dim` must be"),
        ({"filters": ()}, "`filters` must not be empty"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        block_autoencoder(**options)
