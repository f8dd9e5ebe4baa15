import numpy as np
import pytest

from convae_keras import Sequences, load_run, sequence_autoencoder, train
from convae_keras.corruption import GaussianNoise
from convae_keras.sequences import check_sequences, overlap_mean, windows


def _waves(n=24, steps=32, channels=2):
    phase = np.linspace(0, 6, n)[:, None, None] + np.arange(channels)
    return np.sin(phase + np.arange(steps)[None, :, None] / 3).astype("float32")


def test_sequences_are_what_train_takes():
    x = _waves()
    sequences = Sequences("waves", x[:16], None, x[16:20], None, x[20:], None)
    assert sequences.image_shape == (32, 2)
    assert "20" not in repr(sequences) and "16 training" in repr(sequences)
    autoencoder = sequence_autoencoder((32, 2), latent_dim=4, filters=(4,), seed=0)
    history = train(autoencoder, sequences, 3, batch_size=8, verbose=0)
    assert history["loss"][-1] < history["loss"][0]
    assert autoencoder.loss == "mse"


def test_inputs_of_their_own():
    x = _waves()
    noisy = x + 0.1
    inputs = {"inputs_train": noisy[:16], "inputs_val": noisy[16:20]}
    sequences = Sequences("waves", x[:16], None, x[16:20], None, x[20:], None, **inputs)
    autoencoder = sequence_autoencoder((32, 2), latent_dim=4, filters=(4,), seed=0)
    assert len(train(autoencoder, sequences, 1, verbose=0)["loss"]) == 1
    message = "`inputs_val` must be 4 sequences. Received: 3"
    with pytest.raises(ValueError, match=message):
        few = inputs | {"inputs_val": noisy[:3]}
        Sequences("waves", x[:16], None, x[16:20], None, x[20:], None, **few)


@pytest.mark.slow
def test_a_finished_run_is_loaded(tmp_path):
    x = _waves()
    sequences = Sequences("waves", x[:16], None, x[16:20], None, x[20:], None)
    options = {"epochs": 1, "batch_size": 8, "verbose": 0, "run": tmp_path / "run"}
    one, other = (sequence_autoencoder((32, 2), latent_dim=4, seed=0) for _ in "ab")
    history = train(one, sequences, **options)
    one.compile(loss="mse")
    assert train(other, sequences, **options) == history
    np.testing.assert_array_equal(one.get_weights()[0], other.get_weights()[0])
    assert load_run(tmp_path / "run").input_shape == (None, 32, 2)


def test_what_is_of_images_only():
    x = _waves(24, 16, 16)
    sequences = Sequences("waves", x[:16], None, x[16:20], None, x[20:], None)
    autoencoder = sequence_autoencoder((16, 16), latent_dim=4, filters=(4,))
    with pytest.raises(ValueError, match="`corrupt` must be None for sequences"):
        train(autoencoder, sequences, 1, corrupt=GaussianNoise(0.1), verbose=0)
    with pytest.raises(ValueError, match="`augment` needs square images"):
        train(autoencoder, sequences, 1, augment=True, verbose=0)
    with pytest.raises(ValueError, match="`images` must be `Sequences`"):
        train(autoencoder, x, 1, verbose=0)
    with pytest.raises(ValueError, match="must be uint8, or all float"):
        Sequences("mixed", np.uint8(200 * abs(x)), None, x, None, x, None)


def test_a_model_of_other_sequences():
    x = _waves()
    sequences = Sequences("waves", x[:16], None, x[16:20], None, x[20:], None)
    autoencoder = sequence_autoencoder((64, 2), latent_dim=4, filters=(4,))
    with pytest.raises(ValueError, match="takes sequences of shape .64, 2."):
        train(autoencoder, sequences, 1, verbose=0)


