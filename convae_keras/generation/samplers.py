"""New codes: densities fitted to those of training images, and paths between them."""

import numpy as np
from sklearn.mixture import GaussianMixture

from convae_keras.validation import check_finite, check_ints, is_int, require

# The cosine of an angle so near to 180° that float32 cannot tell the great circle.
OPPOSITE = -0.9999


class Mixture:
    """A Gaussian mixture of codes, one a class if they have labels.

    Of one component it is the fitted Gaussian, which is what the decoder is given
    if codes are whitened and the standard normal distribution is sampled instead.

    Args:
        components: int, Gaussians in each mixture; or several ints, of which
            `fit` chooses the likeliest on validation codes.
        covariance: `"full"`, or `"diag"` for Gaussians whose elements do not
            depend on each other.
        seed: int, where the search for the components begins.

    Raises:
        ValueError: for `components` that are no positive ints.

    References:
        - [Ghosh et al., 2020](https://arxiv.org/abs/1903.12436)

    Example:

    >>> codes = np.random.RandomState(0).normal(5, 2, (1000, 3))
    >>> samples, labels = Mixture(components=2).fit(codes).sample(500)
    >>> samples.shape, labels
    ((500, 3), None)
    """

    def __init__(self, components=5, *, covariance="full", seed=0):
        self.candidates = np.atleast_1d(components).tolist()
        valid = self.candidates and all(is_int(n, 1) for n in self.candidates)
        expected = "`components` must be a positive int, or several"
        require(valid, f"{expected}. Received: {components!r}")
        self.options = {"covariance_type": covariance, "random_state": seed}

    def fit(self, codes, labels=None, val_codes=None, val_labels=None):
        """Fits the mixtures.

        Args:
            codes: float `(n, latent_dim)`.
            labels: `(n,)`; None for one mixture of all codes.
            val_codes, val_labels: the same of validation images, to choose the
                number of components by.

        Returns:
            This sampler. `components` is the number chosen, `likelihoods` the
            mean log-likelihood of a validation code for each number, if there were
            several.

        Raises:
            ValueError: for other shapes, fewer codes of a class than components,
                or nothing to choose by.
        """
        codes, labels, self.labeled = checked_codes(codes, labels)
        chooses = len(self.candidates) > 1
        message = "`fit` needs `val_codes` to choose a number of components by"
        require(val_codes is not None or not chooses, f"{message}. Received: None")
        self.classes, counts = np.unique(labels, return_counts=True)
        self.shares = counts / counts.sum()
        most = max(self.candidates)
        expected = f"`codes` must be at least {most} of each class, one a component"
        require(counts.min() >= most, f"{expected}. Received: {counts.min()}")
        fits = {n: self._fit(codes, labels, n) for n in self.candidates}
        self.likelihoods = {}
        if chooses:
            held_out = self._held_out(val_codes, val_labels)
            self.likelihoods = {n: _likelihood(m, *held_out) for n, m in fits.items()}
        best = max(self.likelihoods, key=self.likelihoods.get, default=most)
        self.components, self.mixtures = best, fits[best]
        return self

    def _held_out(self, codes, labels):
        """Validation codes and labels, which must be of the same classes."""
        codes, labels, labeled = checked_codes(codes, labels)
        expected = "`val_labels` must be given if and only if `labels` are"
        require(labeled == self.labeled, f"{expected}. Received: {labeled}")
        known = np.isin(labels, self.classes).all()
        expected = f"`val_labels` must be of {self.classes.tolist()}"
        require(known, f"{expected}. Received: {np.unique(labels).tolist()}")
        return codes, labels

    def _fit(self, codes, labels, components):
        """A mixture for each class."""
        new = {c: GaussianMixture(components, **self.options) for c in self.classes}
        codes = codes.astype("float64")  # covariances may be nearly singular
        return {c: each.fit(codes[labels == c]) for c, each in new.items()}

    def sample(self, count, label=None, seed=0):
        """Draws codes.

        Args:
            count: int.
            label: the class of all; None for classes as often as in training.
            seed: int.

        Returns:
            `(codes, labels)`: float32 `(count, latent_dim)` and `(count,)`, the
            classes; None for those if the codes had none.

        Raises:
            ValueError: for a `count` below 1 or an unknown class, or before `fit`.
        """
        check_fitted(self, "mixtures")
        random = np.random.RandomState(seed)
        labels = draw_labels(count, label, self.classes, self.shares, random)
        dim = self.mixtures[self.classes[0]].means_.shape[1]
        codes = np.empty((count, dim), "float32")
        for each in np.unique(labels):
            # A mixture's samples come sorted by component.
            rows = random.permutation(np.flatnonzero(labels == each))
            self.mixtures[each].random_state = random
            codes[rows] = self.mixtures[each].sample(len(rows))[0]
        return codes, labels if self.labeled else None


