"""Modules of torch whose inference fastconv computes."""

from typing import Any, TypeAlias

import torch
from torch import nn

from fastconv.adapters.torch._calls import look_at
from fastconv.adapters.torch._convert import to_fastconv
from fastconv.engine.base.threads import num_threads
from fastconv.layers import Layer

Tensor: TypeAlias = torch.Tensor


def optimize(module: nn.Module, *example_inputs: Tensor) -> "Optimized":
    """Return a module that computes what another does in evaluation mode, without gradients.

    Its batch norms are folded into the convolutions before them, activations and sums are computed
    where a convolution leaves its outputs, weights are transformed, and memory is planned: see
    `fastconv.layers.Layer.prepare`.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode; made of what `to_fastconv` converts. It is not changed.
    *example_inputs : torch.Tensor
        An input like those to come, or several if the module takes several: float32 or float64 on
        the CPU.

    Returns
    -------
    torch.nn.Module
        Takes and gives tensors. Calls of another kind than the example (another dtype or number of
        axes, another device, in training mode, or while gradients are recorded) go to `module`;
        other sizes are planned for when they first come. The weights are copies: what is changed
        in `module` takes effect with the next `optimize`.

    Raises
    ------
    TypeError, ValueError
        As of `to_fastconv`; or if the module is in training mode, or the outputs for the example
        are not those of `module`.

    Notes
    -----
    The results differ by a few roundings where a batch norm is folded: the bound is that of
    `Layer.prepare`. For the example they are compared once, to 1e-3 of the largest output.

    Examples
    --------
    >>> import torch                                            # doctest: +SKIP
    >>> from fastconv.adapters.torch import optimize
    >>> image = torch.randn(1, 3, 224, 224)                     # doctest: +SKIP
    >>> fast = optimize(model.eval(), image)                    # doctest: +SKIP
    >>> with torch.no_grad():                                   # doctest: +SKIP
    ...     scores = fast(image)
    """
    if module.training:
        raise ValueError("optimize is for evaluation mode: call module.eval() first")
    return Optimized(module, example_inputs)


class Optimized(nn.Module):  # type: ignore[misc]
    """What `optimize` returns."""

    def __init__(self, module: nn.Module, examples: tuple[Tensor, ...]) -> None:
        super().__init__()
        self.module = module
        self.network: Layer = to_fastconv(module).eval()
        self._kinds = tuple(map(_kind, examples))
        if not examples or None in self._kinds:
            raise ValueError("example_inputs must be tensors of float32 or float64 on the CPU")
        self.network.prepare(*[tuple(x.shape[1:]) for x in examples], batch_size=len(examples[0]))
        self.train(False)
        with torch.no_grad():
            _compare(self(*examples), module(*examples))

    def forward(self, *inputs: Tensor) -> Any:
        """Return the module's output."""
        if (
            self.training
            or torch.is_grad_enabled()
            or torch.compiler.is_compiling()
            or tuple(map(_kind, inputs)) != self._kinds
        ):
            return self.module(*inputs)
        with num_threads(torch.get_num_threads()):
            outputs = self.network(*[x.detach().numpy() for x in inputs])
        if isinstance(outputs, tuple):
            return tuple(map(torch.from_numpy, outputs))
        return torch.from_numpy(outputs)


def _kind(value: Any) -> tuple[torch.dtype, int] | None:
    """Return dtype and number of axes of a tensor that can be read; None: of anything else."""
    if not isinstance(value, torch.Tensor) or look_at(value) is None:
        return None
    return value.dtype, value.ndim


def _compare(ours: Any, theirs: Any) -> None:
    """Refuse outputs that differ by more than roundings do."""
    for one, other in zip(
        ours if isinstance(ours, tuple) else (ours,),
        theirs if isinstance(theirs, tuple) else (theirs,),
        strict=True,
    ):
        bound = 1e-3 * float(other.abs().max()) if other.numel() else 0.0
        if one.shape != other.shape or not torch.allclose(one, other, 0, bound, equal_nan=True):
            raise ValueError("the outputs for the example are not those of the module")
