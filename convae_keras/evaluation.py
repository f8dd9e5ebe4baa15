"""Scores of a trained model on test images, beside those of its baselines."""

import numpy as np

from convae_keras import metrics
from convae_keras.baselines import classical_denoiser, enlarge, mean_image, pca
from convae_keras.corruption import Corruption, Warp
from convae_keras.keras_settings import standard_settings
from convae_keras.models import pixel_range
from convae_keras.pipelines import from_model_range, to_float, to_model_range
from convae_keras.validation import require


@standard_settings()
def reconstruct(autoencoder, x, batch_size=500):
    """Runs images through a model.

    Args:
        autoencoder: a `keras.Model` from images to images.
        x: float `(n, height, width, channels)` in [0, 1], or beyond where noise
            was not clipped.
        batch_size: int.

    Returns:
        float32 `(n, …)`, the model's outputs, clipped to [0, 1].
    """
    low_high = pixel_range(autoencoder)
    inputs = to_model_range(x, low_high)
    outputs = autoencoder.predict(inputs, batch_size=batch_size, verbose=0)
    return from_model_range(outputs, low_high)


def scores(reconstruct, x, inputs=None, chunk=1000):
    """Computes the mean scores of a reconstruction or restoration of images.

    Args:
        reconstruct: function from `model_inputs`, float, to images in [0, 1].
        x: uint8 or float32 `(n, height, width, channels)`, the target images;
            read in chunks.
        inputs: images to restore, as many as `x`; or a `Corruption` of `x`,
            which draws the same noise at every call; None for `x` itself.
        chunk: int, images at a time.

    Returns:
        dict of floats, means over images: `mse`; `psnr` in dB, None where an
        image was reconstructed without error; `ssim`, None for images with a
        side below 7 pixels; `bce` in nats a pixel.

    Raises:
        ValueError: for reconstructions with NaN.
    """
    measures = (metrics.mse, metrics.psnr, metrics.ssim, metrics.bce)
    found = []
    for start in range(0, len(x), chunk):
        targets = to_float(x[start : start + chunk])
        outputs = reconstruct(model_inputs(targets, inputs, start))
        numbers = not np.isnan(outputs).any()
        require(numbers, "`reconstruct` must return numbers. Received: NaN")
        found.append([measure(targets, outputs) for measure in measures])
    means = np.concatenate(found, axis=1).mean(axis=1).tolist()
    means = [mean if np.isfinite(mean) else None for mean in means]
    return dict(zip((measure.__name__ for measure in measures), means, strict=True))


def model_inputs(targets, inputs=None, start=0):
    """Returns the inputs from which a model has to reconstruct `targets`.

    Args:
        targets: float32 `(n, height, width, channels)` in [0, 1].
        inputs: as in `scores`.
        start: int, the index of the first target in the whole set.

    Returns:
        float32 `(n, …)`.

    Raises:
        ValueError: for `inputs` that are not images, or too small for the
            `Corruption`.
    """
    if inputs is None:
        return targets
    if isinstance(inputs, Corruption):
        return inputs(targets, seed=start)
    return to_float(inputs[start : start + len(targets)])


def held_out_scores(autoencoder, images, corrupt=None):
    """Scores a model on the test images, beside suitable baselines.

    The baselines of an autoencoder are the mean training image and PCA with a
    code of the same size, or of n - 1 numbers for n training images if that is
    less; or, if the code has no fewer numbers than the image, the identity,
    which such a code can hold. Without an `encoder` it is the mean image alone.
    Those of a denoiser are its input and two filters tuned on validation images;
    of super-resolution, three interpolations; of a `Warp`, its input and the
    mean training image. Inputs of other channels, or another aspect ratio,
    have no baselines.

    Args:
        autoencoder: a `keras.Model`.
        images: `Images`.
        corrupt: `Corruption` that the model was trained to undo, or None.

    Returns:
        dict from a row's name to `scores`; the model's row, `"autoencoder"`, is
        the first.
    """
    inputs = images.inputs_test if corrupt is None else corrupt
    if inputs is None:
        baselines = _autoencoder_baselines(autoencoder, images)
    elif isinstance(corrupt, Warp):
        baselines = {"input": lambda x: x, "mean image": mean_image(images.x_train)}
    else:
        baselines = _restorer_baselines(images, corrupt)
    rows = {"autoencoder": lambda x: reconstruct(autoencoder, x), **baselines}
    return {name: scores(row, images.x_test, inputs) for name, row in rows.items()}


def _autoencoder_baselines(autoencoder, images):
    baselines = {"mean image": mean_image(images.x_train)}
    if not hasattr(autoencoder, "encoder"):
        return baselines
    shape = autoencoder.encoder.compute_output_shape((1, *images.image_shape))
    code_size = int(np.prod(shape))
    if code_size >= np.prod(images.image_shape):
        return baselines | {"identity": lambda x: x}
    # Of few images PCA has fewer components.
    code_size = min(code_size, len(images.x_train) - 1)
    if code_size > 0:
        baselines[f"PCA, {code_size} numbers"] = pca(images.x_train, code_size)
    return baselines


def _restorer_baselines(images, corrupt):
    clean = to_float(images.x_val[:200])
    inputs = model_inputs(clean, images.inputs_val if corrupt is None else corrupt)
    scale = max(1, clean.shape[1] // inputs.shape[1])
    height, width, channels = inputs.shape[1:]
    if (scale * height, scale * width, channels) != clean.shape[1:]:
        return {}
    if scale > 1:
        methods = ("nearest", "bicubic", "Lanczos")
        return {name: lambda x, name=name: enlarge(x, scale, name) for name in methods}
    filters = ("Gaussian filter", "median filter")
    tuned = {name: classical_denoiser(name, inputs, clean) for name in filters}
    return {"input": lambda x: np.clip(x, 0, 1), **tuned}
