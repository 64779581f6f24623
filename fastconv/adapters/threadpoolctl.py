"""fastconv's threads among those that threadpoolctl shows and limits.

After ``register()``, `threadpoolctl.threadpool_info` lists them with ``user_api`` "fastconv", and
`threadpoolctl.threadpool_limits` limits them, as `set_num_threads` does, until it ends. Libraries
that limit threads by it, such as scikit-learn, then reach fastconv too.
"""

from importlib.util import find_spec
from pathlib import Path

import fastconv
from fastconv.engine.base import threads

__all__ = ["register"]

_registered = False


def register() -> None:
    """Let threadpoolctl show and limit the threads of fastconv.

    Further calls change nothing.

    Raises
    ------
    ImportError
        If threadpoolctl is not installed, or older than version 3.2.

    Examples
    --------
    >>> import fastconv, threadpoolctl
    >>> from fastconv.adapters.threadpoolctl import register
    >>> register()
    >>> with threadpoolctl.threadpool_limits(1, user_api="fastconv"):
    ...     fastconv.get_num_threads()
    1
    """
    global _registered
    if find_spec("threadpoolctl") is None:
        raise ImportError("threadpoolctl is not installed: pip install threadpoolctl")
    import threadpoolctl

    if not hasattr(threadpoolctl, "register"):
        raise ImportError("threadpoolctl is too old, it needs 3.2: pip install -U threadpoolctl")

    class FastconvController(threadpoolctl.LibController):  # type: ignore[misc]
        user_api = "fastconv"
        internal_api = "fastconv"
        # It looks at the names of the shared libraries that are loaded, and at their symbols.
        filename_prefixes = (Path(threads.__file__).name,)
        check_symbols = ("fastconv_pool_marker",)

        def get_num_threads(self) -> int:
            return fastconv.get_num_threads()

        def set_num_threads(self, num_threads: int) -> None:
            fastconv.set_num_threads(num_threads)

        def get_version(self) -> str:
            return str(fastconv.__version__)

    if not _registered:
        threadpoolctl.register(FastconvController)
        _registered = True
