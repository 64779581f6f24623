"""The formulas of `schedules`, as objects: functions within functions could not be pickled."""

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Factor: TypeAlias = Callable[[float, float], float]


@dataclass(frozen=True)
class Constant:
    """1."""

    def __call__(self, time: float, epochs: float) -> float:
        """Return the factor."""
        return 1.0


@dataclass(frozen=True)
class Step:
    """A power that grows by one after each stair."""

    length: float
    factor: float

    def __call__(self, time: float, epochs: float) -> float:
        """Return the factor."""
        return float(self.factor ** (time // self.length))


@dataclass(frozen=True)
class Multistep:
    """A power that grows by one at each of some epochs."""

    epochs: tuple[float, ...]
    factor: float

    def __call__(self, time: float, epochs: float) -> float:
        """Return the factor."""
        return float(self.factor ** bisect_right(self.epochs, time))


@dataclass(frozen=True)
class Linear:
    """A line, and then its end."""

    start: float
    end: float
    length: float

    def __call__(self, time: float, epochs: float) -> float:
        """Return the factor."""
        return self.start + (self.end - self.start) * min(1.0, time / self.length)


@dataclass(frozen=True)
class Polynomial:
    """A power of the part that is left."""

    power: float

    def __call__(self, time: float, epochs: float) -> float:
        """Return the factor."""
        return float((1.0 - min(1.0, time / epochs)) ** self.power)


@dataclass(frozen=True)
class Restarts:
    """Half cosine waves from 1 to 0, each longer than the last."""

    length: float
    growth: float

    def __call__(self, time: float, epochs: float) -> float:
        """Return the factor."""
        length = self.length
        if self.growth == 1.0:
            time %= length
        while time >= length:
            time -= length
            length *= self.growth
        return 0.5 * (1.0 + math.cos(math.pi * time / length))


@dataclass(frozen=True)
class Product:
    """The product of others."""

    schedules: tuple[Factor, ...]

    def __call__(self, time: float, epochs: float) -> float:
        """Return the factor."""
        return math.prod(schedule(time, epochs) for schedule in self.schedules)


@dataclass(frozen=True)
class Sequence:
    """One for some time, and then another."""

    first: Factor
    length: float
    then: Factor

    def __call__(self, time: float, epochs: float) -> float:
        """Return the factor."""
        if time < self.length:
            return self.first(time, self.length)
        # A run that is over when the second would begin leaves it no time.
        return self.then(time - self.length, max(epochs - self.length, math.ulp(0.0)))


@dataclass(frozen=True)
class Exponential:
    """A power of the time."""

    factor: float

    def __call__(self, time: float, epochs: float) -> float:
        """Return the factor."""
        return float(self.factor**time)


@dataclass(frozen=True)
class Cosine:
    """Half a cosine wave."""

    final: float

    def __call__(self, time: float, epochs: float) -> float:
        """Return the factor."""
        done = min(1.0, time / epochs)
        return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * done))


@dataclass(frozen=True)
class Warmup:
    """Another one, times a line from 0 to 1."""

    length: float
    then: Factor

    def __call__(self, time: float, epochs: float) -> float:
        """Return the factor."""
        return min(1.0, time / self.length) * self.then(time, epochs)
