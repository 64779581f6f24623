"""The normalisation layers."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from fastconv import _check
from fastconv import functional as F
from fastconv._check import Array
from fastconv.engine.base.memory import is_sole
from fastconv.layers.base import Layer, Parameter, add_gradients, gradient_mask


def _data(parameter: Parameter | None) -> Array | None:
    return None if parameter is None else parameter.data


def _taken_over(saved: tuple[Any, ...], place: int, wanted: bool) -> Array | None:
    """Return an array that nobody needs after this, for a gradient to be written over, or None.

    Memory that has been read is in the caches; memory that has not would be fetched first.
    """
    return saved[place] if wanted and is_sole(saved, place) else None


class _Norm(Layer):
    """Statistics of channels, which may be tracked: what batch and instance norm share."""

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Array | None
    running_var: Array | None
    num_batches_tracked: Any

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        bias: bool,
        dtype: DTypeLike,
    ) -> None:
        self.num_features = channels = _check.integer("num_features", num_features, 1)
        self.eps = _check.number("eps", eps)
        self.momentum = None if momentum is None else _check.number("momentum", momentum)
        self.affine = bool(affine)
        self.track_running_stats = bool(track_running_stats)
        found = _check.float_dtype(dtype)
        self.weight = Parameter(np.ones(channels, found), "weight") if affine else None
        self.bias = Parameter(np.zeros(channels, found), "bias") if affine and bias else None
        tracked = self.track_running_stats
        self.register_buffer("running_mean", np.zeros(channels, found) if tracked else None)
        self.register_buffer("running_var", np.ones(channels, found) if tracked else None)
        # Files of torch before 0.4.1 do not have it.
        count = np.zeros((), np.int64) if tracked else None
        self.register_buffer("num_batches_tracked", count, required=False)

    def _describe(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Norm):
    """Batch norm of inputs with one of some numbers of axes."""

    _axes: ClassVar[tuple[int, ...]]
    _shapes: ClassVar[str]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias, dtype)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        output, statistics = self._normalize(F.batch_norm, x)
        return output, (x, statistics)

    def _normalize(
        self, function: Callable[..., Array], x: Array, **more: Any
    ) -> tuple[Array, Array]:
        """Return what one of batch norm's functions gives, and the statistics of the batch."""
        x = _check.array("input", x)
        if x.ndim not in self._axes or x.shape[1] != self.num_features:
            raise ValueError(
                f"input must be {self._shapes} with C = {self.num_features}, got shape {x.shape}"
            )
        moves = self.training and self.num_batches_tracked is not None
        # Outside of training, too, where there are no running statistics.
        by_batch = self.training or self.running_mean is None
        momentum = self.momentum
        if momentum is None:
            # The mean of all batches so far.
            momentum = 1 / (int(self.num_batches_tracked) + 1) if moves else 0.0
        statistics = np.empty((2, self.num_features))
        weight = _data(self.weight)
        output = function(
            x, self.running_mean, self.running_var, weight, _data(self.bias), by_batch, momentum,
            self.eps, statistics=statistics, **more,
        )  # fmt: skip
        if moves:
            self.num_batches_tracked[...] += 1
        return output, statistics

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Array | None:
        place = _taken_over(saved, 0, input_grad)
        x, statistics = saved
        mask = gradient_mask(input_grad, self.weight, self.bias)
        grad_input, grad_weight, grad_bias = F.batch_norm_backward(
            grad_output, x, statistics, _data(self.weight), True, output_mask=mask,
            out=(place, None, None),
        )  # fmt: skip
        add_gradients((self.weight, self.bias), (grad_weight, grad_bias))
        return grad_input

    def _forward_relu(
        self, x: Array, residual: Array | None, upper: float | None
    ) -> tuple[Array, Any]:
        """Return max(output + residual, 0), cut off above `upper`, and what backward needs."""
        output, statistics = self._normalize(F.batch_norm_relu, x, residual=residual, upper=upper)
        # Without a residual, the input tells which outputs are positive.
        return output, (x, statistics, None if residual is None else output, upper)

    def _relu_again(self, x: Array, statistics: Array, upper: float | None) -> Array:
        """Return the output of a `_forward_relu` without a residual again."""
        weight, bias = _data(self.weight), _data(self.bias)
        return F.batch_norm_relu_output(x, statistics, weight, bias, upper=upper)

    def _backward_relu(
        self, saved: Any, grad_output: Array, input_grad: bool, residual_grad: bool
    ) -> tuple[Array | None, Array | None]:
        """Return the gradients with respect to the input and the residual of `_forward_relu`."""
        place, last = _taken_over(saved, 0, input_grad), _taken_over(saved, 2, residual_grad)
        x, statistics, output, upper = saved
        weight, bias = _data(self.weight), _data(self.bias)
        mask = (*gradient_mask(input_grad, self.weight, self.bias), residual_grad)
        grad_input, grad_weight, grad_bias, grad_residual = F.batch_norm_relu_backward(
            grad_output, x, statistics, weight, bias, True, output=output, upper=upper,
            output_mask=mask, out=(place, None, None, last),
        )  # fmt: skip
        add_gradients((self.weight, self.bias), (grad_weight, grad_bias))
        return grad_input, grad_residual


