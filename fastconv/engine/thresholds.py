"""From where on an algorithm of fewer products is the fastest: measured, not reasoned.

Written by `python benches/tune_plan.py --write`; the gains are those of
`fastconv.engine.plan`. Intel(R) Xeon(R) Processor @ 2.50GHz, avx512,
1 threads, 2026-11-22.
"""

# Products saved for each number transformed, 3x3 kernels.
WINOGRAD_3 = {
    ("conv2d", "float32"): 14.7,
    ("conv2d_input", "float32"): 12.0,
    ("conv2d_weight", "float32"): 19.0,
    ("conv2d", "float64"): 12.0,
    ("conv2d_input", "float64"): 11.0,
    ("conv2d_weight", "float64"): 15.7,
}

# Products saved for each number transformed, 3x3 kernels in groups.
WINOGRAD_GROUPS = {
    ("conv2d", "float32"): 20.8,
    ("conv2d_input", "float32"): 20.8,
    ("conv2d_weight", "float32"): 20.8,
    ("conv2d", "float64"): 22.0,
    ("conv2d_input", "float64"): 16.5,
    ("conv2d_weight", "float64"): 14.7,
}

# Products saved for each number transformed, 5x5 kernels.
WINOGRAD_5 = {
    ("conv2d", "float32"): 20.9,
    ("conv2d_input", "float32"): 20.9,
    ("conv2d_weight", "float32"): 20.9,
    ("conv2d", "float64"): 15.5,
    ("conv2d_input", "float64"): 15.5,
    ("conv2d_weight", "float64"): 15.5,
}

# Products saved for each number transformed, kernels of one row or column.
WINOGRAD_LINE = {
    ("conv2d", "float32"): 10.7,
    ("conv2d_input", "float32"): 10.7,
    ("conv2d_weight", "float32"): 17.0,
    ("conv2d", "float64"): 10.7,
    ("conv2d_input", "float64"): 10.7,
    ("conv2d_weight", "float64"): 16.0,
}

# Products saved for each number transformed, tiles of rows.
WINOGRAD_ROWS = {
    ("conv2d", "float32"): 13.0,
    ("conv2d_input", "float32"): 3.78,
    ("conv2d_weight", "float32"): 35.6,
    ("conv2d", "float64"): 14.2,
    ("conv2d_input", "float64"): 3.78,
    ("conv2d_weight", "float64"): 14.2,
}

# Products of the formula for each number that the Fourier transforms touch.
FFT = {
    ("conv2d", "float32"): 30.3,
    ("conv2d_input", "float32"): 30.3,
    ("conv2d_weight", "float32"): 27.1,
    ("conv2d", "float64"): 22.9,
    ("conv2d_input", "float64"): 16.2,
    ("conv2d_weight", "float64"): 11.7,
}
