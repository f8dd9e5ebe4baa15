"""What `convae train` chooses by the data where no flag does."""

# A training shows so many images, or pixels of an autoencoder's, whichever is less,
# and each image no oftener than MOST_EPOCHS: each epoch also validates and saves.
IMAGES_SHOWN, PIXELS_SHOWN, MOST_EPOCHS = 150_000, 300_000_000, 1000
# Values of an image to one number of its code; in MNIST 784 to 32.
VALUES_A_NUMBER, LARGEST_DENSE = 24, 128
# A dense code needs many images to learn from, and its weights grow with their size.
MANY_IMAGES, SMALL_IMAGE = 2000, 32 * 32 * 3


def preset(images):
    """Returns the name of the autoencoder that suits the images.

    Args:
        images: `Images`.

    Returns:
        str: `"reference"`, with a dense code, for many small images; else
        `"photographs"`, with a code for each block of pixels.
    """
    height, width, channels = images.image_shape
    small = height * width * channels <= SMALL_IMAGE
    many = len(images.x_train) >= MANY_IMAGES
    return "reference" if small and many else "photographs"


def latent_dim(image_shape):
    """Returns the size of a dense code.

    Args:
        image_shape: `(height, width, channels)`.

    Returns:
        int, one for so many values of an image as MNIST's.
    """
    height, width, channels = image_shape
    return min(max(height * width * channels // VALUES_A_NUMBER, 1), LARGEST_DENSE)


def epochs(images, restores):
    """Returns as many epochs as show enough.

    Args:
        images: `Images`.
        restores: bool, whether a restorer or a codec is trained.

    Returns:
        int.
    """
    height, width, _ = images.image_shape
    most = IMAGES_SHOWN if restores else PIXELS_SHOWN // (height * width)
    shown = min(IMAGES_SHOWN, most)
    return min(MOST_EPOCHS, max(1, round(shown / len(images.x_train))))


def patience(epochs):
    """Returns after how many epochs without a better one a training stops.

    Args:
        epochs: int, of the whole training.

    Returns:
        int.
    """
    return max(10, epochs // 3)
