"""Checkpoints: everything a training run needs to go on, in one file that is data only.

A checkpoint is a set of named arrays (``model/...`` and ``optimizer/...``) and one JSON text with
the rest, in an .npz file or, by suffix, a .safetensors file. It is written to a temporary name and
renamed, so that a crash leaves the last complete one.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from fastconv._files import check_replaceable, replacing
from fastconv.training._npz import read_npz, write_npz
from fastconv.training.data import Array
from fastconv.training.history import EpochRecord, Progress

FORMAT = "fastconv checkpoint"
VERSION = 1
_JSON_ENTRY = "fastconv.checkpoint.json"
_SUFFIXES = (".npz", ".safetensors")
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
    if _suffix(path) == ".safetensors":
        _safetensors()
    check_replaceable(path)


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
    ...     save_checkpoint(Path(folder, "run.npz"), saved)
    ...     load_checkpoint(Path(folder, "run.npz")).settings
    {'seed': 0}
    """
    arrays = {f"model/{key}": value for key, value in checkpoint.model.items()}
    numbers = {}
    for key, value in checkpoint.optimizer.items():
        if isinstance(value, np.ndarray):
            arrays[f"optimizer/{key}"] = value
        else:
            numbers[key] = value
    text = json.dumps(
        {
            "format": FORMAT,
            "version": VERSION,
            "optimizer": numbers,
            "generators": checkpoint.generators,
            "progress": asdict(checkpoint.progress),
            "history": [asdict(record) for record in checkpoint.history],
            "settings": checkpoint.settings,
            "options": checkpoint.options,
        },
        default=_encode_array,
    )
    _write(path, arrays, text)


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
    ...     save_checkpoint(Path(folder, "run.npz"), saved)
    ...     load_checkpoint(Path(folder, "run.npz")).model
    {'0.bias': array([0., 0.])}
    """
    arrays, text = _read(path)
    name = os.fspath(path)
    if text is None:
        raise ValueError(f"{name}: holds no fastconv checkpoint, only arrays")
    try:
        content = json.loads(text, object_hook=_decode_array)
    except (OverflowError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: holds no fastconv checkpoint ({error})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{name}: holds no fastconv checkpoint")
    if content.get("version") != VERSION:
        raise ValueError(
            f"{name}: is a checkpoint of version {content.get('version')!r}, expected {VERSION}"
        )
    parts: dict[str, dict[str, Array]] = {"model": {}, "optimizer": {}}
    for key, array in arrays.items():
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
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: is a damaged checkpoint ({error!r})") from error


def save_state(path: str | os.PathLike[str], state: Mapping[str, Array]) -> None:
    """Write the arrays of a ``state_dict()`` to a file, complete or not at all.

    Parameters
    ----------
    path : path-like
        A name that ends in .npz or .safetensors.
    state : mapping of str to ndarray
        What ``state_dict()`` of a layer or model returned.

    Raises
    ------
    ValueError
        If the suffix is another one.
    ImportError
        If .safetensors is asked for and the library is not installed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_state(Path(folder, "weights.npz"), {"0.bias": np.array([1.0, 2.0])})
    ...     load_state(Path(folder, "weights.npz"))
    {'0.bias': array([1., 2.])}
    """
    _write(path, state, None)


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
        If the file is damaged or of another kind; the text names it.
    ImportError
        If it is a .safetensors file and the library is not installed.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(Path(folder, "weights.npz"), bias=np.array([1.0, 2.0]))
    ...     load_state(Path(folder, "weights.npz"))
    {'bias': array([1., 2.])}
    """
    arrays, text = _read(path)
    return arrays if text is None else load_checkpoint(path).model


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


def restore_generators(
    generators: Iterable[np.random.Generator], states: list[dict[str, Any]]
) -> None:
    """Put random generators back into saved states.

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
    if len(generators) != len(states):
        raise ValueError(
            f"generators: the model has {len(generators)}, the saved state is for {len(states)}"
        )
    for generator, state in zip(generators, states, strict=True):
        try:
            generator.bit_generator.state = state
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"generators: a saved state does not fit ({error})") from error


def _record(kind: type[_Record], values: dict[str, Any]) -> _Record:
    """Build a dataclass of numbers, checking that each is of the kind its field wants."""
    for entry in fields(kind):
        wanted = (int, float) if entry.type is float else int
        if isinstance(values[entry.name], bool) or not isinstance(values[entry.name], wanted):
            raise TypeError(f"{entry.name} is {values[entry.name]!r}")
    return kind(**values)


def _encode_array(value: object) -> object:
    if isinstance(value, np.ndarray):
        return {"__array__": value.tolist(), "dtype": value.dtype.str}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _decode_array(value: dict[str, Any]) -> Any:
    if set(value) == {"__array__", "dtype"}:
        return np.array(value["__array__"], np.dtype(value["dtype"]))
    return value


def _suffix(path: str | os.PathLike[str]) -> str:
    suffix = Path(path).suffix
    if suffix not in _SUFFIXES:
        raise ValueError(f"{os.fspath(path)}: ends in {suffix!r}, expected .npz or .safetensors")
    return suffix


def _write(path: str | os.PathLike[str], arrays: Mapping[str, Array], text: str | None) -> None:
    if _suffix(path) == ".safetensors":
        library, _ = _safetensors()
        # A safetensors file keeps C order only; asarray, unlike ascontiguousarray, keeps 0-d.
        ordered = {key: np.asarray(array, order="C") for key, array in arrays.items()}
        data = library.save(ordered, metadata=None if text is None else {_JSON_ENTRY: text})
        with replacing(path) as file:
            file.write(data)
        return
    entries = dict(arrays)
    if text is not None:
        entries[_JSON_ENTRY] = np.frombuffer(text.encode(), np.uint8)
    with replacing(path) as file:
        write_npz(file, entries)


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Array], Any]:
    """Return the arrays and the JSON text, None where there is none."""
    name = os.fspath(path)
    if _suffix(path) == ".safetensors":
        library, library_error = _safetensors()
        with open(path, "rb") as file:
            data = file.read()
        try:
            arrays = library.load(data)
            length = int.from_bytes(data[:8], "little")
            metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        except (library_error, KeyError, ValueError) as error:
            raise ValueError(f"{name}: not a readable .safetensors file ({error})") from error
        return arrays, metadata.get(_JSON_ENTRY)
    arrays = read_npz(path)
    text = arrays.pop(_JSON_ENTRY, None)
    return arrays, None if text is None else text.tobytes()


def _safetensors() -> tuple[Any, type[Exception]]:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            "the .safetensors format needs safetensors: pip install 'fastconv[safetensors]'"
        ) from None
    return safetensors.numpy, safetensors.SafetensorError
