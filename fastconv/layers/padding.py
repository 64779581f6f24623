"""Layers that put cells around maps, or take them away: `functional.pad`."""

from typing import Any, ClassVar

from fastconv import _check
from fastconv import functional as F
from fastconv._check import Array
from fastconv._docs import described_like
from fastconv._geometry import Ints
from fastconv.layers.base import Layer


class _Pad(Layer):
    """Padding of the last axes in one mode."""

    _axes: ClassVar[int]
    _mode: ClassVar[str] = "constant"
    value = 0.0

    def __init__(self, padding: int | Ints) -> None:
        sides = 2 * self._axes
        if not isinstance(padding, tuple | list):
            padding = (padding,) * sides
        if len(padding) != sides:
            raise ValueError(
                f"padding must be an integer or have {sides}, before and after each axis, the last "
                f"axis first, got {padding!r}"
            )
        self.padding = tuple(
            _check.integer(f"padding[{i}]", count, -_check.MAX_INT)
            for i, count in enumerate(padding)
        )

    def _forward(self, x: Array) -> tuple[Array, Any]:
        output = F.pad(x, self.padding, self._mode, self.value)
        return output, (x.shape, output.dtype)

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Array | None:
        shape, dtype = saved
        grad_output = _check.array("grad_output", grad_output)
        if grad_output.dtype != dtype:
            raise TypeError(f"grad_output must have dtype {dtype}, got {grad_output.dtype}")
        return F.pad_backward(grad_output, shape, self.padding, self._mode)

    def _describe(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    """Padding with a value."""

    def __init__(self, padding: int | Ints, value: float) -> None:
        super().__init__(padding)
        self.value = _check.number("value", value)

    def _describe(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ZeroPad1d(_Pad):
    """Zeros around each line; negative numbers take cells away.

    Parameters
    ----------
    padding : int or tuple of int
        Cells on every side, or two numbers for each axis, before and after it, the last axis first.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.ZeroPad1d(1)(np.array([[1.0, 2.0]]))
    array([[0., 1., 2., 0.]])
    """

    _axes = 1


@described_like(ZeroPad1d)
class ZeroPad2d(_Pad):
    """Zeros around each map; negative numbers take cells away.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.ZeroPad2d(1)(np.ones((1, 1, 2, 2))).shape
    (1, 1, 4, 4)
    """

    _axes = 2


@described_like(ZeroPad1d)
class ZeroPad3d(_Pad):
    """Zeros around each volume; negative numbers take cells away.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.ZeroPad3d(1)(np.ones((1, 1, 2, 2, 2))).shape
    (1, 1, 4, 4, 4)
    """

    _axes = 3


class ConstantPad1d(_ConstantPad):
    """A value around each line; negative numbers take cells away.

    Parameters
    ----------
    padding : int or tuple of int
        Cells on every side, or two numbers for each axis, before and after it, the last axis first.
    value : float
        What the new cells hold.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.ConstantPad1d(1, 7.0)(np.array([[1.0, 2.0]]))
    array([[7., 1., 2., 7.]])
    """

    _axes = 1


@described_like(ConstantPad1d)
class ConstantPad2d(_ConstantPad):
    """A value around each map; negative numbers take cells away.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.ConstantPad2d(1, 7.0)(np.ones((1, 1, 2, 2))).shape
    (1, 1, 4, 4)
    """

    _axes = 2


@described_like(ConstantPad1d)
class ConstantPad3d(_ConstantPad):
    """A value around each volume; negative numbers take cells away.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.ConstantPad3d(1, 7.0)(np.ones((1, 1, 2, 2, 2))).shape
    (1, 1, 4, 4, 4)
    """

    _axes = 3


@described_like(ZeroPad1d)
class ReflectionPad1d(_Pad):
    """Each line mirrored at its border cells, which are not repeated.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.ReflectionPad1d(1)(np.array([[1.0, 2.0]]))
    array([[2., 1., 2., 1.]])
    """

    _axes = 1
    _mode = "reflect"


@described_like(ZeroPad1d)
class ReflectionPad2d(_Pad):
    """Each map mirrored at its border cells, which are not repeated.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.ReflectionPad2d(1)(np.ones((1, 1, 2, 2))).shape
    (1, 1, 4, 4)
    """

    _axes = 2
    _mode = "reflect"


@described_like(ZeroPad1d)
class ReflectionPad3d(_Pad):
    """Each volume mirrored at its border cells, which are not repeated.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.ReflectionPad3d(1)(np.ones((1, 1, 2, 2, 2))).shape
    (1, 1, 4, 4, 4)
    """

    _axes = 3
    _mode = "reflect"


@described_like(ZeroPad1d)
class ReplicationPad1d(_Pad):
    """Copies of the border cells around each line.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.ReplicationPad1d(1)(np.array([[1.0, 2.0]]))
    array([[1., 1., 2., 2.]])
    """

    _axes = 1
    _mode = "replicate"


@described_like(ZeroPad1d)
class ReplicationPad2d(_Pad):
    """Copies of the border cells around each map.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.ReplicationPad2d(1)(np.ones((1, 1, 2, 2))).shape
    (1, 1, 4, 4)
    """

    _axes = 2
    _mode = "replicate"


@described_like(ZeroPad1d)
class ReplicationPad3d(_Pad):
    """Copies of the border cells around each volume.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.ReplicationPad3d(1)(np.ones((1, 1, 2, 2, 2))).shape
    (1, 1, 4, 4, 4)
    """

    _axes = 3
    _mode = "replicate"


@described_like(ZeroPad1d)
class CircularPad1d(_Pad):
    """Each line continued from its other end.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.CircularPad1d(1)(np.array([[1.0, 2.0]]))
    array([[2., 1., 2., 1.]])
    """

    _axes = 1
    _mode = "circular"


@described_like(ZeroPad1d)
class CircularPad2d(_Pad):
    """Each map continued from its other end.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.CircularPad2d(1)(np.ones((1, 1, 2, 2))).shape
    (1, 1, 4, 4)
    """

    _axes = 2
    _mode = "circular"


@described_like(ZeroPad1d)
class CircularPad3d(_Pad):
    """Each volume continued from its other end.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.CircularPad3d(1)(np.ones((1, 1, 2, 2, 2))).shape
    (1, 1, 4, 4, 4)
    """

    _axes = 3
    _mode = "circular"