class BatchNorm1d(_BatchNorm):
    """Batch norm of (N, C) or (N, C, L): `functional.batch_norm`.

    Parameters
    ----------
    num_features : int
        C, the number of channels.
    eps : float
        Added to the variance.
    momentum : float or None
        The weight of a batch in the running statistics; None keeps the mean over all batches.
    affine : bool
        Multiply by a weight and add a bias for each channel.
    bias : bool
        False leaves the bias out.
    track_running_stats : bool
        Keep running statistics, by which inputs are normalised in evaluation mode; without them,
        the batch's own are taken there, too.
    dtype : dtype, keyword-only
        Float32 (default) or float64.

    Attributes
    ----------
    weight, bias : Parameter, shape (C,), or None
        1 and 0 to begin with.
    running_mean, running_var : ndarray, shape (C,), or None
        Buffers: 0 and 1 to begin with.
    num_batches_tracked : ndarray of int64, shape (), or None
        A buffer: the number of forward passes in training mode.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value; `forward`, as `functional.batch_norm`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.BatchNorm1d(2, affine=False)(np.array([[0, 1], [2, 5]], np.float32)).round(3)
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    """

    _axes = (2, 3)
    _shapes = "(N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """Batch norm of (N, C, H, W): `functional.batch_norm`.

    Parameters and attributes are those of `BatchNorm1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layer = layers.BatchNorm2d(3)
    >>> layer(np.ones((2, 3, 4, 4), np.float32)).shape
    (2, 3, 4, 4)
    >>> list(layer.state_dict())
    ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked']
    """

    _axes = (4,)
    _shapes = "(N, C, H, W)"


class BatchNorm3d(_BatchNorm):
    """Batch norm of (N, C, D, H, W): `functional.batch_norm`.

    Parameters and attributes are those of `BatchNorm1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.BatchNorm3d(3)(np.ones((2, 3, 2, 4, 4), np.float32)).shape
    (2, 3, 2, 4, 4)
    """

    _axes = (5,)
    _shapes = "(N, C, D, H, W)"


class GroupNorm(Layer):
    """Group norm of (N, C, ...): `functional.group_norm`.

    Parameters
    ----------
    num_groups, num_channels : int
        The groups, and C, a multiple of them.
    eps : float
        Added to the variance.
    affine : bool
        Multiply by a weight and add a bias for each channel.
    bias : bool
        False leaves the bias out.
    dtype : dtype, keyword-only
        Float32 (default) or float64.

    Attributes
    ----------
    weight, bias : Parameter, shape (C,), or None
        1 and 0 to begin with.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value; `forward`, as `functional.group_norm`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.GroupNorm(2, 6)(np.ones((2, 6, 4, 4), np.float32)).shape
    (2, 6, 4, 4)
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.num_groups = _check.integer("num_groups", num_groups, 1)
        self.num_channels = channels = _check.integer("num_channels", num_channels, 1)
        if channels % self.num_groups:
            raise ValueError(f"num_groups must divide num_channels = {channels}, got {num_groups}")
        self.eps = _check.number("eps", eps)
        self.affine = bool(affine)
        found = _check.float_dtype(dtype)
        self.weight = Parameter(np.ones(channels, found), "weight") if affine else None
        self.bias = Parameter(np.zeros(channels, found), "bias") if affine and bias else None

    def _forward(self, x: Array) -> tuple[Array, Any]:
        x = _check.array("input", x)
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ValueError(
                f"input must be (N, C, ...) with C = {self.num_channels}, got shape {x.shape}"
            )
        statistics = np.empty((2, x.shape[0], self.num_groups))
        output = F.group_norm(
            x, self.num_groups, _data(self.weight), _data(self.bias), self.eps,
            statistics=statistics,
        )  # fmt: skip
        return output, (x, statistics)

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Array | None:
        x, statistics = saved
        grad_input, grad_weight, grad_bias = F.group_norm_backward(
            grad_output,
            x,
            self.num_groups,
            statistics,
            _data(self.weight),
            output_mask=(input_grad, self.weight is not None, self.bias is not None),
        )
        add_gradients((self.weight, self.bias), (grad_weight, grad_bias))
        return grad_input

    def _describe(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class _InstanceNorm(_Norm):
    """Instance norm of a batch or a sample, with so many axes behind the channels."""

    _axes: ClassVar[int]
    _shapes: ClassVar[str]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias, dtype)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        x = _check.array("input", x)
        maps = _check.batch(x, self._axes)
        if maps.ndim != self._axes + 2 or maps.shape[1] != self.num_features:
            raise ValueError(
                f"input must be {self._shapes} with C = {self.num_features}, got shape {x.shape}"
            )
        by_input = self.training or self.running_mean is None
        # The running statistics are the same for all samples.
        shape = maps.shape[:2] if by_input else maps.shape[1:2]
        statistics = np.empty((2, *shape))
        output = F.instance_norm(
            maps, self.running_mean, self.running_var, _data(self.weight), _data(self.bias),
            by_input, self.momentum or 0.0, self.eps, statistics=statistics,
        )  # fmt: skip
        return output.reshape(x.shape), (x, statistics, by_input)

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Array | None:
        x, statistics, by_input = saved
        grad_output = _check.array("grad_output", grad_output)
        _check.same_shape("grad_output", grad_output, x.shape, "output.shape")
        grad_input, grad_weight, grad_bias = F.instance_norm_backward(
            _check.batch(grad_output, self._axes),
            _check.batch(x, self._axes),
            statistics,
            _data(self.weight),
            by_input,
            output_mask=(input_grad, self.weight is not None, self.bias is not None),
        )
        add_gradients((self.weight, self.bias), (grad_weight, grad_bias))
        return None if grad_input is None else grad_input.reshape(x.shape)