@pytest.mark.static
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(5), r"Received: float64 \(5,\)"),
        (np.zeros((0, 5)), "must not be empty"),
        ([[1, 2], [3]], "all of one length"),
        (np.array([["a", "b"]]), "of numbers"),
        (np.array([[0, 1], [np.nan, 1], [0, 0]]), "1 sequences, the first at .1."),
        (np.array([[np.inf, 1]]), "must be finite"),
    ],
)
def test_what_is_no_sequence(x, message):
    with pytest.raises(ValueError, match=message):
        check_sequences(x)


@pytest.mark.static
def test_types():
    assert check_sequences(np.zeros((2, 3), int)).dtype == "float32"
    assert check_sequences(np.zeros((2, 3), "uint8")).dtype == "uint8"
    x = np.zeros((2, 3, 1), "float32")
    assert check_sequences(x) is x


@pytest.mark.static
@pytest.mark.parametrize("step", [1, 3, 4, 5])
def test_windows_and_back(step):
    x = _waves(3, 23)
    cut = windows(x, 5, step)
    assert cut.shape == (3, (23 - 5) // step + 1, 5, 2)
    np.testing.assert_array_equal(cut[:, 1], x[:, step : step + 5])
    covered = step * (cut.shape[1] - 1) + 5
    whole = overlap_mean(windows(x, 5, step, cover=True), 23, step)
    np.testing.assert_allclose(whole, x, atol=1e-6)
    back = overlap_mean(cut, 23, step)
    np.testing.assert_allclose(back[:, :covered], x[:, :covered], atol=1e-6)
    np.testing.assert_array_equal(
        back[:, covered:], back[:, covered - 1 :][:, :1] + 0 * back[:, covered:]
    )


@pytest.mark.static
def test_overlapping_windows_are_averaged():
    mean = overlap_mean(np.array([[[[0.0], [0]], [[1], [1]]]]), 3, 1)
    assert mean[0, :, 0].tolist() == [0, 0.5, 1]


@pytest.mark.static
def test_bad_windows():
    with pytest.raises(ValueError, match="at least 9 steps, one window. Received: 8"):
        windows(np.zeros((1, 8)), 9)
    with pytest.raises(ValueError, match="`step` must be a positive int"):
        windows(np.zeros((1, 8)), 4, 0)
    with pytest.raises(ValueError, match="must have 2 windows, for 9 steps. Rec"):
        overlap_mean(np.zeros((1, 4, 4, 1)), 9, 3)
    with pytest.raises(ValueError, match="must have 2 windows, for 8 steps. Rec"):
        overlap_mean(np.zeros((1, 3, 4, 1)), 8, 4)
    with pytest.raises(ValueError, match="`step` must be an int from 1 to 4. Rec"):
        overlap_mean(np.zeros((1, 2, 4, 1)), 20, 5)


def test_arrays_that_would_be_misunderstood():
    """Columns of a table are often channels, its rows steps; masks hide a part."""

    class Table(list):
        columns = "ab"

    for x in (Table([[1.0, 2]]), np.ma.masked_array([[1.0, 2]], [[False, True]])):
        with pytest.raises(ValueError, match="as a plain array. Received: a [MT]a"):
            check_sequences(x)
    x = check_sequences(np.ma.masked_array([[1.0, 2]], [[False, False]]))
    assert type(x) is np.ndarray
    x = np.empty((1, 2), object)
    with pytest.raises(ValueError, match="must be sequences.*Received: object"):
        check_sequences(x)


def test_the_mean_of_what_is_no_number():
    x = np.ones((1, 2, 4, 1))
    x[0, 1, 2] = np.nan
    with pytest.raises(ValueError, match="`x` must be finite numbers"):
        overlap_mean(x, 7, 3)


def test_a_cross_entropy_needs_values_in_zero_to_one():
    x = np.sin(np.arange(160.0)).reshape(10, 16)
    waves = Sequences("waves", x[:6], None, x[6:8], None, x[8:], None)
    options = {"filters": (2,), "code_filters": (), "latent_dim": 2}
    model = sequence_autoencoder((16, 1), output_activation="sigmoid", **options)
    with pytest.raises(ValueError, match=r"needs sequences in \[0, 1\].*waves"):
        train(model, waves, verbose=0)
