"""Checkpoints: everything a training run needs to go on, in one file that is data only.

A checkpoint is a set of named arrays (``model/...``, ``optimizer/...`` and ``average/...``) and one
JSON text with the rest, in an .npz file or, by suffix, a .safetensors file, with a digest over all
of it: damage is found, whatever the format checks. It is written to a temporary name and renamed,
so that a crash leaves the last complete one.
"""

import copy
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

import numpy as np

from fastconv._files import check_replaceable
from fastconv.training._archive import Archive, check_format, read_archive, write_archive
from fastconv.training._reading import refusing
from fastconv.training.data import Array
from fastconv.training.history import EpochRecord, Progress

FORMAT = "fastconv checkpoint"
VERSION = 2  # 1 had no digest
# The kinds of dtype of arrays within the JSON text.
_NUMBERS = "biuf"
_Record = TypeVar("_Record", EpochRecord, Progress)


@dataclass(repr=False)
class Checkpoint:
    """The state of a training run between two steps.

    Parameters
    ----------
    model, optimizer : dict
        Their ``state_dict()``.
    generators : list of dict
        The states of the model's random generators, in the order of ``model.generators()``.
    progress : Progress
        The epoch, the step within it and its sums so far.
    history : list of EpochRecord
        The finished epochs.
    settings : dict
        What must stay the same for the run to continue with the same bits: numbers and texts.
    options : dict, optional
        Whatever the caller wants to find again, such as the model's name: JSON values.
    average : dict, optional
        The ``state_dict()`` of the averaged weights; empty without.

    Examples
    --------
    >>> from fastconv.training import Checkpoint
    >>> from fastconv.training.history import Progress
    >>> saved = Checkpoint({}, {}, [], Progress(epoch=3), [], {"seed": 0})
    >>> saved.progress.epoch
    3
    >>> saved
    Checkpoint(epoch=3, step=0, model of 0 arrays, optimizer=None, options={})
    """

    model: dict[str, Array]
    optimizer: dict[str, Any]
    generators: list[dict[str, Any]]
    progress: Progress
    history: list[EpochRecord]
    settings: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    average: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(epoch={self.progress.epoch}, step={self.progress.step}, "
            f"model of {len(self.model)} arrays, optimizer={self.optimizer.get('kind')!r}, "
            f"options={self.options})"
        )


def check_path(path: str | os.PathLike[str]) -> None:
    """Make sure that a checkpoint can be written, before hours have gone into it.

    Parameters
    ----------
    path : path-like
        Where it shall go.

    Raises
    ------
    ValueError
        If the suffix is neither .npz nor .safetensors.
    ImportError
        If .safetensors is asked for and the library is not installed.
    OSError
        If the directory is missing or cannot be written to.
    """
    check_format(path)
    check_replaceable(path)


def check_options(options: Mapping[str, Any]) -> None:
    """Make sure that a checkpoint can hold what the caller wants to find again.

    Parameters
    ----------
    options : mapping
        What shall be `Checkpoint.options`.

    Raises
    ------
    ValueError
        If it holds something else than JSON values.
    """
    try:
        json.dumps(dict(options), default=_encode_array)
    except (RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"options: cannot be written as JSON ({error})") from error


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the file is complete or is not replaced.

    Parameters
    ----------
    path : path-like
        A name that ends in .npz or .safetensors.
    checkpoint : Checkpoint
        What to save.

    Raises
    ------
    ValueError
        If the suffix is another one.
    ImportError
        If .safetensors is asked for and the library is not installed.

    Examples
    --------
    >>> import tempfile
    >>> saved = Checkpoint({"0.bias": np.zeros(2)}, {"lr": 0.1}, [], Progress(), [], {"seed": 0})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(f"{folder}/run.npz", saved)
    ...     load_checkpoint(f"{folder}/run.npz").settings
    {'seed': 0}
    """
    arrays = {f"model/{key}": value for key, value in checkpoint.model.items()}
    numbers: dict[str, dict[str, Any]] = {"optimizer": {}, "average": {}}
    for part, others in numbers.items():
        for key, value in getattr(checkpoint, part).items():
            if isinstance(value, np.ndarray):
                arrays[f"{part}/{key}"] = value
            else:
                others[key] = value
    text = json.dumps(
        {
            "format": FORMAT,
            "version": VERSION,
            **numbers,
            "generators": checkpoint.generators,
            "progress": asdict(checkpoint.progress),
            "history": [asdict(record) for record in checkpoint.history],
            "settings": checkpoint.settings,
            "options": checkpoint.options,
        },
        default=_encode_array,
    )
    write_archive(path, arrays, text)


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint and check that it is one.

    Parameters
    ----------
    path : path-like
        A file that `save_checkpoint` wrote.

    Returns
    -------
    Checkpoint

    Raises
    ------
    ValueError
        If the file is damaged, is no checkpoint, or is of another version; the text names it.
    ImportError
        If it is a .safetensors file and the library is not installed.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> saved = Checkpoint({"0.bias": np.zeros(2)}, {"lr": 0.1}, [], Progress(), [], {"seed": 0})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(f"{folder}/run.npz", saved)
    ...     load_checkpoint(f"{folder}/run.npz").model
    {'0.bias': array([0., 0.])}
    """
    return _parse(os.fspath(path), read_archive(path))


