"""PyTorch's convolutions, computed by fastconv: values, formats, and what is passed on."""

import random
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("fastconv.adapters.torch")

import torch.nn.functional as TF  # noqa: E402

import fastconv  # noqa: E402
from fastconv import functional as F  # noqa: E402
from fastconv.adapters import torch as adapter  # noqa: E402
from fastconv.adapters.torch import _calls, _routes, _wins  # noqa: E402
from fastconv.engine.base.threads import listed_phases  # noqa: E402

CHANNELS_LAST = {3: torch.channels_last, 4: torch.channels_last, 5: torch.channels_last_3d}
BOUNDS = {torch.float32: 3e-5, torch.float64: 1e-12}


@pytest.fixture(autouse=True)
def _off():
    """Begin with one thread: teams of several test processes would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    adapter.disable()


@pytest.fixture
def _all_served(monkeypatch):
    """Serve calls also where PyTorch is faster."""
    monkeypatch.setattr(_routes, "slower", lambda *case: "")


def channels_last(tensor):
    """Return a copy in channels_last; maps of one axis are maps of one row."""
    if tensor.ndim == 3:
        return channels_last(tensor.unsqueeze(2)).squeeze(2)
    return tensor.contiguous(memory_format=CHANNELS_LAST[tensor.ndim])


def strides_that_count(tensor):
    return [s for n, s in zip(tensor.shape, tensor.stride(), strict=True) if n > 1]


class Drawn:
    """A convolution of random sizes, with tensors of a random layout."""

    def __init__(self, seed):
        rng = self.rng = random.Random(seed)
        torch.manual_seed(seed)
        axes, groups = rng.choice((1, 2, 3)), rng.choice((1, 1, 2, 3))
        self.dtype = rng.choice((torch.float32, torch.float64))
        transposed = rng.random() < 0.4
        inputs, outputs = (groups * rng.choice((1, 2, 5)) for _ in range(2))
        shape = (inputs, outputs // groups) if transposed else (outputs, inputs // groups)
        stride = [rng.choice((1, 1, 2, 3)) for _ in range(axes)]
        self.arguments = (
            stride,
            [rng.choice((0, 1, 2)) for _ in range(axes)],
            [rng.choice((1, 1, 2)) for _ in range(axes)],
            transposed,
            [rng.choice((0, min(1, s - 1))) if transposed else 0 for s in stride],
            groups,
        )
        sizes = [rng.choice((1, 4, 7, 9)) for _ in range(axes)]
        self.input = self.draw(rng.choice((1, 2, 9)), inputs, *sizes)
        self.weight = self.draw(*shape, *(rng.choice((1, 2, 3, 4)) for _ in range(axes)))
        self.bias = torch.randn(outputs, dtype=self.dtype) if rng.random() < 0.5 else None
        self.mask = [rng.random() < 0.8 for _ in range(3)]

    def draw(self, *shape):
        tensor = torch.randn(shape, dtype=self.dtype)
        way = self.rng.choice(("plain", "plain", "last", "swapped", "turned", "slice", "same"))
        if way == "last":
            return channels_last(tensor)
        if way == "swapped":
            return tensor.transpose(0, 1).contiguous().transpose(0, 1)
        if way == "turned":
            return tensor.transpose(-1, 1).contiguous().transpose(-1, 1)
        if way == "slice":
            return torch.cat((tensor, tensor), 1)[:, : tensor.shape[1]]
        return tensor[:1].expand(tensor.shape) if way == "same" else tensor

    def compute(self, grad_output=None, prepare=lambda tensor: tensor):
        tensors = [None if t is None else prepare(t) for t in (self.input, self.weight, self.bias)]
        if grad_output is None:
            return torch.convolution(*tensors, *self.arguments)
        sizes = None if self.bias is None else list(self.bias.shape)
        tensors = prepare(grad_output), *tensors[:2]
        return torch.ops.aten.convolution_backward(*tensors, sizes, *self.arguments, self.mask)

    def compute_all(self, grad_output, prepare=lambda tensor: tensor):
        return self.compute(None, prepare), *self.compute(grad_output, prepare)


@pytest.mark.usefixtures("_all_served")
@pytest.mark.parametrize("seed", range(4))
def test_values_and_formats_are_as_without(seed):
    """All ranks, transposed, groups, dilation, bias, masks, strides of every kind."""
    for case in (Drawn(100 * seed + i) for i in range(50)):
        try:
            plain = case.compute()
        except RuntimeError as error:
            with adapter.enabled(), pytest.raises(RuntimeError, match=re.escape(str(error))):
                case.compute()
            continue
        if not plain.numel():
            continue
        grad_output = case.draw(*plain.shape)
        expected = case.compute_all(grad_output)
        # PyTorch's own values are no truth: of groups in channels_last they can be wrong.
        truth = case.compute_all(grad_output, lambda tensor: tensor.double().contiguous())
        with adapter.enabled():
            found = case.compute_all(grad_output)
            assert not adapter.stats().passed_on or not any(case.mask)
        wanted = True, *case.mask
        for theirs, right, ours, taken in zip(expected, truth, found, wanted, strict=True):
            if not taken:
                # PyTorch may have computed it nevertheless.
                assert ours is None or not any(case.mask)
                continue
            assert ours.dtype == theirs.dtype
            assert ours.shape == theirs.shape
            assert strides_that_count(ours) == strides_that_count(theirs), case.arguments
            error = (ours.double() - right).abs().max()
            assert error <= BOUNDS[case.dtype] * max(right.abs().max(), 1e-30)


def test_a_layer_computes_the_same_bits_as_fastconv():
    x, w, b = torch.randn(2, 8, 20, 20), torch.randn(16, 8, 3, 3), torch.randn(16)
    expected = F.conv2d(x.numpy(), w.numpy(), b.numpy(), padding=1)
    with adapter.enabled():
        found = TF.conv2d(x, w, b, padding=1)
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.usefixtures("_all_served")
@pytest.mark.parametrize("table", [True, False])
def test_both_ways_to_read_a_tensor_see_the_same(table):
    if _calls.use_table(table) is not table:
        pytest.skip("this PyTorch has no table of DLPack functions")
    try:
        for tensor in (
            torch.randn(2, 3, 4, 5),
            torch.nn.Parameter(torch.randn(2, 3, 4, dtype=torch.float64)),
            torch.randn(2, 4, 6, 7).transpose(1, 3)[:, 2:, ::2],
            torch.randn(1, 4, 1, 1).contiguous(memory_format=torch.channels_last),
        ):
            expected = tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride())
            assert _calls.look_at(tensor) == expected
        for tensor in (
            torch.randn(2, 2).half(),
            torch.empty(0, 3),
            torch.zeros(1, 1, 1, 1, 1, 1),
            torch.tensor(1.0),
            torch.randn(2, 2).to_sparse(),
            torch.empty(2, 2, device="meta"),
            torch.randn(2, 2, dtype=torch.complex64).conj().imag,
            torch.randn(2).as_subclass(type("Own", (torch.Tensor,), {})),
            3,
        ):
            assert _calls.look_at(tensor) is None
        x, w = torch.randn(1, 2, 5, 5, requires_grad=True), torch.randn(3, 2, 3, 3)
        expected = TF.conv2d(x, w)
        with adapter.enabled():
            torch.testing.assert_close(TF.conv2d(x, w), expected)
            assert adapter.stats().served == 1
    finally:
        _calls.use_table()


@pytest.mark.usefixtures("_all_served")
@pytest.mark.parametrize("transposed", [False, True])
def test_lists_of_wrong_lengths(transposed):
    """One number stands for all axes; other lengths are errors, and absurd ones PyTorch's, too."""
    x, w = torch.randn(2, 4, 9, 9), torch.randn(4, 4, 3, 3)

    def call(length, place):
        lists = [[1, 1], [1, 1], [1, 1], [0, 0]]
        lists[place] = lists[place][:1] * length
        stride, padding, dilation, output_padding = lists
        return torch.convolution(
            x, w, None, stride, padding, dilation, transposed, output_padding, 1
        )

    for place in range(4):
        expected = call(1, place)
        with adapter.enabled():
            torch.testing.assert_close(call(1, place), expected)
            assert adapter.stats().served == 1
        for length in (0, 3, 6, 200):
            try:
                expected = call(length, place)
            except RuntimeError as error:
                with adapter.enabled(), pytest.raises(RuntimeError, match=re.escape(str(error))):
                    call(length, place)
            else:
                with adapter.enabled():
                    assert torch.equal(call(length, place), expected)


