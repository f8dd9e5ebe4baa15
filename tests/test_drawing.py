"""Drawings of networks: what is drawn of which layer."""

import keras
import pytest
from matplotlib.figure import Figure

from convae_keras import (
    block_autoencoder,
    conv_autoencoder,
    conv_codec,
    load_pretrained,
)
from convae_keras.drawing import draw_network
from convae_keras.generation import variational_autoencoder
from convae_keras.restorers import restorer

pytestmark = [pytest.mark.tensorflow, pytest.mark.float32]


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_a_block_for_each_layer_with_the_shape_that_it_returns():
    model = conv_autoencoder("keras")
    figure = draw_network(model)
    assert isinstance(figure, Figure)
    shapes = [text for text in texts(figure) if text[0].isdigit()]
    assert shapes == [
        "28×28×1",
        "28×28×16",
        "14×14×16",
        "14×14×8",
        "14×14×8",
        "28×28×1",
    ]
    assert texts(figure)[-2:] == ["encoder", "decoder"]
    assert figure.axes[0].get_title() == f"{model.count_params():,} weights"


def test_blocks_are_as_high_as_the_maps_and_wider_with_more_channels():
    figure = draw_network(conv_autoencoder("keras"))
    first, wide, pooled, *_ = figure.axes[0].patches
    assert first.get_height() == wide.get_height() == 2 * pooled.get_height()
    assert first.get_width() < wide.get_width() == pooled.get_width()


@pytest.mark.parametrize("scale", [1, 2])
def test_skip_connections_are_arcs(scale):
    options = {"filters": (4, 8), "residual": True}
    model = restorer((None, None, 1), scale=scale, **options)
    figure = draw_network(model, (24, 24, 1))
    arcs = [text for text in figure.axes[0].texts if getattr(text, "arrow_patch", None)]
    adds = [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]
    enlarged = scale > 1  # the input, by interpolation
    assert len(adds) == 2 and len(arcs) == 2 + enlarged


def test_paths_beside_each_other_are_arcs_too():
    model = block_autoencoder((16, 16, 3), filters=(4, 4, 4))
    figure = draw_network(model)
    arcs = [text for text in figure.axes[0].texts if getattr(text, "arrow_patch", None)]
    # In each half: into the linear map, past it, and from it into the sum.
    assert len(arcs) == 6


def test_a_model_within_the_encoder_is_no_detour():
    model = variational_autoencoder(image_shape=(16, 16, 1), latent_dim=3)
    figure = draw_network(model)
    assert "Sample\nCode" in texts(figure)
    assert not [
        text for text in figure.axes[0].texts if getattr(text, "arrow_patch", None)
    ]


def test_a_code_that_is_reshaped_is_drawn_as_maps():
    shapes = texts(
        draw_network(conv_autoencoder("reference", image_shape=(8, 8, 1), latent_dim=5))
    )
    assert "5" in shapes and "2×2×64" in shapes


def test_an_open_size_must_be_given():
    with pytest.raises(ValueError, match="`input_shape` must be given.*None"):
        draw_network(restorer((None, None, 1), filters=(4, 8)))


def test_a_model_of_two_inputs_is_not_drawn():
    with pytest.raises(ValueError, match="`model` must have one input. Received: 2"):
        draw_network(load_pretrained("generator"))


def test_an_encoder_of_any_size_is_not_drawn():
    with pytest.raises(ValueError, match="`model` must be built for one size"):
        draw_network(
            conv_autoencoder("keras", image_shape=(None, None, 1)), (24, 24, 1)
        )


def test_a_codec_rounds_and_enlarges_by_rearranging_channels():
    names = [text.replace("\n", "") for text in texts(draw_network(conv_codec()))]
    assert names.count("EntropyBottleneck") == 1
    assert names.count("DepthToSpace") == 2
    assert names.count("IntegerConv2D") == 4