def save_state(path: str | os.PathLike[str], state: Mapping[str, Array]) -> None:
    """Write the arrays of a ``state_dict()`` to a file, complete or not at all.

    `numpy.load` and the safetensors library read it like any other. It carries a SHA-256 of its
    contents, as the comment of the .npz file or as "fastconv.sha256" in the .safetensors file's
    metadata; `load_state` refuses a file that does not fit it.

    Parameters
    ----------
    path : path-like
        A name that ends in .npz or .safetensors.
    state : mapping of str to ndarray
        What ``state_dict()`` of a layer or model returned.

    Raises
    ------
    ValueError
        If the suffix is another one, or the format cannot hold an array or its name.
    ImportError
        If .safetensors is asked for and the library is not installed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_state(f"{folder}/weights.npz", {"0.bias": np.array([1.0, 2.0])})
    ...     load_state(f"{folder}/weights.npz")
    {'0.bias': array([1., 2.])}
    """
    write_archive(path, state)


def load_state(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Read the weights of a model, for its ``load_state_dict``.

    Parameters
    ----------
    path : path-like
        A file of `save_state`, `numpy.savez` or safetensors, or a checkpoint, of which the model's
        part is returned.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    ValueError
        If the file is damaged or of another kind; the text names it and what is wrong. Of a
        .safetensors file that another program wrote only the structure can be checked.
    ImportError
        If it is a .safetensors file and the library is not installed.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/weights.npz", bias=np.array([1.0, 2.0]))
    ...     load_state(f"{folder}/weights.npz")
    {'bias': array([1., 2.])}
    """
    content = read_archive(path)
    return content.arrays if content.text is None else _parse(os.fspath(path), content).model


def generator_states(generators: Iterable[np.random.Generator]) -> list[dict[str, Any]]:
    """Return the states of random generators, ready for a checkpoint.

    Parameters
    ----------
    generators : iterable of numpy.random.Generator

    Returns
    -------
    list of dict
    """
    return [dict(generator.bit_generator.state) for generator in generators]


def check_generators(
    generators: Iterable[np.random.Generator], states: list[dict[str, Any]]
) -> None:
    """Make sure that random generators can be put into saved states, by doing it with copies.

    Parameters
    ----------
    generators : iterable of numpy.random.Generator
    states : list of dict
        As for `restore_generators`.

    Raises
    ------
    ValueError
        If the numbers or the kinds differ.
    """
    generators = list(generators)
    if len(generators) != len(states):
        raise ValueError(
            f"generators: the model has {len(generators)}, the saved state is for {len(states)}"
        )
    for generator, state in zip(generators, states, strict=True):
        try:
            copy.deepcopy(generator.bit_generator).state = state
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise ValueError(f"generators: a saved state does not fit ({error})") from error


def restore_generators(
    generators: Iterable[np.random.Generator], states: list[dict[str, Any]]
) -> None:
    """Put random generators back into saved states: all of them, or none if one does not fit.

    Parameters
    ----------
    generators : iterable of numpy.random.Generator
    states : list of dict
        What `generator_states` returned for as many generators of the same kinds.

    Raises
    ------
    ValueError
        If the numbers or the kinds differ.
    """
    generators = list(generators)
    check_generators(generators, states)
    for generator, state in zip(generators, states, strict=True):
        generator.bit_generator.state = state


def _parse(name: str, archive: Archive) -> Checkpoint:
    """Return the checkpoint that a file of this name holds."""
    if archive.text is None:
        raise ValueError(f"{name}: holds no fastconv checkpoint, only arrays")
    with refusing(f"{name}: holds no fastconv checkpoint"):
        content = json.loads(archive.text, object_hook=_decode_array)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{name}: holds no fastconv checkpoint")
    if content.get("version") != VERSION:
        raise ValueError(
            f"{name}: is a checkpoint of version {content.get('version')!r}, expected {VERSION}"
        )
    if not archive.verified:
        raise ValueError(f"{name}: is a damaged checkpoint (it has lost its SHA-256)")
    parts: dict[str, dict[str, Array]] = {"model": {}, "optimizer": {}, "average": {}}
    for key, array in archive.arrays.items():
        part, _, rest = key.partition("/")
        if part not in parts:
            raise ValueError(f"{name}: unexpected entry {key!r}")
        parts[part][rest] = array
    try:
        return Checkpoint(
            model=parts["model"],
            optimizer={**content["optimizer"], **parts["optimizer"]},
            generators=[dict(state) for state in content["generators"]],
            progress=_record(Progress, content["progress"]),
            history=[_record(EpochRecord, record) for record in content["history"]],
            settings=dict(content["settings"]),
            options=dict(content["options"]),
            # Checkpoints had none at first.
            average={**content.get("average", {}), **parts["average"]},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: is a damaged checkpoint ({error!r})") from error


def _record(kind: type[_Record], values: dict[str, Any]) -> _Record:
    """Build a dataclass of numbers, checking that each is of the kind its field wants."""
    for entry in fields(kind):
        wanted = (int, float) if entry.type is float else int
        if isinstance(values[entry.name], bool) or not isinstance(values[entry.name], wanted):
            raise TypeError(f"{entry.name} is {values[entry.name]!r}")
    return kind(**values)


def _encode_array(value: object) -> object:
    if isinstance(value, np.ndarray) and value.dtype.kind in _NUMBERS:
        return {"__array__": value.tolist(), "dtype": value.dtype.str}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _decode_array(value: dict[str, Any]) -> Any:
    if set(value) == {"__array__", "dtype"}:
        dtype = np.dtype(value["dtype"])
        if dtype.kind not in _NUMBERS:
            raise ValueError(f"an array of {dtype}, expected numbers")
        return np.array(value["__array__"], dtype)
    return value