class InstanceNorm1d(_InstanceNorm):
    """Instance norm of (N, C, L) or (C, L): `functional.instance_norm`.

    Parameters
    ----------
    num_features, eps, affine, bias, dtype
        As in `BatchNorm1d`.
    momentum : float or None
        The weight of a batch in the running statistics; None leaves them as they are.
    track_running_stats : bool
        Keep running statistics, by which inputs are normalised in evaluation mode; without them,
        the input's own are taken there, too.

    Attributes
    ----------
    weight, bias, running_mean, running_var
        As in `BatchNorm1d`.
    num_batches_tracked : ndarray of int64, shape (), or None
        A buffer, of the same files as that of batch norm; as torch's it stays 0.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value; `forward`, as `functional.instance_norm`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.InstanceNorm1d(2)(np.array([[0, 2], [1, 5]], np.float32)).round(3)
    array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    """

    _axes = 1
    _shapes = "(N, C, L) or (C, L)"


class InstanceNorm2d(_InstanceNorm):
    """Instance norm of (N, C, H, W) or (C, H, W): `functional.instance_norm`.

    Parameters and attributes are those of `InstanceNorm1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layer = layers.InstanceNorm2d(3, affine=True)
    >>> layer(np.ones((2, 3, 4, 4), np.float32)).shape
    (2, 3, 4, 4)
    >>> list(layer.state_dict())
    ['weight', 'bias']
    """

    _axes = 2
    _shapes = "(N, C, H, W) or (C, H, W)"