def check_fitted(sampler, attribute):
    """Raises a `ValueError` for a sampler without that attribute, which `fit` sets."""
    message = f"`fit` must be called before `{type(sampler).__name__}` can be sampled"
    require(hasattr(sampler, attribute), message)


def _likelihood(mixtures, codes, labels):
    """The mean log-likelihood of a code, given its class."""
    present = [c for c in mixtures if (labels == c).any()]
    total = sum(mixtures[c].score_samples(codes[labels == c]).sum() for c in present)
    return float(total / len(codes))


def checked_codes(codes, labels=None):
    """Validates codes and their labels.

    Args:
        codes: float `(n, latent_dim)`.
        labels: `(n,)`, or None.

    Returns:
        `(codes, labels, labeled)`: float32; the labels, zeros if there are none;
        bool, whether there are.

    Raises:
        ValueError: for other shapes, or values that are not finite.
    """
    codes = np.asarray(codes, "float32")
    expected = "`codes` must be (n, latent_dim)"
    require(codes.ndim == 2 and codes.size, f"{expected}. Received: {codes.shape}")
    check_finite(codes=codes)
    labeled = labels is not None
    labels = np.asarray(labels) if labeled else np.zeros(len(codes), int)
    expected = f"`labels` must be ({len(codes)},), one a code"
    require(labels.shape == (len(codes),), f"{expected}. Received: {labels.shape}")
    return codes, labels, labeled


def draw_labels(count, label, classes, shares, random):
    """Draws the classes of samples.

    Args:
        count: int.
        label: the class of all, or None.
        classes: `(classes,)`, those that there are.
        shares: float `(classes,)`, how often each is drawn; together 1.
        random: `np.random.RandomState`.

    Returns:
        `(count,)`, classes.

    Raises:
        ValueError: for a `count` below 1 or an unknown class.
    """
    check_ints(count=count)
    if label is None:
        return random.choice(classes, count, p=shares)
    message = f"`label` must be one of {classes.tolist()}. Received: {label!r}"
    require(label in classes, message)
    return np.full(count, label)


def interpolate(start, end, steps=8, spherical=False):
    """Computes codes on the path from one to another.

    Args:
        start, end: float `(..., latent_dim)`.
        steps: int, at least 2, the codes on each path, its ends included.
        spherical: bool. False: the straight line. True: the great circle, for
            codes of a normal distribution, which lie near a sphere that a
            straight line would leave. Opposites are on many.

    Returns:
        float32 `(steps, ..., latent_dim)`.

    Raises:
        ValueError: for other shapes, fewer steps, or a great circle between
            opposites.

    References:
        - [Shoemake, 1985](https://doi.org/10.1145/325165.325242), spherical
        - [White, 2016](https://arxiv.org/abs/1609.04468), for generators
    """
    start, end = (np.asarray(code, "float32") for code in (start, end))
    expected = "`start` and `end` must have the same shape"
    fits = start.shape == end.shape and start.ndim
    require(fits, f"{expected}. Received: {start.shape} and {end.shape}")
    check_ints(2, steps=steps)
    way = np.linspace(0, 1, steps, dtype="float32").reshape(-1, *[1] * start.ndim)
    if not spherical:
        return (1 - way) * start + way * end
    norms = np.linalg.norm(start, axis=-1) * np.linalg.norm(end, axis=-1)
    cosine = (start * end).sum(axis=-1) / np.maximum(norms, 1e-12)
    fits, lowest = (cosine >= OPPOSITE).all(), cosine.min(initial=1)
    expected = "`start` and `end` must not be opposite, joined by many great circles"
    require(fits, f"{expected}. Received: a cosine of {lowest:.6f}")
    # At an angle of 0 the limit is the straight line.
    angle = np.arccos(cosine.clip(-1, 1)).clip(1e-6)[..., None]
    weights = np.sin((1 - way) * angle), np.sin(way * angle)
    return (weights[0] * start + weights[1] * end) / np.sin(angle)
