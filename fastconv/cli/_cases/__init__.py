"""What ``fastconv check`` computes: random calls of each function, a module for each family."""

from fastconv.cli._cases import (
    arrays,
    convolution,
    elementwise,
    filters,
    losses,
    normalization,
    pooling,
)

SUBJECTS = (
    *convolution.SUBJECTS,
    *pooling.SUBJECTS,
    *elementwise.SUBJECTS,
    *normalization.SUBJECTS,
    *losses.SUBJECTS,
    *arrays.SUBJECTS,
    *filters.SUBJECTS,
)

_FILTER = "numbers by definition, no computation"
# Public functions that are left out, and why.
UNCHECKED = {
    **dict.fromkeys(
        (
            "box",
            "emboss",
            "gaussian",
            "laplacian",
            "prewitt",
            "roberts",
            "scharr",
            "sharpen",
            "sobel",
        ),
        _FILTER,
    ),
    "prepare_weight": "what it returns is used by the convolutions, which are checked",
    "PreparedWeight": "a class, not a function",
    "ndimage.explain": "computes nothing",
    "ndimage.factors": "lines that `correlate` and the others, which are checked, use",
    "ndimage.filter_blocks": "blocks of `correlate`, which is checked",
    "signal.explain": "computes nothing",
}
