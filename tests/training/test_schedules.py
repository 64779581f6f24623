"""Learning-rate schedules: their values, and the text form."""

import pytest

from fastconv.training import constant, cosine, exponential, parse_schedule, step, warmup


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (constant(), {0: 1, 7.5: 1, 10: 1}),
        (step(3, 0.5), {0: 1, 2.99: 1, 3: 0.5, 6: 0.25, 9.5: 0.125}),
        (exponential(0.5), {0: 1, 1: 0.5, 2: 0.25}),
        (cosine(), {0: 1, 10 / 3: 0.75, 5: 0.5, 10: 0, 12: 0}),
        (cosine(0.2), {0: 1, 5: 0.6, 10: 0.2}),
        (warmup(2, step(3, 0.5)), {0: 0, 1: 0.5, 2: 1, 3: 0.5}),
    ],
    ids=str,
)
def test_factors_over_ten_epochs(schedule, values):
    for time, factor in values.items():
        assert schedule(time, 10) == pytest.approx(factor, abs=1e-15)


@pytest.mark.parametrize(
    "text",
    ["constant", "step:10:0.1", "exponential:0.95", "cosine", "cosine:0.01", "warmup:1,cosine",
     "warmup:0.5,step:3:0.3"],
)  # fmt: skip
def test_the_text_form_reads_back(text):
    assert str(parse_schedule(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "linear", "step", "step:10", "step:10:0.1:3", "step:ten:0.1", "cosine:", "constant:1",
     "warmup:1", "warmup:1,", "cosine,constant", "warmup,cosine"],
)  # fmt: skip
def test_other_texts_are_refused_with_the_list(text):
    with pytest.raises(ValueError, match="expected one of constant, step:EPOCHS:FACTOR"):
        parse_schedule(text)


@pytest.mark.parametrize(
    "text",
    ["step:0:0.1", "step:-1:0.1", "step:3:-0.1", "exponential:0", "cosine:-1", "warmup:0,cosine",
     "step:nan:1", "exponential:inf"],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(text):
    with pytest.raises(ValueError, match="expected >"):
        parse_schedule(text)