class InstanceNorm3d(_InstanceNorm):
    """Instance norm of (N, C, D, H, W) or (C, D, H, W): `functional.instance_norm`.

    Parameters and attributes are those of `InstanceNorm1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.InstanceNorm3d(3)(np.ones((2, 3, 2, 4, 4), np.float32)).shape
    (2, 3, 2, 4, 4)
    """

    _axes = 3
    _shapes = "(N, C, D, H, W) or (C, D, H, W)"


class LayerNorm(Layer):
    r"""Layer norm of (\*rows, \*normalized_shape): `functional.layer_norm`.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The lengths of the axes to normalise over, the last ones.
    eps : float
        Added to the variance.
    elementwise_affine : bool
        Multiply by a weight and add a bias for each number of a row.
    bias : bool
        False leaves the bias out.
    dtype : dtype, keyword-only
        Float32 (default) or float64.

    Attributes
    ----------
    weight, bias : Parameter, shape `normalized_shape`, or None
        1 and 0 to begin with.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value; `forward`, as `functional.layer_norm`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.LayerNorm(64)(np.ones((2, 5, 64), np.float32)).shape
    (2, 5, 64)
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.normalized_shape = shape = _check.lengths("normalized_shape", normalized_shape)
        self.eps = _check.number("eps", eps)
        self.elementwise_affine = affine = bool(elementwise_affine)
        found = _check.float_dtype(dtype)
        self.weight = Parameter(np.ones(shape, found), "weight") if affine else None
        self.bias = Parameter(np.zeros(shape, found), "bias") if affine and bias else None

    def _forward(self, x: Array) -> tuple[Array, Any]:
        x = _check.array("input", x)
        statistics = np.empty((2, *x.shape[: max(x.ndim - len(self.normalized_shape), 0)]))
        output = F.layer_norm(
            x, self.normalized_shape, _data(self.weight), _data(self.bias), self.eps,
            statistics=statistics,
        )  # fmt: skip
        return output, (x, statistics)

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Array | None:
        x, statistics = saved
        grad_input, grad_weight, grad_bias = F.layer_norm_backward(
            grad_output,
            x,
            self.normalized_shape,
            statistics,
            _data(self.weight),
            output_mask=(input_grad, self.weight is not None, self.bias is not None),
        )
        add_gradients((self.weight, self.bias), (grad_weight, grad_bias))
        return grad_input

    def _describe(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class LocalResponseNorm(Layer):
    """Division by what neighbouring channels hold: `functional.local_response_norm`.

    Parameters
    ----------
    size, alpha, beta, k
        As in `functional.local_response_norm`.
    divide_by_size : bool, keyword-only
        As there.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.LocalResponseNorm(5, k=2.0)(np.ones((1, 96, 27, 27))).shape
    (1, 96, 27, 27)
    """

    def __init__(
        self,
        size: int,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 1.0,
        *,
        divide_by_size: bool = True,
    ) -> None:
        self.size = _check.integer("size", size, 1)
        self.alpha = _check.number("alpha", alpha)
        self.beta = _check.number("beta", beta)
        self.k = _check.number("k", k)
        self.divide_by_size = bool(divide_by_size)

    def _forward(self, x: Array) -> tuple[Array, Array]:
        output = F.local_response_norm(
            x, self.size, self.alpha, self.beta, self.k, divide_by_size=self.divide_by_size
        )
        return output, x

    def _backward(self, saved: Array, grad_output: Array, input_grad: bool) -> Array | None:
        if not input_grad:
            return None
        return F.local_response_norm_backward(
            grad_output, saved, self.size, self.alpha, self.beta, self.k,
            divide_by_size=self.divide_by_size,
        )  # fmt: skip

    def _describe(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
