"""Learning-rate schedules: their values, torch's, and the text form."""

import copy
import pickle
import warnings

import numpy as np
import pytest

from fastconv.training import (
    constant,
    cosine,
    exponential,
    linear,
    multistep,
    parse_schedule,
    polynomial,
    product,
    restarts,
    sequence,
    step,
    warmup,
)
from tests._cases import torch_or_skip


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (constant(), {0: 1, 7.5: 1, 10: 1}),
        (step(3, 0.5), {0: 1, 2.99: 1, 3: 0.5, 6: 0.25, 9.5: 0.125}),
        (exponential(0.5), {0: 1, 1: 0.5, 2: 0.25}),
        (cosine(), {0: 1, 10 / 3: 0.75, 5: 0.5, 10: 0, 12: 0}),
        (cosine(0.2), {0: 1, 5: 0.6, 10: 0.2}),
        (warmup(2, step(3, 0.5)), {0: 0, 1: 0.5, 2: 1, 3: 0.5}),
        (multistep((2, 7.5), 0.5), {0: 1, 1.99: 1, 2: 0.5, 7.49: 0.5, 7.5: 0.25, 10: 0.25}),
        (linear(0.25, 1, 3), {0: 0.25, 1: 0.5, 3: 1, 10: 1}),
        (linear(1, 0, 5), {0: 1, 2.5: 0.5, 5: 0, 10: 0}),
        (polynomial(2), {0: 1, 5: 0.25, 10: 0, 11: 0}),
        (restarts(4), {0: 1, 2: 0.5, 4: 1, 6: 0.5, 8: 1}),
        (restarts(2, 2), {0: 1, 1: 0.5, 2: 1, 4: 0.5, 6: 1, 10: 0.5}),
        (product(step(3, 0.5), linear(0, 1, 4)), {0: 0, 2: 0.5, 3: 0.375, 4: 0.5}),
        (sequence(linear(0.1, 1, 2), 2, cosine()), {0: 0.1, 1: 0.55, 2: 1, 6: 0.5, 10: 0}),
        # The first is over the epochs that it has; a run may end before the second begins.
        (sequence(cosine(), 4, constant()), {0: 1, 2: 0.5, 4: 1, 10: 1}),
        (sequence(constant(), 20, cosine()), {0: 1, 10: 1, 20: 1, 21: 0}),
    ],
    ids=str,
)
def test_factors_over_ten_epochs(schedule, values):
    for time, factor in values.items():
        assert schedule(time, 10) == pytest.approx(factor, abs=1e-15)


@pytest.mark.parametrize(
    "text",
    ["constant", "step:10:0.1", "exponential:0.95", "cosine", "cosine:0.01", "warmup:1,cosine",
     "warmup:0.5,step:3:0.3", "multistep:2:0.1", "multistep:2:5.5:0.1", "linear:0.1:1:5",
     "polynomial:0.9", "restarts:10", "restarts:10:2", "step:3:0.3*exponential:0.9",
     "linear:0.1:1:5@5,cosine", "constant@2,step:1:0.5@3,cosine", "warmup:1,constant@2,cosine",
     "(constant@2,cosine)*exponential:0.9", "(constant@2,cosine)@3,step:1:0.1",
     "(step:1:0.5*cosine)@3,restarts:2", "(warmup:1,cosine)*constant*polynomial:1"],
)  # fmt: skip
def test_the_text_form_reads_back(text):
    schedule = parse_schedule(text)
    assert str(schedule) == text
    for twin in (parse_schedule(str(schedule)), pickle.loads(pickle.dumps(schedule))):
        assert twin == schedule
        for time in np.linspace(0, 12, 49):
            assert twin(time, 10) == schedule(time, 10)
    assert copy.deepcopy(schedule) == schedule


def test_parentheses_may_stand_around_anything():
    assert parse_schedule("((cosine))") == cosine()
    assert parse_schedule("warmup:1,(constant)") == warmup(1, constant())


