"""The command line: ``fastconv train``, ``evaluate``, ``predict``, ``summary`` and so on."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Every error is one line on standard error and exit code 2, without a traceback.

    Parameters
    ----------
    arguments : sequence of str, optional
        What stands after the name of the program; ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        0 when all went well, 1 when ``check`` or ``bench`` found a difference or a loss of speed,
        or ``predict`` left an image out, 2 after an error, 130 after Ctrl-C.
    """
    try:
        import click
    except ImportError:
        return _fail("the command line needs click: pip install 'fastconv[cli]'")
    from fastconv.cli.app import app

    try:
        code = app.main(
            None if arguments is None else list(arguments),
            prog_name="fastconv",
            standalone_mode=False,
        )
    except click.exceptions.Abort:
        _fail("aborted")
        return 130
    except click.ClickException as error:
        return _fail(error.format_message())
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        return _fail(str(error))
    except MemoryError as error:
        return _fail(str(error) or "not enough memory")
    return code if isinstance(code, int) else 0


def _fail(message: str) -> int:
    print(f"fastconv: error: {' '.join(message.split())}", file=sys.stderr)
    return 2
