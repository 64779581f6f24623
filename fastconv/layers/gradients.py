"""Numerical check of a layer's gradients."""

import numpy as np

from fastconv._check import Array, Random
from fastconv.layers.base import Layer


def check_gradients(layer: Layer, x: Array, *, eps: float = 1e-6, rng: Random = 0) -> float:
    """Compare a layer's gradients with central differences.

    The function differentiated is J = sum(r * layer(x)) with fixed random numbers r. Every element
    of the input and of all parameters that are not frozen is moved by `eps` both ways, so this is
    for small layers.

    Parameters
    ----------
    layer : Layer
        A layer of float64 parameters. Its gradients are lost; its random generators and buffers,
        if any, are put back before each pass, so that all passes see the same dropout mask, and at
        the end, also if a pass raises.
    x : ndarray of float64
        An input for it.
    eps : float
        The step; the differences are accurate to about eps**2 and 1e-16/eps.
    rng : int or numpy.random.Generator, optional
        Where r comes from.

    Returns
    -------
    float
        The largest difference between a gradient and its central difference, over the largest
        gradient of the same array (or over 1, where that is less).

    Raises
    ------
    TypeError
        If the input or a parameter is not float64: float32 has too few digits for differences.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layer = layers.Conv2d(2, 3, 3, padding=1, dtype=np.float64, rng=0)
    >>> layers.check_gradients(layer, np.random.default_rng(1).standard_normal((2, 2, 4, 4))) < 1e-8
    True
    """
    parameters = layer.parameters()
    if x.dtype != np.float64 or any(p.data.dtype != np.float64 for p in parameters):
        raise TypeError("check_gradients needs an input and parameters of float64")
    x, random = x.copy(), np.random.default_rng(rng)
    modes = [(part, part.training) for part in layer.layers()]
    states = [generator.bit_generator.state for generator in layer.generators()]
    buffers = [(buffer, buffer.copy()) for buffer in layer.buffers()]

    def rewind() -> None:
        for buffer, value in buffers:
            buffer[...] = value
        for generator, state in zip(layer.generators(), states, strict=True):
            generator.bit_generator.state = state

    def forward() -> Array:
        rewind()
        output: Array = layer(x.copy())
        return output

    def differences(values: Array, gradient: Array | None) -> float:
        if gradient is None:
            gradient = np.zeros_like(values)
        worst, largest = 0.0, max(float(np.abs(gradient).max(initial=0)), 1.0)
        for place in np.ndindex(values.shape):
            kept = values[place]
            try:
                values[place] = kept + eps
                above = float((weights * forward()).sum())
                values[place] = kept - eps
                below = float((weights * forward()).sum())
            finally:
                values[place] = kept
            difference = abs((above - below) / (2 * eps) - float(gradient[place]))
            worst = max(worst, difference / largest)
        return worst

    try:
        layer.train()
        weights = random.standard_normal(forward().shape)
        layer.zero_grad()
        forward()
        grad_input = layer.backward(weights.copy())
        gradients = [(x, grad_input)] + [(p.data, p.grad) for p in parameters if p.requires_grad]
        return max(differences(values, gradient) for values, gradient in gradients)
    finally:
        layer.zero_grad()
        # Forget the last forward pass, and go back to the modes that were.
        layer.eval()
        for part, mode in modes:
            part.training = mode
        rewind()