def rows():
    return {(row.operation, row.reason): row.calls for row in adapter.stats().rows}


def test_stats_say_what_was_passed_on_and_why():
    x, w = torch.randn(2, 4, 9, 9), torch.randn(4, 4, 3, 3)
    adapter.enable()
    TF.conv2d(x, w)
    TF.conv2d(x.half(), w.half())
    TF.conv2d(x.bfloat16(), w.bfloat16())
    TF.conv2d(x[:0], w)
    own = type("Own", (torch.Tensor,), {})
    assert type(TF.conv2d(x.as_subclass(own), w)) is own
    for wrong in (w.double(), w[:, :3]):
        with pytest.raises(RuntimeError, match=r"same|expected input"):
            TF.conv2d(x, wrong)
    found = rows()
    assert found.pop(("convolution", "")) == 1
    assert found == {
        ("convolution", "the dtype is float16"): 1,
        ("convolution", "the dtype is bfloat16"): 1,
        ("convolution", "a tensor is empty"): 1,
        ("convolution", "a Own may be more than its numbers"): 1,
        ("convolution", "the dtypes differ"): 1,
        ("convolution", "the arguments are not a convolution's"): 1,
    }


def test_each_gradient_is_decided_by_itself(monkeypatch):
    """What PyTorch computes of a backward call, and what fastconv, together are all of it."""
    x, w = torch.randn(2, 4, 9, 9), torch.randn(6, 4, 3, 3)
    y = torch.randn(2, 6, 7, 7)
    arguments = [1, 1], [0, 0], [1, 1], False, [0, 0], 1
    expected = torch.ops.aten.convolution_backward(y, x, w, [6], *arguments, [True] * 3)
    for slow in ("conv2d_input", "conv2d_weight"):
        monkeypatch.setattr(
            _routes,
            "slower",
            lambda call, *how, slow=slow: "slow" if call.operation.computed == slow else "",
        )
        with adapter.enabled():
            found = torch.ops.aten.convolution_backward(y, x, w, [6], *arguments, [True] * 3)
            names = ("input", "weight, bias")
            ours, theirs = names if slow == "conv2d_weight" else names[::-1]
            assert rows() == {
                (f"convolution_backward of {ours}", ""): 1,
                (f"convolution_backward of {theirs}", "slow"): 1,
            }
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_channels_last_is_served_where_it_pays():
    def call(channels, kernel, size):
        x = torch.randn(1, channels, size, size).contiguous(memory_format=torch.channels_last)
        with adapter.enabled():
            y = TF.conv2d(x, torch.randn(channels, channels, kernel, kernel), padding=kernel // 2)
            assert y.is_contiguous(memory_format=torch.channels_last)
            return [row.reason for row in adapter.stats().rows]

    assert call(64, 3, 28) == [""]
    assert call(64, 1, 28) == ["PyTorch is faster in channels_last"]
    assert call(8, 3, 28) == ["PyTorch is faster in channels_last"]


@pytest.mark.parametrize("loss", _wins.LOSSES, ids=lambda loss: loss.why)
def test_each_loss_is_one_of_a_layer(loss, monkeypatch):
    """A row that no layer meets is not needed."""
    layers = {
        "conv2d": ((8, 3, 224, 224), (64, 3, 11, 11), (4, 4), 1),
        "conv2d_input": ((8, 512, 7, 7), (2048, 512, 1, 1), (1, 1), 1),
        "conv2d_weight": ((8, 1024, 7, 7), (1024, 1, 3, 3), (1, 1), 1024),
    }
    kinds = {"conv2d": "", "conv2d_input": "_input", "conv2d_weight": "_weight"}
    input, weight, stride, groups = layers[loss.operation]
    arguments = stride, (weight[2] // 2,) * 2, (1, 1), False, (0, 0), groups
    tensors = torch.empty(1).expand(input), torch.empty(1).expand(weight)
    call = _routes.find(kinds[loss.operation], *tensors, arguments)
    monkeypatch.setattr(_wins, "isa", lambda: loss.isa)
    assert _wins.slower(call, 4, False) == loss.why
    assert _wins.slower(call, 8, False) == ""
    monkeypatch.setattr(_wins, "isa", lambda: "portable")
    assert _wins.slower(call, 4, False) == ""


def test_profile_estimates_what_was_saved():
    x, w = torch.randn(2, 16, 32, 32), torch.randn(16, 16, 3, 3)
    adapter.enable(profile=True)
    for _ in range(5):
        TF.conv2d(x, w, padding=1)
    TF.conv2d(x.half(), w.half())
    stats = adapter.stats()
    (served,) = (row for row in stats.rows if not row.reason)
    assert (stats.served, stats.passed_on) == (5, 1)
    assert served.seconds > 0
    assert 0 < stats.share <= 1
    assert stats.saved == served.saved != 0


def test_threads_follow_torch():
    x, w = torch.randn(8, 64, 28, 28), torch.randn(64, 64, 3, 3)
    before = torch.get_num_threads()
    adapter.enable()
    try:
        for n in (1, 3, 2):
            torch.set_num_threads(n)
            with listed_phases() as phases:
                TF.conv2d(x, w, padding=1)
            assert max(threads for threads, *_ in phases) == n
    finally:
        torch.set_num_threads(before)


def test_no_operation_of_that_name():
    known = "'convolution', 'batch_norm', 'pool', 'linear'"
    with pytest.raises(ValueError, match=f"ops may hold {known}, got 'add'"):
        adapter.enable(("add",))


def test_exactness_is_respected():
    x = torch.randint(-9, 9, (1, 64, 28, 28)).float()
    w = torch.randint(-9, 9, (64, 64, 3, 3)).float()
    exact = TF.conv2d(x.double(), w.double(), padding=1).float()
    adapter.enable()
    TF.conv2d(x, w, padding=1)
    with fastconv.exact():
        assert torch.equal(TF.conv2d(x, w, padding=1), exact)
