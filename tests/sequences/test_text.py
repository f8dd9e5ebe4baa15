import re

import numpy as np
import pytest

from convae_keras.sequences import (
    CHARACTERS,
    CharacterModel,
    one_hot,
    prefix_within,
    read_documentation,
    split_lines,
    to_index,
    to_lines,
)

pytestmark = pytest.mark.static


@pytest.mark.slow
def test_documentation_is_prose():
    text = read_documentation(["sklearn"])
    assert len(text["train"]) > 100_000 > len(text["test"]) > 1000
    assert set("".join(text.values())) <= set(CHARACTERS)
    words = re.findall("[a-z]+", text["train"].lower())
    assert words.count("the") > 0.03 * len(words)
    assert text == read_documentation(["sklearn"])
    lines = {split: split_lines(part) for split, part in text.items()}
    shared = set(lines["test"]) & set(lines["train"])
    assert len(shared) < 0.01 * len(lines["test"])
    with pytest.raises(ValueError, match="installed packages. Received: 'no_such'"):
        read_documentation(["no_such"])


def test_lines_and_back():
    lines = split_lines("The quick brown fox jumps.", 8, 4)
    assert lines[0] == "The quic" and lines[1] == "quick br" and len(lines) == 5
    assert to_lines(one_hot(lines)) == lines
    assert one_hot(lines).sum(axis=2).max() == 255
    assert "".join(CHARACTERS[i] for i in to_index(lines)[0]) == lines[0]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["naïve"], "Received: .'ï'."),
        (["one", "three"], "of one length. Received lengths: .3, 5."),
        ([], "at least one"),
        ("text", "must be a list of str"),
        ([1, 2], "must be a list of str"),
    ],
)
def test_bad_lines(lines, message):
    with pytest.raises(ValueError, match=message):
        one_hot(lines)


def test_bad_text():
    with pytest.raises(ValueError, match="at least 64 characters. Received: 5"):
        split_lines("short")
    with pytest.raises(ValueError, match="`length` must be a positive int"):
        split_lines("text", 0)
    with pytest.raises(ValueError, match="must be .n, length, 95."):
        to_lines(np.zeros((2, 3, 4)))


def test_character_model():
    text = "the cat sat on the mat. " * 20
    model = CharacterModel(text, 3, CHARACTERS)
    total = sum(model.probability("the ", c) for c in CHARACTERS)
    assert total == pytest.approx(1)
    assert model.bits("the cat sat")[3:].sum() < 8 * np.log2(95) / 4
    uniform = CharacterModel("ab", 0, "ab").bits("abab")
    np.testing.assert_allclose(uniform, 1)
    with pytest.raises(ValueError, match="at least one. Received: .'é'."):
        CharacterModel("café", 2, CHARACTERS)
    with pytest.raises(ValueError, match="`order` must be"):
        CharacterModel("cafe", -1, CHARACTERS)


def test_its_bits_are_those_of_an_arithmetic_coder():
    from constriction import stream

    model = CharacterModel("abracadabra abracadabra " * 9, 2, "abcdr ")
    line = "abra cadabra dab " * 20
    encoder = stream.queue.RangeEncoder()
    for i, character in enumerate(line):
        context = line[max(0, i - 2) : i]
        p = np.array([model.probability(context, c) for c in "abcdr "])
        table = stream.model.Categorical(p, perfect=False)
        encoder.encode("abcdr ".index(character), table)
    assert abs(encoder.num_bits() - model.bits(line).sum()) < 64


def test_prefix():
    assert prefix_within(len, "abcdef", 3) == 3
    assert prefix_within(len, "abcdef", 6) == prefix_within(len, "abcdef", 99) == 6
    assert prefix_within(len, "abcdef", 0) == 0


def test_probabilities_that_are_no_numbers():
    x = np.full((1, 2, 3), np.nan)
    with pytest.raises(ValueError, match="`x` must be finite numbers"):
        to_lines(x, "abc")
