"""What a layer does once for all of its forward passes in evaluation mode."""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    from fastconv.layers.base import Layer


class Preparing:
    """What can be prepared for evaluation mode."""

    # What evaluation made of the parameters, or None where nothing is kept.
    _prepared: dict[Any, Any] | None = None
    # What computes forward in its place (layers/inference.py), or None.
    _inference: Any = None

    def prepare(self, *input_shapes: Sequence[int], batch_size: int = 1) -> Self:
        r"""Make evaluation mode fast: join layers, transform weights and plan memory, once.

        With the shape of the inputs a network becomes one list of kernel calls. Batch norm is
        folded into the weights before it, zeros around maps become padding, sums and simple
        activations are computed where a convolution leaves its sums, and what does nothing in
        evaluation mode is left out. Weights are packed or transformed. All but the outputs lies in
        one block of memory, planned by lifetimes: a call allocates nothing else. Many threads may
        call at once, each with a block of its own.

        Without a shape the layers stay as they are, and each keeps what forward would make of its
        weights again; the results have the same bits.

        Parameters
        ----------
        *input_shapes : tuple of int
            The shape of one sample, (C, H, W); of each input, if there are several.
        batch_size : int, keyword-only
            The number of samples that is planned for.

        Returns
        -------
        Layer
            This layer.

        Raises
        ------
        RuntimeError
            In training mode.
        TypeError, ValueError
            If a shape is no tuple of sizes, or the network does not take it.

        Notes
        -----
        `train()` and `load_state_dict` drop all of this. The weights are copies: what else changes
        them has no effect before the next `prepare`. Inputs of other sizes, and other batches, are
        planned for when they first come; the last few plans are kept. While a layer has hooks, or
        one within it trains, layers are computed one by one.

        Containers are read (`Sequential`, `Graph`, `Add`, `Concat`). A layer of a user's own class
        is called as it is, and what it has of these is prepared by itself; for inputs of the same
        shapes it must give the same shapes.

        Where no batch norm is folded, the results have the same bits. A batch norm with factors s
        makes each of the L products w x of an output (w s) x, with one rounding of its own: its
        convolution differs by at most its own error bound twice, and (L + 4) eps times
        sum(\|w s\| \|x\|) + \|shift\|, where shift is what is added behind.

        Examples
        --------
        >>> import numpy as np
        >>> from fastconv import layers
        >>> net = layers.Sequential(
        ...     layers.Conv2d(3, 64, 3, padding=1, bias=False, rng=0),
        ...     layers.BatchNorm2d(64),
        ...     layers.ReLU(),
        ... ).eval()
        >>> image = np.ones((1, 3, 14, 14), np.float32)
        >>> before = net(image)
        >>> np.allclose(net.prepare((3, 14, 14))(image), before, atol=1e-5)
        True
        """
        network = cast("Layer", self)
        if any(layer.training for layer in network.layers()):
            raise RuntimeError("prepare() is for evaluation mode: call eval() first")
        for layer in network.layers():
            layer._forget_prepared()
            if not input_shapes:
                layer._prepared = {}
        if input_shapes:
            # It knows all kinds of layers, and each of them this module.
            inference = import_module("fastconv.layers.inference")
            inference.prepare(network, network._zeros(input_shapes, batch_size))
        return self

    def _forget_prepared(self) -> None:
        self._prepared = self._inference = None
