"""What a trained model is worth: held-out scores beside those of its rivals."""

import numpy as np

from convae_keras import metrics
from convae_keras.baselines import classical_denoiser, enlarge, mean_image, pca
from convae_keras.corruption import Corruption, Warp
from convae_keras.models import pixel_range
from convae_keras.pipelines import to_float


def reconstruct(autoencoder, x, batch_size=500):
    """Runs images through a model and brings them back to [0, 1].

    Args:
        autoencoder: a `keras.Model` from images to images.
        x: float `(n, height, width, channels)` in [0, 1].
        batch_size: int.

    Returns:
        float32 `(n, …)`, what the model gives, clipped to [0, 1].
    """
    low, high = pixel_range(autoencoder)
    inputs = x * (high - low) + low
    outputs = autoencoder.predict(inputs, batch_size=batch_size, verbose=0)
    return np.clip((outputs - low) / (high - low), 0, 1)


def scores(reconstruct, x, inputs=None, chunk=1000):
    """Mean scores of a reconstruction, or restoration, over a set of images.

    Args:
        reconstruct: function from what it is shown, float in [0, 1], to images
            in [0, 1].
        x: uint8 or float32 `(n, height, width, channels)`, the images that
            should come out; read in chunks.
        inputs: what is shown in their place: as many images, or a `Corruption`,
            always drawn alike. None for `x` itself.
        chunk: int, images at a time.

    Returns:
        dict of floats, means over images: `mse`, `psnr` (dB; None where an
        image came back without any error), `ssim` (None for images with a side
        below 7), `bce` (nats a pixel).
    """
    measures = (metrics.mse, metrics.psnr, metrics.ssim, metrics.bce)
    found = []
    for start in range(0, len(x), chunk):
        targets = to_float(x[start : start + chunk])
        outputs = reconstruct(shown(targets, inputs, start))
        found.append([measure(targets, outputs) for measure in measures])
    means = np.concatenate(found, axis=1).mean(axis=1).tolist()
    names = (measure.__name__ for measure in measures)
    return {
        name: mean if np.isfinite(mean) else None
        for name, mean in zip(names, means, strict=True)
    }


def shown(targets, inputs=None, start=0):
    """What a model is shown, where it has to give back `targets`.

    Args:
        targets: float32 `(n, height, width, channels)` in [0, 1].
        inputs: as in `scores`.
        start: int, which image of the whole set is the first of these.

    Returns:
        float32 `(n, …)`.
    """
    if inputs is None:
        return targets
    if isinstance(inputs, Corruption):
        return inputs(targets, seed=start)
    return to_float(inputs[start : start + len(targets)])


def held_out_scores(autoencoder, images, corrupt=None):
    """A model's scores on the test images, beside those of its rivals.

    The rivals of an autoencoder are the mean training image and PCA at the
    model's code size, or, where the code has no fewer numbers than the image,
    the plain copy of the image, which such a code can hold. Those of a restorer
    are what it is shown, and two filters tuned on validation images, or three
    ways to enlarge. A warp's are what it is shown and the mean training image;
    a codec's are image files of no lower PSNR on validation images.

    Args:
        autoencoder: a `keras.Model`.
        images: `Images`.
        corrupt: `Corruption` that the model is to undo, or None.

    Returns:
        dict from a row's name to `scores`, the model's first. Those of a codec
        have `bytes`, too: of all that is stored, the mean over the images.
    """
    inputs = images.inputs_test if corrupt is None else corrupt
    find = _autoencoder_rivals if inputs is None else _restorer_rivals
    find = _unwarping_rivals if isinstance(corrupt, Warp) else find
    rivals = {"autoencoder": lambda x: reconstruct(autoencoder, x)}
    rivals |= find(autoencoder, images, corrupt)
    return {name: scores(row, images.x_test, inputs) for name, row in rivals.items()}


def _autoencoder_rivals(autoencoder, images, corrupt):
    rivals = {"mean image": mean_image(images.x_train)}
    if not hasattr(autoencoder, "encoder"):
        return rivals
    shape = autoencoder.encoder.compute_output_shape((1, *images.image_shape))
    code_size = int(np.prod(shape))
    if code_size >= np.prod(images.image_shape):
        rivals["copy"] = lambda x: x
    elif code_size < len(images.x_train):
        rivals[f"PCA, {code_size} numbers"] = pca(images.x_train, code_size)
    return rivals


def _unwarping_rivals(autoencoder, images, corrupt):
    return {"input": lambda x: x, "mean image": mean_image(images.x_train)}


def _restorer_rivals(restorer, images, corrupt):
    clean = to_float(images.x_val[:200])
    inputs = shown(clean, images.inputs_val if corrupt is None else corrupt)
    scale = clean.shape[1] // inputs.shape[1]
    if scale > 1:
        methods = ("nearest", "bicubic", "Lanczos")
        return {name: lambda x, name=name: enlarge(x, scale, name) for name in methods}
    filters = ("Gaussian filter", "median filter")
    tuned = {name: classical_denoiser(name, inputs, clean) for name in filters}
    return {"input": lambda x: np.clip(x, 0, 1), **tuned}
