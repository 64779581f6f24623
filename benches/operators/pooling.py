"""Pooling and its gradients beside torch's; torch's maxima always come with their places."""

from collections.abc import Iterator
from importlib import import_module

import numpy as np

from fastconv import functional as F
from operators import Case

AIM = 2.0
# Channels and size; the last two are those of LeNet-5.
SHAPES = ((64, 112), (256, 28))
SMALL = ((6, 28), (16, 10))
BATCH = 8
# Windows and their strides and padding.
MAXIMA = ((3, 2, 1), (2, 2, 0))


def maxima(x, kernel, stride, padding):
    """Return the maxima of windows in float64, and their places."""
    n, c, h, w = x.shape
    padded = np.full((n, c, h + 2 * padding, w + 2 * padding), -np.inf)
    padded[..., padding : padding + h, padding : padding + w] = x
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (2, 3))
    windows = windows[:, :, ::stride, ::stride].reshape(n, c, -1, kernel**2)
    rows = (h + 2 * padding - kernel) // stride + 1
    place = windows.argmax(axis=-1)
    row, column = np.divmod(np.arange(place.shape[-1]), (w + 2 * padding - kernel) // stride + 1)
    index = (row * stride - padding + place // kernel) * w
    index = index + column * stride - padding + place % kernel
    best = windows.max(axis=-1)
    return best.reshape(n, c, rows, -1), index.reshape(n, c, rows, -1)


def means(x, size):
    """Return the means of square windows that lie beside each other, in float64."""
    n, c, h, w = x.shape
    cells = x.astype(np.float64).reshape(n, c, h // size, size, w // size, size)
    return cells.mean(axis=(3, 5))


def cases(dtype: "np.dtype") -> Iterator[Case]:
    """Yield max, average and global pooling, forward and backward."""
    torch = import_module("torch")
    ops = torch.ops.aten
    bound = 1e-5 if dtype == np.float32 else 1e-13
    rng = np.random.default_rng(0)
    for channels, size in SHAPES:
        x = rng.standard_normal((BATCH, channels, size, size), dtype)
        tx = torch.from_numpy(x)
        where = f"{channels}@{size}"
        for kernel, stride, padding in MAXIMA:
            window = (kernel, stride, padding)
            name = f"max {kernel}x{kernel}/{stride} {where}"
            _, index = F.max_pool2d(x, *window, return_indices=True)
            d = rng.standard_normal(index.shape, dtype)
            td, tindex = torch.from_numpy(d), torch.from_numpy(index)

            def scattered(x=x, d=d, window=window):
                full = np.zeros((BATCH * x.shape[1], x.shape[2] * x.shape[3]))
                index = maxima(x, *window)[1].reshape(len(full), -1)
                planes = np.arange(len(full))[:, None]
                np.add.at(full, (planes, index), d.reshape(len(full), -1))
                return full.reshape(x.shape)

            yield Case(
                f"{name} alone",
                lambda x=x, w=window: F.max_pool2d(x, *w),
                lambda x=tx, w=window: torch.nn.functional.max_pool2d(x, *w),
                lambda x=x, w=window: maxima(x, *w)[0],
                0,
            )
            yield Case(
                f"{name} forward",
                lambda x=x, w=window: F.max_pool2d(x, *w, return_indices=True),
                lambda x=tx, w=window: torch.nn.functional.max_pool2d_with_indices(x, *w),
                lambda x=x, w=window: maxima(x, *w),
                0,
            )
            yield Case(
                f"{name} backward",
                lambda d=d, i=index, s=x.shape: F.max_pool2d_backward(d, i, s),
                lambda d=td, x=tx, i=tindex, k=kernel, s=stride, p=padding: (
                    ops.max_pool2d_with_indices_backward(
                        d, x, [k, k], [s, s], [p, p], [1, 1], False, i
                    )
                ),
                scattered,
                bound,
            )
        yield from mean_cases(torch, rng, x, 2, f"average 2x2/2 {where}", bound)
        y = F.adaptive_avg_pool2d(x, 1)
        d = rng.standard_normal(y.shape, dtype)
        yield Case(
            f"global average {where} forward",
            lambda x=x: F.adaptive_avg_pool2d(x, 1),
            lambda x=tx: torch.nn.functional.adaptive_avg_pool2d(x, 1),
            lambda x=x, s=size: means(x, s),
            bound,
        )
        td = torch.from_numpy(d)
        yield Case(
            f"global average {where} backward",
            lambda d=d, s=x.shape: F.adaptive_avg_pool2d_backward(d, s),
            # What autograd does for an output of one position.
            lambda d=td, x=tx: d.expand_as(x) / (x.shape[2] * x.shape[3]),
            lambda d=d, x=x: np.broadcast_to(d.astype(float) / x[0, 0].size, x.shape),
            bound,
        )
    for channels, size in SMALL:
        x = rng.standard_normal((64, channels, size, size), dtype)
        yield from mean_cases(torch, rng, x, 2, f"average 2x2/2 64x{channels}@{size}", bound)


def mean_cases(torch, rng, x, size, name, bound):
    """Yield average pooling of windows that lie beside each other."""
    d = rng.standard_normal(F.avg_pool2d(x, size).shape, x.dtype)
    tx, td = torch.from_numpy(x), torch.from_numpy(d)
    yield Case(
        f"{name} forward",
        lambda: F.avg_pool2d(x, size),
        lambda: torch.nn.functional.avg_pool2d(tx, size),
        lambda: means(x, size),
        bound,
    )
    yield Case(
        f"{name} backward",
        lambda: F.avg_pool2d_backward(d, x.shape, size),
        lambda: torch.ops.aten.avg_pool2d_backward(
            td, tx, [size, size], [size, size], [0, 0], False, True, None
        ),
        lambda: d.astype(float).repeat(size, 2).repeat(size, 3) / size**2,
        bound,
    )
