"""Layers of the printed Keras network, in the usual way and rewritten, to compare.

What stands beside one another returns the same numbers. Each function takes float32
inputs `(n, height, width, channels)`, a kernel `(3, 3, channels, filters)` and a bias
`(filters,)`.
"""

import numpy as np
import tensorflow as tf
from networks import BATCH_SIZE


def conv_relu_pool(x, kernel, bias):
    x = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME") + bias)
    return tf.nn.max_pool2d(x, 2, 2, "SAME")


def pool_before_relu(x, kernel, bias):
    """ReLU and a bias do not change what is the largest."""
    x = tf.nn.max_pool2d(tf.nn.conv2d(x, kernel, 1, "SAME"), 2, 2, "SAME")
    return tf.nn.relu(x + bias)


def _at_four_places(kernel):
    """The kernel at each place of a 2 x 2 window: `(4, 4, channels, 4 * filters)`."""
    shifts = [([i, 1 - i], [j, 1 - j]) for i in (0, 1) for j in (0, 1)]
    return tf.concat([tf.pad(kernel, [*s, [0, 0], [0, 0]]) for s in shifts], -1)


def largest_of_phases(x, kernel, bias):
    """The four convolutions that a window is pooled from, as channels."""
    padding = [[0, 0], [1, 1], [1, 1], [0, 0]]
    x = tf.nn.conv2d(x, _at_four_places(kernel), 2, padding)
    a, b, c, d = tf.split(x, 4, -1)
    return tf.nn.relu(tf.maximum(tf.maximum(a, b), tf.maximum(c, d)) + bias)


def patches_as_matrix(x, kernel, bias):
    """The same as one matrix product."""
    weights = _at_four_places(kernel)
    x = tf.image.extract_patches(x, [1, 4, 4, 1], [1, 2, 2, 1], [1] * 4, "SAME")
    x = x @ tf.reshape(weights, (-1, weights.shape[-1]))
    a, b, c, d = tf.split(x, 4, -1)
    return tf.nn.relu(tf.maximum(tf.maximum(a, b), tf.maximum(c, d)) + bias)


def upsample_conv(x, kernel, bias):
    x = tf.repeat(tf.repeat(x, 2, 1), 2, 2)
    return tf.nn.conv2d(x, kernel, 1, "SAME") + bias


def transposed_conv(x, kernel, bias):
    """As `convae_keras.layers.UpsampleConv2D` does it."""
    shape = x.shape[0], 2 * x.shape[1], 2 * x.shape[2], kernel.shape[3]
    kernel = tf.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
    kernel = kernel[1:] + kernel[:-1]
    kernel = kernel[:, 1:] + kernel[:, :-1]
    kernel = tf.transpose(kernel[::-1, ::-1], (0, 1, 3, 2))
    return tf.nn.conv2d_transpose(x, kernel, shape, 2, "SAME") + bias


def phases_to_space(x, kernel, bias):
    """A convolution to the four pixels that each becomes, as channels."""

    def phases(kernel, axis):
        first, middle, last = tf.split(kernel, 3, axis)
        zero = tf.zeros_like(first)
        pairs = (first, middle + last, zero), (zero, first + middle, last)
        return [tf.concat(parts, axis) for parts in pairs]

    kernels = [k for rows in phases(kernel, 0) for k in phases(rows, 1)]
    x = tf.nn.conv2d(x, tf.concat(kernels, -1), 1, "SAME")
    return tf.nn.depth_to_space(x, 2) + bias


def cross_entropy(x, *_):
    p = tf.clip_by_value(tf.sigmoid(x), 1e-7, 1 - 1e-7)
    return -0.3 * tf.math.log(p) - 0.7 * tf.math.log(1 - p)


def cross_entropy_of_logits(x, *_):
    target = tf.fill(x.shape, 0.3)
    return tf.nn.sigmoid_cross_entropy_with_logits(target, x)


# Sides of the inputs, channels and filters, and which of inputs, kernel and bias have
# a gradient: images have none.
FIRST, LAST = (28, (1, 16), slice(1, 3)), (14, (8, 1), slice(0, 3))
LOSS = (28, (1, 1), slice(0, 1))
PIECES = {
    "pooling before bias and ReLU": (FIRST, conv_relu_pool, pool_before_relu),
    "pooling as largest of four phases": (FIRST, conv_relu_pool, largest_of_phases),
    "the same as a product of patches": (FIRST, conv_relu_pool, patches_as_matrix),
    "up-sampling as transposed": (LAST, upsample_conv, transposed_conv),
    "up-sampling as four phases": (LAST, upsample_conv, phases_to_space),
    "cross-entropy of logits": (LOSS, cross_entropy, cross_entropy_of_logits),
}


def arguments(side, channels):
    """Random inputs, kernel and bias."""
    random = np.random.default_rng(0)
    shapes = (BATCH_SIZE, side, side, channels[0]), (3, 3, *channels), channels[1:]
    return [tf.constant(random.normal(size=shape), "float32") for shape in shapes]


def forward_and_backward(function, side, channels, wanted):
    """Returns a function that computes a piece, and the gradients `wanted`."""

    @tf.function
    def both(*values):
        with tf.GradientTape() as tape:
            tape.watch(values[wanted])
            y = function(*values)
        return y, tape.gradient(y, values[wanted])

    values = arguments(side, channels)
    return lambda: both(*values)
