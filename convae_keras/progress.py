"""What somebody who waits for a training wants to know: how far, how long."""

import time

import keras

from convae_keras.keras_settings import standard_settings

# A training step takes as long as so many predictions of its batch; in seconds, the
# least that an epoch takes, with its checkpoint.
PREDICTIONS, LEAST_EPOCH = 3, 0.1


class EpochLine(keras.callbacks.Callback):
    """Prints one line an epoch: the losses, its seconds, and the time left."""

    def on_train_begin(self, logs=None):
        self._times = [time.perf_counter()]

    def on_epoch_end(self, epoch, logs=None):
        self._times.append(time.perf_counter())
        epochs, times = self.params["epochs"], self._times
        losses = "  ".join(f"{key} {value:.5f}" for key, value in logs.items())
        line = f"epoch {epoch + 1:>3}/{epochs}  {losses}  {times[-1] - times[-2]:.0f} s"
        if epoch + 1 < epochs:
            left = (times[-1] - times[0]) / (len(times) - 1) * (epochs - epoch - 1)
            line += f", {format_seconds(left)} left"
        print(line, flush=True)


def format_seconds(seconds):
    """Returns `"40 s"` or, above a minute and a half, `"5 min"`."""
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"


@standard_settings()
def epoch_seconds(autoencoder, x, train_count, val_count):
    """Estimates how long an epoch of training takes, from the time of a prediction.

    Args:
        autoencoder: `keras.Model`.
        x: float `(batch_size, …)`, one batch of its inputs.
        train_count, val_count: int, the images to train on and to validate on.

    Returns:
        float.
    """
    autoencoder.predict_on_batch(x)  # compiles it
    start = time.perf_counter()
    autoencoder.predict_on_batch(x)
    seconds = time.perf_counter() - start
    images = PREDICTIONS * train_count + val_count
    return LEAST_EPOCH + images / len(x) * seconds
