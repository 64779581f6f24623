"""What backward computes again in place of keeping it from forward.

A convolution keeps its input for the gradient of its weights. Where that is what batch norm with a
ReLU gave, the norm keeps its own input anyway, from which one pass over memory gives the same bits.

Whether it is so, containers know: they hand each layer its input, and with it a `Recipe` of how to
compute it again, which a convolution keeps in its place. Anyone else who calls a layer hands over
none, for he may have written over the array in between.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from fastconv._check import Array
from fastconv.layers._calls import thread

if TYPE_CHECKING:
    from fastconv.layers.base import Layer


class Recipe(NamedTuple):
    """How to compute an array again."""

    function: Callable[..., Array]
    arguments: tuple[Any, ...]

    def compute(self) -> Array:
        """Return the array."""
        return self.function(*self.arguments)


def hand(array: Any, recipe: Recipe | None) -> None:
    """Leave an array, and perhaps its recipe, for the layer that is called next."""
    thread.state.handed = array, recipe


def hand_back(array: Any, recipe: Recipe | None, asked: bool) -> None:
    """Leave them for the container that has called, if it is one."""
    thread.state.handed = (array, recipe) if asked else None


def handed(array: Any) -> tuple[Recipe | None, bool]:
    """Return the recipe of an array, if there is one, and whether a container has left it.

    It is taken away.
    """
    state = thread.state
    pair = state.handed
    state.handed = None
    return (pair[1], True) if pair is not None and pair[0] is array else (None, False)


def keep_nothing() -> None:
    """Forget what was left: the array may change before anyone looks."""
    thread.state.handed = None


def restored(saved: Any) -> Any:
    """Return an array that was kept, or computed again from its recipe."""
    return saved.compute() if isinstance(saved, Recipe) else saved


class Recomputing:
    """What can compute again what it does not keep."""

    # Whether others may compute this layer's output again: see `recompute_`.
    _recomputes = True
    # Whether its `_forward` looks at the recipe of its input.
    _takes_recipes = False

    def __init_subclass__(cls, **more: Any) -> None:
        """Let another `_forward` than the one that does have none, for it may write over it."""
        super().__init_subclass__(**more)
        if "_forward" in vars(cls) and "_takes_recipes" not in vars(cls):
            cls._takes_recipes = False

    def layers(self) -> "Iterator[Layer]":
        """Yield the layers."""
        raise NotImplementedError

    def recompute_(self, recompute: bool = True) -> Self:
        """Let backward compute again what takes less time than memory, or with False keep it all.

        The output of batch norm with a ReLU that goes into a convolution is computed again, unless
        the convolution is cheap. That is the default. The bits of all results are the same.

        Parameters
        ----------
        recompute : bool

        Returns
        -------
        Layer
            This layer.

        Examples
        --------
        >>> from fastconv import models
        >>> net = models.resnet18(10, rng=0).recompute_(False)
        """
        for layer in self.layers():
            layer._recomputes = bool(recompute)
        return self
