# ruff: noqa: E501  (a table has one line for each call)
"""Bad calls of convolutions over one to three axes, and of prepared weights that do not fit."""

import numpy as np
import pytest

import fastconv
from fastconv import functional as F


def test_prepared_weights_serve_their_own_operation_and_sizes():
    weight = np.ones((4, 4, 3, 3))
    x, options = np.ones((4, 9, 9)), {"stride": 2, "padding": 1}
    ready = F.prepare_weight(weight, x.shape, **options, transposed=True, output_padding=1)
    assert repr(ready) == "PreparedWeight((4, 4, 3, 3) float64, for inputs of (4, 9, 9), 'gemm')"
    assert F.conv_transpose2d(x, ready, **options, output_padding=1).shape == (4, 18, 18)
    with pytest.raises(
        ValueError, match=r"^weight was prepared for conv_transpose2d, not for conv2d"
    ):
        F.conv2d(x, ready, **options)
    with pytest.raises(ValueError, match=r"prepared for output size \(18, 18\), got \(17, 17\)$"):
        F.conv_transpose2d(x, ready, **options)
    with pytest.raises(ValueError, match=r"prepared for in_size \(9, 9\), got \(9, 8\); output"):
        F.conv_transpose2d(x[..., :8], ready, **options, output_padding=1)
    with pytest.raises(ValueError, match=r"^output_padding is for transposed=True, got 1"):
        F.prepare_weight(weight, x.shape, output_padding=1)
    with pytest.raises(ValueError, match=r"^weight must have one to three spatial axes, got 2-D"):
        F.prepare_weight(weight[0, 0], x.shape)


def test_one_channel_with_many_outputs_and_taps_fills_the_engines_tiles():
    shapes = (8, 1, 16_000), (64, 1, 400)
    found = {
        name: fastconv.explain(name, *shapes, stride=160).algorithm
        for name in ("conv1d", "conv1d_input", "conv1d_weight")
    }
    assert found == {"conv1d": "gemm", "conv1d_input": "depthwise", "conv1d_weight": "gemm"}
    few = (8, 64, 3000), (64, 1, 31)
    assert fastconv.explain("conv1d", *few, groups=64, padding=15).algorithm == "depthwise"
    flat = (8, 1, 40, 40), (64, 1, 9, 9)
    assert fastconv.explain("conv2d", *flat).algorithm == "depthwise"


X, W = np.ones((2, 4, 5, 6)), np.ones((4, 3, 3, 2))
G = np.ones((2, 3, 7, 7))
SIGNAL, TAPS = np.ones((2, 4, 9)), np.ones((6, 4, 3))
CALLS = [
    (r"input must be \(N, C, W\) or \(C, W\), got 4-D", lambda: F.conv1d(X, TAPS)),
    (r"input must be \(N, C, D, H, W\) or .*, got 3-D", lambda: F.conv3d(SIGNAL, W[..., None])),
    (r"weight must be \(K, C/groups, S\), got 4-D", lambda: F.conv1d(SIGNAL, W)),
    (r"weight must be \(K, C/groups, T, R, S\), got 4-D", lambda: F.conv3d(X[None], W)),
    (r"weight must be \(C, K/groups, R, S\), got 3-D", lambda: F.conv_transpose2d(X, TAPS)),
    (r"weight_size must be \(K, C/groups, S\), got", lambda: F.conv1d_weight(SIGNAL, (6, 4), SIGNAL)),
    (r"weight_size must be \(C, K/groups, T, R, S\)", lambda: F.conv_transpose3d_weight(X[None], (6, 4), X)),
    (r"stride must be an integer or have one for each of the axis W", lambda: F.conv1d(SIGNAL, TAPS, stride=(1, 2))),
    (r"padding must be one of 'valid', or numbers, got 'same'", lambda: F.conv_transpose2d(X, W, padding="same")),
    (r"padding\[1\]\[0\] must be at least 0, got -1", lambda: F.conv_transpose2d(X, W, padding=((0, 0), (-1, 0)))),
    (r"output_padding must be at least 0, got -1", lambda: F.conv_transpose2d(X, W, output_padding=-1)),
    (r"output_padding on axis H must be less than the stride or the dilation, max\(1, 1\), got 1", lambda: F.conv_transpose2d(X, W, output_padding=1)),
    (r"input must have weight.shape\[0\] = 4 channels, got 3", lambda: F.conv_transpose2d(X[:, :3], W)),
    (r"weight: its 4 input channels cannot be split into 3 groups", lambda: F.conv_transpose2d(X, W, groups=3)),
    (r"weight must have no axis of size 0", lambda: F.conv_transpose2d(X, W[:, :, :0])),
    (r"input must have no spatial axis of size 0, got sizes \(0, 6\)", lambda: F.conv_transpose2d(X[:, :, :0], W)),
    (r"the output size on axis W would be -1: \(size - 1\)\*stride", lambda: F.conv_transpose2d(X, W, padding=(0, 4))),
    (r"the output on axis W is too large", lambda: F.conv_transpose1d(SIGNAL, np.ones((4, 1, 1)), stride=2**61)),
    (r"a result of shape .* is larger than any array", lambda: F.conv_transpose1d(SIGNAL, np.ones((4, 1, 1)), stride=2**58)),
    (r"bias must have shape \(weight.shape\[1\]\*groups,\) = \(6,\), got \(3,\)", lambda: F.conv_transpose2d(X, W, np.ones(3), groups=2)),
    (r"grad_output must have shape \(N, K, OH, OW\) = \(2, 3, 7, 7\), got \(2, 3, 7, 6\)", lambda: F.conv_transpose2d_input(X.shape, W, G[..., :6])),
    (r"grad_output must have shape \(K, OD, OH, OW\) = \(1, 1, 1, 1\)", lambda: F.conv3d_input((1, 1, 1, 1), np.ones((1,) * 5), np.ones((1, 1, 1, 2)))),
    (r"grad_output must be \(N, C, W\) or \(C, W\), got 4-D", lambda: F.conv1d_bias(X)),
    (r"input must be \(N, C, D, H, W\)", lambda: F.conv3d_backward(X[0], np.ones((1,) * 5), X)),
    (r"algorithm 'winograd' cannot compute this: it needs a kernel of 2x2", lambda: F.conv3d(X[None], np.ones((1, 2, 3, 3, 2)), algorithm="winograd")),
    (r"output_padding is for transposed convolutions, got 1", lambda: fastconv.explain("conv1d", (1, 1, 3), (1, 1, 2), output_padding=1)),
    (r"operation must be one of 'conv1d', .*'conv_transpose3d_weight', got 'conv4d'", lambda: fastconv.explain("conv4d", (1, 1, 3), (1, 1, 2))),
]  # fmt: skip


@pytest.mark.parametrize(("message", "call"), CALLS, ids=[message for message, _ in CALLS])
def test_a_bad_call_names_what_is_wrong(message, call):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("output_padding must be an integer", lambda: F.conv_transpose2d(X, W, output_padding=0.0)),
        ("weight must have the dtype of input", lambda: F.conv1d(SIGNAL, TAPS.astype("f4"))),
        ("grad_output must be a numpy.ndarray", lambda: F.conv3d_bias([1.0])),
        ("algorithm must be a str", lambda: F.conv_transpose1d(SIGNAL, TAPS[:4], algorithm=1)),
        ("dtype must be float32 or float64", lambda: fastconv.explain("conv1d", (1, 1, 3), (1, 1, 2), dtype=int)),
    ],
)  # fmt: skip
def test_a_wrong_type_is_named(message, call):
    with pytest.raises(TypeError, match=f"^{message}"):
        call()
