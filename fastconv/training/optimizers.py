"""Rules that turn gradients into new parameter values, as torch.optim defines them."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeAlias

from fastconv.engine.ops import optimizers as compiled
from fastconv.layers import Parameter
from fastconv.training._steps import Optimizer, Step, number

Params: TypeAlias = Iterable[Parameter | Mapping[str, Any]]


class SGD(Optimizer):
    r"""Stochastic gradient descent with momentum.

    Parameters
    ----------
    params : iterable of Parameter, or of dicts
        The parameters to update, or groups of them, as `Optimizer` says.
    lr : float
        Learning rate; a plain attribute that may be changed between steps.
    momentum : float, optional
        Factor of the previous update direction.
    dampening : float, optional
        The gradient enters the direction with the factor ``1 - dampening``, except at first.
    weight_decay : float, optional
        Factor of the L2 penalty, added to the gradient as ``weight_decay * parameter``.
    nesterov : bool, optional
        Look ahead along the direction; needs momentum and no dampening.

    Raises
    ------
    ValueError
        If a number is negative or not finite, or ``nesterov`` lacks what it needs.
    TypeError
        If a number or the parameters are of the wrong type.

    Notes
    -----
    The rule of torch.optim.SGD, which differs from Sutskever et al., "On the importance of
    initialization and momentum in deep learning" (2013), in where the learning rate enters:

    .. math::
        g &= \nabla J + \lambda w \\
        v &= \mu v + (1 - \tau) g \quad (v = g \text{ at first}) \\
        w &= w - \eta v, \quad\text{with Nesterov}\quad w = w - \eta (g + \mu v)

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.layers import Parameter
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> w.add_grad(np.array([10.0, 0.0]))
    >>> SGD([w], lr=0.1).step()
    >>> w.data
    array([0., 2.])
    """

    _limits = dict.fromkeys(("lr", "momentum", "dampening", "weight_decay"), math.inf)
    _flags = ("nesterov",)
    _buffer_names = ("momentum_buffer",)

    def __init__(
        self,
        params: Params,
        lr: float,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(params, lr)
        self.momentum, self.dampening = momentum, dampening
        self.weight_decay, self.nesterov = weight_decay, nesterov
        self._keep_settings()

    def _check_settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        checked = super()._check_settings(settings)
        if checked["nesterov"] and (checked["momentum"] == 0 or checked["dampening"] != 0):
            raise ValueError(
                f"nesterov: needs momentum > 0 and dampening = 0, got "
                f"momentum={checked['momentum']:g} and dampening={checked['dampening']:g}"
            )
        return checked

    def step(self) -> None:
        """Update every parameter that has a gradient, or raise with nothing changed."""
        step = Step(self)
        for settings, indices in step.groups:
            lr, momentum, dampening, decay, nesterov = settings.values()
            for index in indices:
                step.add(index, ("momentum_buffer",) if momentum else ())
            step.close(compiled.sgd, lr, momentum, 1.0 - dampening, decay, nesterov)
        step.take()


class Adam(Optimizer):
    r"""Adam: steps scaled by running estimates of the gradient's mean and variance.

    Parameters
    ----------
    params : iterable of Parameter, or of dicts
        The parameters to update, or groups of them, as `Optimizer` says.
    lr : float, optional
        Learning rate; a plain attribute that may be changed between steps.
    betas : tuple of two floats, optional
        Decay rates of the two running means, both in [0, 1).
    eps : float, optional
        Added to the denominator.
    weight_decay : float, optional
        Factor of the L2 penalty, added to the gradient as ``weight_decay * parameter``.
    amsgrad : bool, optional
        Divide by the largest v so far: Reddi et al., "On the convergence of Adam and beyond",
        2018.

    Raises
    ------
    ValueError
        If a number is negative, not finite or out of range.
    TypeError
        If a number or the parameters are of the wrong type.

    Notes
    -----
    Algorithm 1 of Kingma and Ba, "Adam: a method for stochastic optimization" (2015), with
    torch's place of ``eps``, for step :math:`t = 1, 2, \ldots` of each parameter:

    .. math::
        g &= \nabla J + \lambda w \\
        m &= m + (1 - \beta_1) (g - m) \\
        v &= \beta_2 v + (1 - \beta_2) g^2 \\
        w &= w - \frac{\eta}{1 - \beta_1^t}
             \frac{m}{\sqrt{v} / \sqrt{1 - \beta_2^t} + \epsilon}

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.layers import Parameter
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> w.add_grad(np.array([10.0, -0.1]))
    >>> Adam([w], lr=0.5).step()
    >>> w.data.round(6)
    array([0.5, 2.5])
    """

    _limits: ClassVar[Mapping[str, float]] = {
        "lr": math.inf, "beta1": 1.0, "beta2": 1.0, "eps": math.inf, "weight_decay": math.inf
    }  # fmt: skip
    _flags = ("amsgrad",)
    _buffer_names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    _needed = ("exp_avg", "exp_avg_sq")
    _absent: ClassVar[Mapping[str, Any]] = {"amsgrad": False}
    # Whether the weights decay by themselves, and not as a part of the gradient.
    _decoupled = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr)
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise TypeError(f"betas: got {betas!r}, expected a pair of numbers")
        self.beta1, self.beta2 = (
            number(f"betas[{index}]", beta, below=1.0) for index, beta in enumerate(betas)
        )
        self.eps, self.weight_decay, self.amsgrad = eps, weight_decay, amsgrad
        self._keep_settings()

    def step(self) -> None:
        """Update every parameter that has a gradient, or raise with nothing changed."""
        step = Step(self)
        for settings, indices in step.groups:
            lr, beta1, beta2, eps, decay, amsgrad = settings.values()
            names = self._buffer_names if amsgrad else self._needed
            for index in indices:
                count = step.steps[index]
                rate = lr / (1.0 - beta1**count)
                step.add(index, names, rate, 1.0 / math.sqrt(1.0 - beta2**count))
            shrink = 1.0 - lr * decay if self._decoupled else 1.0
            penalty = 0.0 if self._decoupled else decay
            step.close(compiled.adam, 1.0 - beta1, beta2, 1.0 - beta2, eps, penalty, shrink)
        step.take()


class AdamW(Adam):
    r"""Adam whose weight decay is no part of the gradient.

    Parameters
    ----------
    params, lr, betas, eps, amsgrad
        As of `Adam`.
    weight_decay : float, optional
        In each step the parameters are first multiplied by ``1 - lr * weight_decay``.

    Raises
    ------
    ValueError, TypeError
        As `Adam`.

    Notes
    -----
    Loshchilov and Hutter, "Decoupled weight decay regularization" (2019), algorithm 2, with the
    learning rate as a factor of the decay, as in torch:

    .. math:: w = (1 - \eta \lambda) w, \quad\text{then as Adam with}\quad g = \nabla J

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.layers import Parameter
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> w.add_grad(np.array([10.0, -0.1]))
    >>> AdamW([w], lr=0.5, weight_decay=0.2).step()
    >>> w.data.round(6)
    array([0.4, 2.3])
    """

    _decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)


class RMSprop(Optimizer):
    r"""Steps scaled by a running mean of the gradient's square.

    Parameters
    ----------
    params : iterable of Parameter, or of dicts
        The parameters to update, or groups of them, as `Optimizer` says.
    lr : float, optional
        Learning rate; a plain attribute that may be changed between steps.
    alpha : float, optional
        Decay rate of the running means, in [0, 1).
    eps : float, optional
        Added to the denominator.
    weight_decay : float, optional
        Factor of the L2 penalty, added to the gradient as ``weight_decay * parameter``.
    momentum : float, optional
        Factor of the previous update direction.
    centered : bool, optional
        Divide by the standard deviation rather than by the root of the mean square.

    Raises
    ------
    ValueError
        If a number is negative, not finite or out of range.
    TypeError
        If a number or the parameters are of the wrong type.

    Notes
    -----
    Tieleman and Hinton, "Lecture 6.5 - rmsprop" (2012), with torch's place of ``eps``; centered as
    Graves, "Generating sequences with recurrent neural networks" (2013):

    .. math::
        g &= \nabla J + \lambda w \\
        v &= \alpha v + (1 - \alpha) g^2 \\
        m &= m + (1 - \alpha) (g - m), \quad\text{centered, else } m = 0 \\
        b &= \mu b + \frac{g}{\sqrt{v - m^2} + \epsilon} \\
        w &= w - \eta b

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.layers import Parameter
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> w.add_grad(np.array([10.0, -0.1]))
    >>> RMSprop([w], lr=0.1, alpha=0.75).step()
    >>> w.data.round(6)
    array([0.8, 2.2])
    """

    _limits: ClassVar[Mapping[str, float]] = {
        "lr": math.inf, "alpha": 1.0, "eps": math.inf, "weight_decay": math.inf,
        "momentum": math.inf,
    }  # fmt: skip
    _flags = ("centered",)
    _buffer_names = ("square_avg", "momentum_buffer", "grad_avg")
    _needed = ("square_avg",)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(params, lr)
        self.alpha, self.eps, self.weight_decay = alpha, eps, weight_decay
        self.momentum, self.centered = momentum, centered
        self._keep_settings()

    def step(self) -> None:
        """Update every parameter that has a gradient, or raise with nothing changed."""
        step = Step(self)
        for settings, indices in step.groups:
            lr, alpha, eps, decay, momentum, centered = settings.values()
            square, buffer, mean = self._buffer_names
            names = square, buffer if momentum else None, mean if centered else None
            for index in indices:
                step.add(index, names)
            step.close(compiled.rmsprop, lr, momentum, alpha, 1.0 - alpha, eps, decay)
        step.take()