@pytest.mark.parametrize(
    "text",
    ["", "linear", "step", "step:10", "step:10:0.1:3", "step:ten:0.1", "cosine:", "constant:1",
     "warmup:1", "warmup:1,", "cosine,constant", "warmup,cosine", "multistep:0.1", "multistep",
     "restarts", "linear:1:2", "cosine*", "*cosine", "cosine@2", "@2,cosine", "cosine@,cosine",
     "cosine@x,cosine", "cosine@1@2,cosine", "(cosine", "cosine)", "()", "(" * 5000 + "cosine",
     "constant@1," * 5000 + "cosine", "warmup:x,cosine", "cosine:0x1"],
)  # fmt: skip
def test_other_texts_are_refused_with_the_list(text):
    with pytest.raises(ValueError, match="expected one of constant, step:EPOCHS:FACTOR"):
        parse_schedule(text)


@pytest.mark.parametrize(
    "text",
    ["step:0:0.1", "step:-1:0.1", "step:3:-0.1", "exponential:0", "cosine:-1", "warmup:0,cosine",
     "step:nan:1", "exponential:inf", "multistep:0:0.1", "multistep:2:-1", "linear:-1:1:2",
     "linear:0:1:0", "polynomial:0", "restarts:0", "restarts:2:0.5", "constant@0,cosine"],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(text):
    with pytest.raises(ValueError, match="expected >"):
        parse_schedule(text)


def test_milestones_are_in_order():
    for epochs in ((3, 2), (2, 2), ()):
        with pytest.raises(ValueError, match="expected some in increasing order"):
            multistep(epochs, 0.1)
    with pytest.raises(ValueError, match="product: got no schedules"):
        product()


EPOCHS = 12
# Ours, and torch's for a learning rate of 0.3, from the optimizer and the module of schedulers.
TWINS = {
    "step": (step(3, 0.4), lambda o, m: m.StepLR(o, 3, 0.4)),
    "multistep": (multistep((2, 7), 0.3), lambda o, m: m.MultiStepLR(o, [2, 7], 0.3)),
    "exponential": (exponential(0.8), lambda o, m: m.ExponentialLR(o, 0.8)),
    "linear": (linear(0.2, 0.7, 5), lambda o, m: m.LinearLR(o, 0.2, 0.7, 5)),
    "polynomial": (polynomial(1.7), lambda o, m: m.PolynomialLR(o, EPOCHS, 1.7)),
    "cosine": (cosine(), lambda o, m: m.CosineAnnealingLR(o, EPOCHS)),
    "cosine to a tenth": (cosine(0.1), lambda o, m: m.CosineAnnealingLR(o, EPOCHS, 0.03)),
    "restarts": (restarts(3), lambda o, m: m.CosineAnnealingWarmRestarts(o, 3)),
    "growing restarts": (restarts(2, 2), lambda o, m: m.CosineAnnealingWarmRestarts(o, 2, 2)),
    "sequence": (
        sequence(linear(0.1, 1, 4), 4, cosine()),
        lambda o, m: m.SequentialLR(
            o, [m.LinearLR(o, 0.1, 1, 4), m.CosineAnnealingLR(o, EPOCHS - 4)], [4]
        ),
    ),
    "three": (
        sequence(constant(), 2, sequence(step(2, 0.5), 5, exponential(0.9))),
        lambda o, m: m.SequentialLR(
            o, [m.ConstantLR(o, 1, 1), m.StepLR(o, 2, 0.5), m.ExponentialLR(o, 0.9)], [2, 7]
        ),
    ),
    "product": (
        product(linear(0.5, 1, 4), exponential(0.9), multistep((3, 8), 0.5)),
        lambda o, m: m.ChainedScheduler(
            [m.LinearLR(o, 0.5, 1, 4), m.ExponentialLR(o, 0.9), m.MultiStepLR(o, [3, 8], 0.5)]
        ),
    ),
    "warm-up": (
        warmup(4, constant()), lambda o, m: m.LambdaLR(o, lambda epoch: min(1, epoch / 4))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TWINS)
def test_learning_rates_are_those_of_torch(name):
    torch = torch_or_skip("its schedules")
    ours, make = TWINS[name]
    sgd = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = make(sgd, torch.optim.lr_scheduler)
        rates = []
        for _ in range(EPOCHS):
            rates.append(theirs.get_last_lr()[0])
            sgd.step()
            theirs.step()
    found = [0.3 * ours(epoch, EPOCHS) for epoch in range(EPOCHS)]
    np.testing.assert_allclose(found, rates, rtol=1e-12, atol=1e-14)
    assert len(set(found)) > 2
