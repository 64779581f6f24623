"""Docstrings of functions of one family: what they share is written once."""

import re
from collections.abc import Callable, Mapping
from inspect import cleandoc
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

# A section of a docstring in numpydoc's form: its name, underlined.
_HEADING = re.compile(r"^(\w[\w ]*)\n-+\n", re.M)


def described_like(other: Callable[..., Any], axes: int = 2) -> Callable[[Function], Function]:
    """Take the sections of a function, of two axes, into the docstring of one of as many or others.

    The docstring keeps its summary and its own sections, such as "Examples"; of the notes it says
    where they stand.

    Examples
    --------
    >>> def area2d(x):
    ...     '''Return the area.
    ...
    ...     Parameters
    ...     ----------
    ...     x : ndarray, shape (N, H, W)
    ...     '''
    >>> @described_like(area2d, 1)
    ... def area1d(x):
    ...     '''Return the length.'''
    >>> area1d.__doc__.splitlines()
    ['Return the length.', '', 'Parameters', '----------', 'x : ndarray, shape (N, W)']
    """

    def describe(function: Function) -> Function:
        # Python drops docstrings by -OO.
        _, shared = _sections(other.__doc__ or "")
        shared = {name: _over(axes, text) for name, text in shared.items()}
        if "Notes" in shared:
            shared["Notes"] = f"As of `{other.__name__}`."
        return completed(shared)(function)

    return describe


def completed(sections: Mapping[str, str]) -> Callable[[Function], Function]:
    """Give a docstring sections, in their order; its own ones of other names follow.

    A section that it has already stays as it is, or stands where the text has a line "...".

    Examples
    --------
    >>> @completed({"Returns": "float"})
    ... def area(x):
    ...     '''Return the area.'''
    >>> area.__doc__.splitlines()
    ['Return the area.', '', 'Returns', '-------', 'float']
    """

    def complete(function: Function) -> Function:
        if function.__doc__:
            summary, own = _sections(function.__doc__)
            texts = {name: _around(own.get(name), text) for name, text in sections.items()}
            parts = {**texts, **{name: text for name, text in own.items() if name not in texts}}
            function.__doc__ = "\n\n".join(
                [summary, *(f"{name}\n{'-' * len(name)}\n{text}" for name, text in parts.items())]
            )
        return function

    return complete


def _around(own: str | None, text: str) -> str:
    """Return a section's own text within or in place of another."""
    before, mark, after = text.partition("...\n")
    if mark:
        return before + (f"{own}\n" if own else "") + after
    return text if own is None else own


def _sections(doc: str) -> tuple[str, dict[str, str]]:
    """Return what comes before the first section of a docstring, and the sections by name."""
    summary, *parts = _HEADING.split(cleandoc(doc))
    return summary.strip(), {
        name: text.strip("\n") for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


def _over(axes: int, text: str) -> str:
    """Return a text about two axes as one about so many."""
    for letters in ("DHW", "TRS"):
        for before in ("", "O"):
            names = [before + letter for letter in letters]
            text = re.sub(rf"\b{', '.join(names[1:])}\b", ", ".join(names[-axes:]), text)
    return text.replace("2d", f"{axes}d")


def filled(texts: Mapping[str, str]) -> Callable[[Function], Function]:
    """Put texts in the place of their names, written %(name)s, in a docstring.

    Examples
    --------
    >>> @filled({"x": "x : ndarray"})
    ... def area(x):
    ...     '''Return the area of %(x)s.'''
    >>> area.__doc__
    'Return the area of x : ndarray.'
    """

    def fill(function: Function) -> Function:
        if function.__doc__:
            function.__doc__ = re.sub(
                r"%\((\w+)\)s", lambda found: texts[found.group(1)], function.__doc__
            )
        return function

    return fill
