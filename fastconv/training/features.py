"""What the convolutions of a network make of an image."""

from typing import Any

import numpy as np

from fastconv.layers import Conv2d, Layer
from fastconv.training.evaluation import mode

Array = np.ndarray[Any, np.dtype[Any]]


def feature_maps(model: Layer, image: Array) -> dict[str, Array]:
    """Return the output of each convolution of a network, in the order in which they are computed.

    Parameters
    ----------
    model : Layer
        Called in eval mode; its layers are left in their modes.
    image : ndarray, shape (C, H, W)
        One image, normalised as in training, of the model's dtype.

    Returns
    -------
    dict of str to ndarray, shape (K, P, Q)
        By the name of the layer; the last call counts of one that is called several times.

    Raises
    ------
    ValueError
        If there is not one image.

    Examples
    --------
    >>> from fastconv import models
    >>> maps = feature_maps(models.lenet_digits(rng=0), np.zeros((1, 8, 8), np.float32))
    >>> {name: features.shape for name, features in maps.items()}
    {'0': (16, 8, 8), '2': (32, 8, 8)}
    """
    if image.ndim != 3:
        raise ValueError(f"image: got shape {image.shape}, expected (C, H, W)")
    found: dict[str, Array] = {}
    handles = []

    def keep(name: str, layer: Layer) -> None:
        # A copy: a layer behind may write over the output.
        handles.append(
            layer.register_forward_hook(
                lambda layer, inputs, output: found.update({name: output[0].copy()})
            )
        )

    try:
        for name, layer in model.named_layers():
            if isinstance(layer, Conv2d):
                keep(name, layer)
        with mode(model, training=False):
            model.forward(image[np.newaxis])
    finally:
        for handle in handles:
            handle.remove()
    return found
