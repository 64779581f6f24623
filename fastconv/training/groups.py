"""Parameters in groups for the optimizers: which of them decay."""

from typing import Any

from fastconv.layers import Layer, Parameter


def decay_groups(model: Layer, weight_decay: float) -> list[dict[str, Any]]:
    """Return a model's parameters in two groups: weights that decay, and the others.

    Biases, and the scales and shifts of normalisations, are not to become small: they are the
    parameters of one axis, and have no weight decay.

    Parameters
    ----------
    model : Layer
    weight_decay : float
        That of the weights: of convolutions, full connections and whatever else has two axes or
        more.

    Returns
    -------
    list of dict
        What an optimizer takes in place of parameters; a group that would be empty is left out.

    Notes
    -----
    As in Goyal et al., "Accurate, large minibatch SGD" (2017), section 5.3, and in He et al., "Bag
    of tricks for image classification" (2019), section 3.1.

    Examples
    --------
    >>> from fastconv import models, training
    >>> groups = training.decay_groups(models.resnet20(), 1e-4)
    >>> [(len(group["params"]), group["weight_decay"]) for group in groups]
    [(20, 0.0001), (39, 0.0)]
    >>> training.SGD(groups, lr=0.1, momentum=0.9).learning_rates()
    [0.1]
    """
    params: list[Parameter] = model.parameters()
    groups = [
        {"params": [p for p in params if p.data.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in params if p.data.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
