"""No operator needs more memory than its results and a bounded workspace."""

from functools import partial

import numpy as np
import pytest

from fastconv import functional as F
from fastconv import get_num_threads
from fastconv.engine.base import memory
from tests._memory import growth, needs_status

# 32 MiB, so that a copy of the maps is more than the bound.
SHAPE = (8, 32, 128, 256)
# A workspace is some megabytes for each thread, whatever the maps.
BYTES_PER_THREAD = 8 << 20
# Zeros, of which no page is in memory: what is read of them adds nothing to it.
X, DY = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
LINES = X.reshape(8, 32, -1)
VOLUMES = X.reshape(8, 32, 32, 32, 32)
ONES, ZEROS = np.ones(32, np.float32), np.zeros(32, np.float32)
CLASSES = np.zeros((8, 128, 256), np.int64)
SMALL = np.zeros((8, 32, 64, 128), np.float32)
PLACES = np.zeros(SMALL.shape, np.int64)


def weights(*shape):
    return np.ones(shape, np.float32)


CALLS = {
    "conv1d": partial(F.conv1d, LINES, weights(32, 32, 3), padding=1),
    "conv2d": partial(F.conv2d, X, weights(32, 32, 3, 3), padding=1),
    "conv2d 1x1": partial(F.conv2d, X, weights(32, 32, 1, 1)),
    "conv2d 5x5/2": partial(F.conv2d, X, weights(32, 32, 5, 5), padding=2, stride=2),
    "conv2d depthwise": partial(F.conv2d, X, weights(32, 1, 3, 3), padding=1, groups=32),
    "conv2d reflect": partial(
        F.conv2d, X, weights(32, 32, 3, 3), padding=1, padding_mode="reflect"
    ),
    "conv3d": partial(F.conv3d, VOLUMES, weights(32, 32, 3, 3, 3), padding=1),
    "conv2d_input": partial(F.conv2d_input, SHAPE, weights(32, 32, 3, 3), DY, padding=1),
    "conv2d_weight": partial(F.conv2d_weight, X, (32, 32, 3, 3), DY, padding=1),
    "conv_transpose2d": partial(F.conv_transpose2d, SMALL, weights(32, 32, 2, 2), stride=2),
    "unfold": partial(F.unfold, SMALL, 3, padding=1),
    "fold": partial(F.fold, X.reshape(8, 128, -1), (128, 256), 2, stride=2),
    "max_pool2d": partial(F.max_pool2d, X, 3, 2, 1),
    "max_pool2d_backward": partial(F.max_pool2d_backward, SMALL, PLACES, SHAPE),
    "max_unpool2d": partial(F.max_unpool2d, SMALL, PLACES, 2),
    "avg_pool2d": partial(F.avg_pool2d, X, 2),
    "avg_pool2d_backward": partial(F.avg_pool2d_backward, SMALL, SHAPE, 2),
    "avg_pool3d": partial(F.avg_pool3d, VOLUMES, 3, 1, 1),
    "lp_pool2d": partial(F.lp_pool2d, X, 2, 2),
    "adaptive_avg_pool2d": partial(F.adaptive_avg_pool2d, X, 7),
    "adaptive_max_pool2d": partial(F.adaptive_max_pool2d, X, 7),
    "batch_norm": partial(F.batch_norm, X, ZEROS, ONES, ONES, ZEROS),
    "batch_norm_relu": partial(
        F.batch_norm_relu, X, ZEROS.copy(), ONES.copy(), ONES, ZEROS, training=True, residual=DY
    ),
    "group_norm": partial(F.group_norm, X, 8, ONES, ZEROS),
    "layer_norm": partial(F.layer_norm, X, SHAPE[2:]),
    "instance_norm": partial(F.instance_norm, X),
    "local_response_norm": partial(F.local_response_norm, X, 5),
    "relu": partial(F.relu, X),
    "gelu": partial(F.gelu, X),
    "gelu_backward": partial(F.gelu_backward, DY, X),
    "prelu": partial(F.prelu, X, ONES),
    "softmax": partial(F.softmax, X, axis=1),
    "log_softmax": partial(F.log_softmax, X, axis=-1),
    "dropout": partial(F.dropout, X, 0.5, rng=np.random.default_rng(0)),
    "interpolate": partial(F.interpolate, SMALL, scale_factor=2, mode="bilinear"),
    "pixel_shuffle": partial(F.pixel_shuffle, X, 2),
    "pad": partial(F.pad, X, (1, 1, 1, 1), mode="reflect"),
    "concatenate": partial(F.concatenate, [X, DY]),
    "add": partial(F.add, X, DY),
    "cross_entropy": partial(F.cross_entropy, X, CLASSES),
    "cross_entropy_backward": partial(F.cross_entropy_backward, X, CLASSES),
    "mse_loss": partial(F.mse_loss, X, DY),
    "mse_loss_backward": partial(F.mse_loss_backward, X, DY),
    "huber_loss": partial(F.huber_loss, X, DY),
    "binary_cross_entropy_with_logits": partial(F.binary_cross_entropy_with_logits, X, DY),
}


def surplus(call):
    """Return by how many bytes memory grew during a call, less its results."""
    memory.release()
    result, grown = growth(call)
    results = result if isinstance(result, tuple) else (result,)
    return grown - sum(np.asarray(array).nbytes for array in results if array is not None)


@needs_status
@pytest.mark.parametrize("name", CALLS)
def test_results_and_a_bounded_workspace(name):
    more = surplus(CALLS[name])
    bound = BYTES_PER_THREAD * get_num_threads()
    assert more < bound, f"{more / 2**20:.1f} MiB more than the result"


@needs_status
def test_a_copy_would_be_noticed():
    assert surplus(lambda: F.relu(F.add(X, DY))) > 0.9 * X.nbytes
