"""How close generated images are to real ones, in the features of a classifier."""

import numpy as np
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

from convae_keras.features import encode
from convae_keras.keras_settings import standard_settings
from convae_keras.validation import check_finite, check_ints, require

# The probability at which the classifier counts as confident.
SURE = 0.9

# Rows of distances that are in memory at once.
ROWS = 1000


@standard_settings()
def compare_images(classifier, real, generated):
    """Compares generated images with real ones, in the features of a classifier.

    Args:
        classifier: trained `keras.Model`, as `image_classifier` builds it.
        real, generated: images, as `check_images` takes them; as many of both.

    Returns:
        dict of floats. `"frechet"`: as `frechet_distance` computes it;
        `"precision"`, `"recall"`, `"density"`, `"coverage"`: as
        `precision_recall`; `"sure"`: the fraction of generated images of whose
        class the classifier is confident, with a probability of at least 0.9.

    Raises:
        ValueError: for arrays that are no images of the classifier's size, or
            fewer than six of either.
    """
    sets = [encode(classifier, x, "features") for x in (real, generated)]
    probabilities = encode(classifier, generated)
    row = {"frechet": frechet_distance(*sets), **precision_recall(*sets)}
    return row | {"sure": float((probabilities.max(axis=1) >= SURE).mean())}


def frechet_distance(real, generated):
    """Computes the Fréchet distance of two sets of features.

    It is the squared 2-Wasserstein distance of the Gaussians that have their
    means and covariances: zero for the same two, and the smaller, the closer.
    Estimates from few features are too large: compare distances of as many.

    Args:
        real, generated: float arrays `(n, features)`, such as what `encode`
            returns for a classifier's last layer but one.

    Returns:
        float, in squared units of the features.

    Raises:
        ValueError: for other shapes, or fewer than two features of either.

    References:
        - [Heusel et al., 2017](https://arxiv.org/abs/1706.08500)
        - [Dowson and Landau, 1982](https://doi.org/10.1016/0047-259X(82)90077-X)

    Example:

    >>> x = np.random.RandomState(0).normal(size=(1000, 8))
    >>> round(frechet_distance(x, x + 1), 6)
    8.0
    """
    real, generated = _checked(real, generated, at_least=2)
    means = real.mean(axis=0) - generated.mean(axis=0)
    first, second = np.cov(real, rowvar=False), np.cov(generated, rowvar=False)
    first, second = np.atleast_2d(first), np.atleast_2d(second)
    # The trace of the root of first @ second, which is not symmetric, is that of the
    # root of a symmetric matrix with the same eigenvalues.
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    distance = means @ means + np.trace(first) + np.trace(second) - 2 * cross
    return max(float(distance), 0.0)  # of equal sets it may be rounded below


def precision_recall(real, generated, neighbors=5):
    """Computes how many samples are like real images, and the other way round.

    A ball around each feature reaches to the last of its `neighbors` nearest ones
    of the same set; the balls of a set cover what the set is taken to be.

    Args:
        real, generated: float arrays `(n, features)`; as many of both make the
            numbers comparable.
        neighbors: int, smaller than either number of features.

    Returns:
        dict of floats. `"precision"`: the fraction of samples in a real image's
        ball. `"recall"`: the fraction of real images in a sample's ball.
        `"density"`: in how many real balls a sample is on average, by
        `neighbors`; may be above 1. `"coverage"`: the fraction of real images
        whose ball holds a sample.

    Raises:
        ValueError: for other shapes, or too many neighbors.

    References:
        - [Kynkäänniemi et al., 2019](https://arxiv.org/abs/1904.06991), precision
          and recall
        - [Naeem et al., 2020](https://arxiv.org/abs/2002.09797), density and
          coverage, which outliers disturb less
    """
    check_ints(neighbors=neighbors)
    real, generated = _checked(real, generated, at_least=neighbors + 1)
    real_radii, radii = (_radii(x, neighbors) for x in (real, generated))
    counts, covered, recalled = [], np.zeros(len(real), bool), np.zeros(len(real), bool)
    for start in range(0, len(generated), ROWS):
        rows = pairwise_distances(generated[start : start + ROWS], real)
        inside = rows <= real_radii
        counts.append(inside.sum(axis=1))
        covered |= inside.any(axis=0)
        recalled |= (rows <= radii[start : start + ROWS, None]).any(axis=0)
    in_real = np.concatenate(counts)
    return {
        "precision": float((in_real > 0).mean()),
        "recall": float(recalled.mean()),
        "density": float(in_real.mean() / neighbors),
        "coverage": float(covered.mean()),
    }


def _radii(x, neighbors):
    """The distance of each feature from the last of its nearest other ones."""
    search = NearestNeighbors(n_neighbors=neighbors, algorithm="brute").fit(x)
    return search.kneighbors()[0][:, -1]


def _checked(real, generated, at_least):
    real, generated = (np.asarray(x, "float64") for x in (real, generated))
    fits = real.ndim == generated.ndim == 2 and real.shape[1:] == generated.shape[1:]
    expected = "`real` and `generated` must be (n, features), as many features"
    require(fits, f"{expected}. Received: {real.shape} and {generated.shape}")
    fewest = min(len(real), len(generated))
    expected = f"`real` and `generated` must be at least {at_least} features each"
    require(fewest >= at_least, f"{expected}. Received: {fewest}")
    check_finite(real=real, generated=generated)
    return real, generated
