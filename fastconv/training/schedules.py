"""How the learning rate changes while training: pure functions of the time in epochs.

A schedule is called with the time, counted in epochs as a float (1.5 is the middle of the second
epoch), and the number of epochs of the whole run; it returns the factor to put on the optimizer's
learning rate. Nothing is remembered between calls, so that resuming a run needs no state.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

_FORMS = "constant, step:EPOCHS:FACTOR, exponential:FACTOR, cosine, cosine:FINAL"


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
    return Schedule("constant", _Constant())


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
    return Schedule(f"step:{_text(epochs)}:{_text(factor)}", _Step(epochs, factor))


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
    return Schedule(f"exponential:{_text(factor)}", _Exponential(factor))


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
    return Schedule("cosine" if final == 0 else f"cosine:{_text(final)}", _Cosine(final))


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
    return Schedule(f"warmup:{_text(epochs)},{then}", _Warmup(epochs, then))


def parse_schedule(text: str) -> Schedule:
    """Read a schedule from text.

    Parameters
    ----------
    text : str
        ``constant``, ``step:EPOCHS:FACTOR``, ``exponential:FACTOR``, ``cosine`` or
        ``cosine:FINAL``; with ``warmup:EPOCHS,`` before any of them.

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
    first, comma, rest = text.partition(",")
    name, *words = first.split(":")
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise _unknown(text) from None
    match name, numbers, comma:
        case "warmup", [epochs], ",":
            return warmup(epochs, parse_schedule(rest))
        case "constant", [], "":
            return constant()
        case "step", [epochs, factor], "":
            return step(epochs, factor)
        case "exponential", [factor], "":
            return exponential(factor)
        case "cosine", [], "":
            return cosine()
        case "cosine", [final], "":
            return cosine(final)
    raise _unknown(text)


# The factors are objects rather than functions within functions, which could not be pickled.


@dataclass(frozen=True)
class _Constant:
    def __call__(self, time: float, epochs: float) -> float:
        return 1.0


@dataclass(frozen=True)
class _Step:
    length: float
    factor: float

    def __call__(self, time: float, epochs: float) -> float:
        return float(self.factor ** (time // self.length))


@dataclass(frozen=True)
class _Exponential:
    factor: float

    def __call__(self, time: float, epochs: float) -> float:
        return float(self.factor**time)


@dataclass(frozen=True)
class _Cosine:
    final: float

    def __call__(self, time: float, epochs: float) -> float:
        done = min(1.0, time / epochs)
        return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * done))


@dataclass(frozen=True)
class _Warmup:
    length: float
    then: Schedule

    def __call__(self, time: float, epochs: float) -> float:
        return min(1.0, time / self.length) * self.then(time, epochs)


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
