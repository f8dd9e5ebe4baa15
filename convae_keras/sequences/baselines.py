"""What models of sequences are compared with."""

from collections import Counter, defaultdict

import numpy as np

from convae_keras.validation import check_ints, require


class CharacterModel:
    """Predicts a character from those before it, by how often each followed them.

    The counts of longer contexts are preferred where there are any, those of
    shorter ones fill the gaps (Witten-Bell). With an arithmetic coder, a line takes
    as many bits as `bits` returns, and at most two more.

    Args:
        text: str, to count in.
        order: int, characters of the longest context.
        characters: str, those that may occur, each once.

    Raises:
        ValueError: for an empty text, one with other characters, or an order below
            0. Its methods: for other characters.

    References:
        - [Witten and Bell, 1991](https://doi.org/10.1109/18.87000)

    Example:

    >>> model = CharacterModel("abababab", order=2, characters="abc")
    >>> bool(model.bits("abab").sum() < model.bits("abba").sum())
    True
    """

    def __init__(self, text, order, characters):
        check_ints(0, order=order)
        unknown = sorted(set(text) - set(characters))
        expected = f"`text` must have characters of {characters!r} only, at least one"
        require(text and not unknown, f"{expected}. Received: {unknown[:20]}")
        self.order, self.size = order, len(characters)
        self._index = {character: i for i, character in enumerate(characters)}
        self._counts = defaultdict(Counter)
        for length in range(order + 1):
            for i in range(length, len(text)):
                self._counts[text[i - length : i]][text[i]] += 1

    def probability(self, context, character):
        """Returns the probability that a character follows a context, both str."""
        require(character in self._index, f"Unknown character: {character!r}")
        p = 1 / self.size
        for length in range(min(self.order, len(context)) + 1):
            counts = self._counts.get(context[len(context) - length :])
            if counts:
                total, kinds = counts.total(), len(counts)
                p = (counts[character] + kinds * p) / (total + kinds)
        return p

    def bits(self, line):
        """Returns the bits of each character of a line, given those before it.

        Args:
            line: str.

        Returns:
            float64 `(len(line),)`.
        """
        pairs = ((line[max(0, i - self.order) : i], c) for i, c in enumerate(line))
        return -np.log2([self.probability(context, c) for context, c in pairs])


def prefix_within(size_of, line, budget):
    """Returns how many characters from the start of a line fit in some bytes.

    Args:
        size_of: function from a str to the bytes that it takes.
        line: str.
        budget: float, bytes.

    Returns:
        int, up to `len(line)`.

    Example:

    >>> prefix_within(len, "autoencoder", 4)
    4
    """
    fits = [size_of(line[:count]) <= budget for count in range(1, len(line) + 1)]
    return len(line) if all(fits) else fits.index(False)
