"""The networks that `speed.py` compares, each as its own source prints it.

Each function builds a network and returns `(train, predict)`. `train(x, epochs)` trains
it on float32 images `(n, 28, 28, 1)` in [0, 1], and prints a line that begins with
`epoch` at the end of each epoch. `predict(x, batch_size)` returns reconstructions. The
libraries are imported by the function that needs them: each network is trained in a
process of its own.
"""

import os

BATCH_SIZE = 128


def printed_keras():
    """The Keras tutorial's code."""
    from keras.layers import Conv2D, Input, MaxPooling2D, UpSampling2D
    from keras.models import Model

    input_img = Input(shape=(28, 28, 1))
    x = Conv2D(16, (3, 3), activation="relu", padding="same")(input_img)
    x = MaxPooling2D((2, 2), padding="same")(x)
    encoded = Conv2D(8, (3, 3), activation="relu", padding="same")(x)
    x = Conv2D(8, (3, 3), activation="relu", padding="same")(encoded)
    x = UpSampling2D((2, 2))(x)
    decoded = Conv2D(1, (3, 3), activation="sigmoid", padding="same")(x)
    autoencoder = Model(input_img, decoded)
    autoencoder.compile(optimizer="adam", loss="binary_crossentropy")
    return _fit(autoencoder)


def keras_io():
    """The convolutional autoencoder of the examples on keras.io."""
    from keras.layers import Conv2D, Conv2DTranspose, Input, MaxPooling2D
    from keras.models import Model

    inputs = Input(shape=(28, 28, 1))
    x = Conv2D(32, (3, 3), activation="relu", padding="same")(inputs)
    x = MaxPooling2D((2, 2), padding="same")(x)
    x = Conv2D(32, (3, 3), activation="relu", padding="same")(x)
    x = MaxPooling2D((2, 2), padding="same")(x)
    x = Conv2DTranspose(32, (3, 3), strides=2, activation="relu", padding="same")(x)
    x = Conv2DTranspose(32, (3, 3), strides=2, activation="relu", padding="same")(x)
    x = Conv2D(1, (3, 3), activation="sigmoid", padding="same")(x)
    autoencoder = Model(inputs, x)
    autoencoder.compile(optimizer="adam", loss="binary_crossentropy")
    return _fit(autoencoder)


def _fit(model):
    import keras

    line = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: print("epoch", flush=True)
    )

    def train(x, epochs):
        options = {"batch_size": BATCH_SIZE, "verbose": 0, "callbacks": [line]}
        model.fit(x, x, epochs=epochs, **options)

    return train, _predict(model)


def _predict(model):
    return lambda x, batch_size: model.predict(x, batch_size=batch_size, verbose=0)


def printed_pytorch():
    """The PyTorch tutorial's code, but for its download of the data."""
    import numpy as np
    import torch
    from torch import nn

    model = nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=3, stride=1, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=2, stride=2),
        nn.Conv2d(16, 32, kernel_size=3, stride=1, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=2, stride=2),
        nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 1, 3, stride=2, padding=1, output_padding=1),
        nn.Sigmoid(),
    )
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)

    def train(x, epochs):
        data = torch.utils.data.TensorDataset(torch.from_numpy(np.moveaxis(x, -1, 1)))
        loader = torch.utils.data.DataLoader(data, BATCH_SIZE, shuffle=True)
        for _ in range(epochs):
            for (images,) in loader:
                outputs = model(images)
                loss = criterion(outputs, images)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print("epoch", flush=True)

    def predict(x, batch_size):
        images = torch.from_numpy(np.moveaxis(x, -1, 1))
        with torch.no_grad():
            return torch.cat([model(part) for part in images.split(batch_size)])

    return train, predict


def ours(preset, loss, backend="tensorflow"):
    """A preset of this package, trained by its `train` under a backend of Keras."""
    os.environ["KERAS_BACKEND"] = backend
    from convae_keras import Images, conv_autoencoder, train

    autoencoder = conv_autoencoder(preset, seed=0)

    def epochs(x, count):
        images = Images("digits", x, None, x[:1], None, x[:1], None)
        train(autoencoder, images, count, BATCH_SIZE, loss=loss, verbose=2)

    return epochs, _predict(autoencoder)


NETWORKS = {
    "printed Keras code": printed_keras,
    "printed PyTorch code": printed_pytorch,
    "keras.io example": keras_io,
    "ours, Keras preset": lambda: ours("keras", "binary_crossentropy"),
    "ours, PyTorch preset": lambda: ours("pytorch", "mse"),
    "ours, reference": lambda: ours("reference", "binary_crossentropy"),
    "ours, Keras preset under JAX": lambda: ours("keras", "binary_crossentropy", "jax"),
    "ours, Keras preset under PyTorch": lambda: ours(
        "keras", "binary_crossentropy", "torch"
    ),
}
