"""How the learning rate changes while training: pure functions of the time in epochs.

A schedule is called with the time, counted in epochs as a float (1.5 is the middle of the second
epoch), and the number of epochs of the whole run; it returns the factor to put on the optimizer's
learning rate. Nothing is remembered between calls, so that resuming a run needs no state: the text
of the schedule is in the checkpoint.

The formulas are those of torch.optim.lr_scheduler, in closed form, with epochs for its steps:
`step` is its StepLR, `multistep` MultiStepLR, `exponential` ExponentialLR, `linear` LinearLR,
`polynomial` PolynomialLR, `cosine` CosineAnnealingLR, `restarts` CosineAnnealingWarmRestarts,
`sequence` SequentialLR, and `product` ChainedScheduler.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from fastconv.training import _factors

_FORMS = (
    "constant, step:EPOCHS:FACTOR, multistep:EPOCH:...:FACTOR, exponential:FACTOR, "
    "linear:FROM:TO:EPOCHS, polynomial:POWER, cosine, cosine:FINAL, restarts:EPOCHS, "
    "restarts:EPOCHS:GROWTH; products of them with *; FIRST@EPOCHS,THEN"
)
# How many parentheses or commas a text may have.
_DEEPEST = 50


@dataclass(frozen=True)
class Schedule:
    """A learning-rate schedule that can be written down.

    Schedules of the same text and factor are equal. One can be pickled if its factor can, as those
    of this module can.

    Parameters
    ----------
    text : str
        The form that `parse_schedule` reads.
    factor : callable
        ``factor(time, epochs)``.

    Examples
    --------
    >>> cosine()(5, 10)
    0.5
    >>> cosine() == cosine(0.1)
    False
    """

    text: str
    factor: Callable[[float, float], float] = field(repr=False)

    def __call__(self, time: float, epochs: float) -> float:
        """Return the factor on the learning rate at ``time`` of a run over ``epochs``."""
        return self.factor(time, epochs)

    def __str__(self) -> str:
        """Return the form that `parse_schedule` reads."""
        return self.text


def constant() -> Schedule:
    """Return the schedule that leaves the learning rate as it is.

    Returns
    -------
    Schedule

    Examples
    --------
    >>> constant()(3, 10)
    1.0
    """
    return Schedule("constant", _factors.Constant())


def step(epochs: float, factor: float) -> Schedule:
    """Return the schedule that multiplies the learning rate by ``factor`` every ``epochs`` epochs.

    Parameters
    ----------
    epochs : float
        Length of a stair, above 0.
    factor : float
        At least 0.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> [step(10, 0.1)(time, 30) for time in (0, 9.99, 10)]
    [1.0, 1.0, 0.1]
    """
    _check("step: epochs", epochs, positive=True)
    _check("step: factor", factor)
    return Schedule(f"step:{_text(epochs)}:{_text(factor)}", _factors.Step(epochs, factor))


def exponential(factor: float) -> Schedule:
    """Return the schedule that multiplies the learning rate by ``factor`` per epoch, smoothly.

    Parameters
    ----------
    factor : float
        Above 0.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If the factor is out of range.

    Examples
    --------
    >>> exponential(0.25)(0.5, 10)
    0.5
    """
    _check("exponential: factor", factor, positive=True)
    return Schedule(f"exponential:{_text(factor)}", _factors.Exponential(factor))


def cosine(final: float = 0.0) -> Schedule:
    """Return the schedule that lets the learning rate fall along half a cosine wave.

    Parameters
    ----------
    final : float, optional
        The factor at the end of the run, at least 0.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If ``final`` is out of range.

    Notes
    -----
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017),
    equation 5, without restarts.

    Examples
    --------
    >>> [cosine()(time, 8) for time in (0, 4, 8)]
    [1.0, 0.5, 0.0]
    """
    _check("cosine: final", final)
    return Schedule("cosine" if final == 0 else f"cosine:{_text(final)}", _factors.Cosine(final))


def multistep(epochs: Sequence[float], factor: float) -> Schedule:
    """Return the schedule that multiplies the learning rate by ``factor`` at some epochs.

    Parameters
    ----------
    epochs : sequence of float
        When, above 0 and in increasing order.
    factor : float
        At least 0.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If a number is out of range or out of order, or there is no epoch.

    Examples
    --------
    >>> [multistep((80, 120), 0.1)(time, 160) for time in (0, 79.99, 80)]
    [1.0, 1.0, 0.1]
    """
    for epoch in epochs:
        _check("multistep: epochs", epoch, positive=True)
    if not epochs or any(b <= a for a, b in pairwise(epochs)):
        raise ValueError(f"multistep: epochs: got {epochs!r}, expected some in increasing order")
    _check("multistep: factor", factor)
    text = ":".join(_text(number) for number in (*epochs, factor))
    return Schedule(f"multistep:{text}", _factors.Multistep(tuple(epochs), factor))


def linear(start: float, end: float, epochs: float) -> Schedule:
    """Return the schedule that goes along a line from one factor to another, and stays there.

    Parameters
    ----------
    start, end : float
        The factors, at least 0.
    epochs : float
        How long it takes, above 0.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> [linear(0.5, 1, 4)(time, 10) for time in (0, 2, 4, 10)]
    [0.5, 0.75, 1.0, 1.0]
    """
    _check("linear: start", start)
    _check("linear: end", end)
    _check("linear: epochs", epochs, positive=True)
    text = f"linear:{_text(start)}:{_text(end)}:{_text(epochs)}"
    return Schedule(text, _factors.Linear(start, end, epochs))


def polynomial(power: float) -> Schedule:
    """Return the schedule whose factor is a power of the part of the run that is left.

    Parameters
    ----------
    power : float
        Above 0; 1 for a line from 1 to 0.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If the power is out of range.

    Examples
    --------
    >>> [polynomial(2)(time, 10) for time in (0, 5, 10)]
    [1.0, 0.25, 0.0]
    """
    _check("polynomial: power", power, positive=True)
    return Schedule(f"polynomial:{_text(power)}", _factors.Polynomial(power))


def restarts(epochs: float, growth: float = 1.0) -> Schedule:
    """Return the schedule of half cosine waves from 1 to 0, one after the other.

    Parameters
    ----------
    epochs : float
        Length of the first wave, above 0.
    growth : float, optional
        How many times as long as a wave the next one is, at least 1.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If a number is out of range.

    Notes
    -----
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017),
    equation 5.

    Examples
    --------
    >>> [round(restarts(2, 2)(time, 14), 3) for time in (0, 1, 2, 4, 6)]
    [1.0, 0.5, 1.0, 0.5, 1.0]
    """
    _check("restarts: epochs", epochs, positive=True)
    if not 1 <= growth < math.inf:
        raise ValueError(f"restarts: growth: got {growth!r}, expected >= 1")
    more = "" if growth == 1 else f":{_text(growth)}"
    return Schedule(f"restarts:{_text(epochs)}{more}", _factors.Restarts(epochs, growth))


def product(*schedules: Schedule) -> Schedule:
    """Return the schedule whose factor is the product of those of others.

    Parameters
    ----------
    *schedules : Schedule
        At least one.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> both = product(linear(0.5, 1, 2), step(3, 0.1))
    >>> [both(time, 10) for time in (0, 2, 3)]
    [0.5, 1.0, 0.1]
    >>> print(both)
    linear:0.5:1:2*step:3:0.1
    """
    if not schedules:
        raise ValueError("product: got no schedules, expected at least one")
    return Schedule("*".join(map(_grouped, schedules)), _factors.Product(schedules))


def sequence(first: Schedule, epochs: float, then: Schedule) -> Schedule:
    """Return the schedule that follows one for some epochs, and then begins another one.

    Parameters
    ----------
    first : Schedule
        For it the run is over ``epochs``.
    epochs : float
        How long it is followed, above 0.
    then : Schedule
        Begins there, at its own time 0, over the rest of the run.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If ``epochs`` is out of range.

    Examples
    --------
    >>> both = sequence(linear(0.1, 1, 5), 5, cosine())
    >>> [both(time, 15) for time in (0, 5, 10)]
    [0.1, 1.0, 0.5]
    >>> print(both)
    linear:0.1:1:5@5,cosine
    """
    _check("sequence: epochs", epochs, positive=True)
    text = f"{_grouped(first)}@{_text(epochs)},{then}"
    return Schedule(text, _factors.Sequence(first, epochs, then))


def warmup(epochs: float, then: Schedule) -> Schedule:
    """Return a schedule that begins with a linear rise and goes on as another one.

    Parameters
    ----------
    epochs : float
        How long the factor rises from 0 to that of ``then``, above 0.
    then : Schedule
        The schedule whose factor is multiplied.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If ``epochs`` is out of range.

    Examples
    --------
    >>> [warmup(2, constant())(time, 10) for time in (0, 1, 2, 3)]
    [0.0, 0.5, 1.0, 1.0]
    """
    _check("warmup: epochs", epochs, positive=True)
    return Schedule(f"warmup:{_text(epochs)},{then}", _factors.Warmup(epochs, then))


def parse_schedule(text: str) -> Schedule:
    """Read a schedule from text.

    Parameters
    ----------
    text : str
        ``constant``, ``step:EPOCHS:FACTOR``, ``multistep:EPOCH:...:FACTOR``,
        ``exponential:FACTOR``, ``linear:FROM:TO:EPOCHS``, ``polynomial:POWER``, ``cosine``,
        ``cosine:FINAL``, ``restarts:EPOCHS`` or ``restarts:EPOCHS:GROWTH``; or a product of such
        with ``*`` between them; or ``FIRST@EPOCHS,THEN`` for a sequence. ``warmup:EPOCHS,`` may
        stand before any of them, and parentheses around any.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If the text is none of these.

    Examples
    --------
    >>> parse_schedule("step:10:0.1")(10, 30)
    0.1
    >>> str(parse_schedule("warmup:0.5,cosine"))
    'warmup:0.5,cosine'
    """
    if text.count("(") > _DEEPEST or text.count(",") > _DEEPEST:
        raise _unknown(text)
    return _parse(text, text)


def _parse(text: str, whole: str) -> Schedule:
    head, *rest = _split(text, ",", 1)
    if rest:
        first, *length = _split(head, "@")
        try:
            if len(length) == 1:
                return sequence(_parse(first, whole), _number(length[0]), _parse(rest[0], whole))
            if not length and head.startswith("warmup:"):
                return warmup(_number(head.removeprefix("warmup:")), _parse(rest[0], whole))
        except _NoNumber:
            pass
        raise _unknown(whole)
    factors = _split(text, "*")
    if len(factors) > 1:
        return product(*(_parse(factor, whole) for factor in factors))
    if text.startswith("(") and text.endswith(")"):
        return _parse(text[1:-1], whole)
    return _parse_word(text, whole)


def _parse_word(text: str, whole: str) -> Schedule:
    name, *words = text.split(":")
    try:
        numbers = [_number(word) for word in words]
    except _NoNumber:
        raise _unknown(whole) from None
    match name, numbers:
        case "constant", []:
            return constant()
        case "step", [epochs, factor]:
            return step(epochs, factor)
        case "multistep", [_, _, *_]:
            return multistep(numbers[:-1], numbers[-1])
        case "exponential", [factor]:
            return exponential(factor)
        case "linear", [start, end, epochs]:
            return linear(start, end, epochs)
        case "polynomial", [power]:
            return polynomial(power)
        case "cosine", []:
            return cosine()
        case "cosine", [final]:
            return cosine(final)
        case "restarts", [epochs]:
            return restarts(epochs)
        case "restarts", [epochs, growth]:
            return restarts(epochs, growth)
    raise _unknown(whole)


class _NoNumber(Exception):
    """A word that should be a number."""


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise _NoNumber from None


def _split(text: str, mark: str, times: int = -1) -> list[str]:
    """Split a text at a mark, where it stands in no parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == mark and depth == 0 and times != 0:
            parts.append("")
            times -= 1
        else:
            parts[-1] += letter
    return parts


def _grouped(schedule: Schedule) -> str:
    """Return a schedule's text, in parentheses where it would run into what stands beside it."""
    return f"({schedule})" if set(str(schedule)) & set(",*@") else str(schedule)


def _unknown(text: str) -> ValueError:
    return ValueError(
        f"schedule: got {text!r}, expected one of {_FORMS}, with warmup:EPOCHS, before it or not"
    )


def _text(number: float) -> str:
    """Return the shortest text that reads back as the same number."""
    return repr(float(number)).removesuffix(".0")


def _check(name: str, value: float, *, positive: bool = False) -> None:
    if not (0 < value < math.inf if positive else 0 <= value < math.inf):
        raise ValueError(f"{name}: got {value!r}, expected {'> 0' if positive else '>= 0'}")
