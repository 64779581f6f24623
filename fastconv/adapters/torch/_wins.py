"""Where torch is faster."""

import torch

from fastconv.functional._calls import Call


def slower(operation: str, call: Call, dtype: torch.dtype, threads: int) -> str:
    """Return why torch is faster at a call, or ""."""
    return ""
