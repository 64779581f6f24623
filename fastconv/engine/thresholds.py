"""From where on an algorithm of fewer products is the fastest: measured, not reasoned.

A table for each instruction set, written by `python benches/tune_plan.py --write` where it runs;
the gains are those of `fastconv.engine.rules`.
"""

# On which machine, and when.
MEASURED = {
    "avx512": {
        "winograd_2": "AMD EPYC, 2 threads, 2026-12-01, by hand, ten layers",
        "winograd_3": "Intel(R) Xeon(R) Processor @ 2.50GHz, 1 thread, 2026-11-22",
        "winograd_groups": "Intel(R) Xeon(R) Processor @ 2.50GHz, 1 thread, 2026-11-22",
        "winograd_5": "Intel(R) Xeon(R) Processor @ 2.50GHz, 1 thread, 2026-11-22",
        "winograd_line": "Intel(R) Xeon(R) Processor @ 2.50GHz, 1 thread, 2026-11-22",
        "winograd_rows": "Intel(R) Xeon(R) Processor @ 2.50GHz, 1 thread, 2026-11-22",
        "fft": "Intel(R) Xeon(R) Processor @ 2.50GHz, 1 thread, 2026-11-22",
    },
    "avx2": {
        "winograd_2": "AMD EPYC, 2 threads, 2026-12-01, by hand, ten layers",
        "winograd_3": "AMD EPYC, 1 thread, 2026-11-30",
        "winograd_groups": "AMD EPYC, 1 thread, 2026-11-30",
        "winograd_5": "Intel(R) Xeon(R) Processor @ 2.50GHz, 1 thread, 2026-11-22, as avx512",
        "winograd_line": "AMD EPYC, 1 thread, 2026-11-30",
        "winograd_rows": "Intel(R) Xeon(R) Processor @ 2.50GHz, 1 thread, 2026-11-22, as avx512",
        "fft": "Intel(R) Xeon(R) Processor @ 2.50GHz, 1 thread, 2026-11-22, as avx512",
    },
    "portable": {
        "winograd_2": "AMD EPYC, 2 threads, 2026-12-01, by hand, as avx512",
        "winograd_3": "Intel(R) Xeon(R) Processor @ 2.50GHz, 1 thread, 2026-11-22, as avx512",
        "winograd_groups": "Intel(R) Xeon(R) Processor @ 2.50GHz, 1 thread, 2026-11-22, as avx512",
        "winograd_5": "Intel(R) Xeon(R) Processor @ 2.50GHz, 1 thread, 2026-11-22, as avx512",
        "winograd_line": "Intel(R) Xeon(R) Processor @ 2.50GHz, 1 thread, 2026-11-22, as avx512",
        "winograd_rows": "Intel(R) Xeon(R) Processor @ 2.50GHz, 1 thread, 2026-11-22, as avx512",
        "fft": "Intel(R) Xeon(R) Processor @ 2.50GHz, 1 thread, 2026-11-22, as avx512",
    },
}

THRESHOLDS = {
    "avx512": {
        # Products saved for each number transformed, 3x3 and 4x4 kernels that move by 2.
        "winograd_2": {
            ("conv2d", "float32"): 16.0,
            ("conv2d_input", "float32"): 16.0,
            ("conv2d_weight", "float32"): 16.0,
            ("conv2d", "float64"): 20.0,
            ("conv2d_input", "float64"): 16.0,
            ("conv2d_weight", "float64"): 16.0,
        },
        # Products saved for each number transformed, 3x3 kernels.
        "winograd_3": {
            ("conv2d", "float32"): 14.7,
            ("conv2d_input", "float32"): 12.0,
            ("conv2d_weight", "float32"): 19.0,
            ("conv2d", "float64"): 12.0,
            ("conv2d_input", "float64"): 11.0,
            ("conv2d_weight", "float64"): 15.7,
        },
        # Products saved for each number transformed, 3x3 kernels in groups.
        "winograd_groups": {
            ("conv2d", "float32"): 20.8,
            ("conv2d_input", "float32"): 20.8,
            ("conv2d_weight", "float32"): 20.8,
            ("conv2d", "float64"): 22.0,
            ("conv2d_input", "float64"): 16.5,
            ("conv2d_weight", "float64"): 14.7,
        },
        # Products saved for each number transformed, 5x5 kernels.
        "winograd_5": {
            ("conv2d", "float32"): 20.9,
            ("conv2d_input", "float32"): 20.9,
            ("conv2d_weight", "float32"): 20.9,
            ("conv2d", "float64"): 15.5,
            ("conv2d_input", "float64"): 15.5,
            ("conv2d_weight", "float64"): 15.5,
        },
        # Products saved for each number transformed, kernels of one row or column.
        "winograd_line": {
            ("conv2d", "float32"): 10.7,
            ("conv2d_input", "float32"): 10.7,
            ("conv2d_weight", "float32"): 17.0,
            ("conv2d", "float64"): 10.7,
            ("conv2d_input", "float64"): 10.7,
            ("conv2d_weight", "float64"): 16.0,
        },
        # Products saved for each number transformed, tiles of rows.
        "winograd_rows": {
            ("conv2d", "float32"): 13.0,
            ("conv2d_input", "float32"): 3.78,
            ("conv2d_weight", "float32"): 35.6,
            ("conv2d", "float64"): 14.2,
            ("conv2d_input", "float64"): 3.78,
            ("conv2d_weight", "float64"): 14.2,
        },
        # Products of the formula for each number that the Fourier transforms touch.
        "fft": {
            ("conv2d", "float32"): 30.3,
            ("conv2d_input", "float32"): 30.3,
            ("conv2d_weight", "float32"): 27.1,
            ("conv2d", "float64"): 22.9,
            ("conv2d_input", "float64"): 16.2,
            ("conv2d_weight", "float64"): 11.7,
        },
    },
    "avx2": {
        # Products saved for each number transformed, 3x3 and 4x4 kernels that move by 2.
        "winograd_2": {
            ("conv2d", "float32"): 16.0,
            ("conv2d_input", "float32"): 16.0,
            ("conv2d_weight", "float32"): 16.0,
            ("conv2d", "float64"): 16.0,
            ("conv2d_input", "float64"): 16.0,
            ("conv2d_weight", "float64"): 16.0,
        },
        # Products saved for each number transformed, 3x3 kernels.
        "winograd_3": {
            ("conv2d", "float32"): 8.57,
            ("conv2d_input", "float32"): 8.57,
            ("conv2d_weight", "float32"): 9.43,
            ("conv2d", "float64"): 9.43,
            ("conv2d_input", "float64"): 5.98,
            ("conv2d_weight", "float64"): 7.13,
        },
        # Products saved for each number transformed, 3x3 kernels in groups.
        "winograd_groups": {
            ("conv2d", "float32"): 6.6,
            ("conv2d_input", "float32"): 6.6,
            ("conv2d_weight", "float32"): 11.0,
            ("conv2d", "float64"): 6.6,
            ("conv2d_input", "float64"): 6.6,
            ("conv2d_weight", "float64"): 11.0,
        },
        # Products saved for each number transformed, 5x5 kernels.
        "winograd_5": {
            ("conv2d", "float32"): 20.9,
            ("conv2d_input", "float32"): 20.9,
            ("conv2d_weight", "float32"): 20.9,
            ("conv2d", "float64"): 15.5,
            ("conv2d_input", "float64"): 15.5,
            ("conv2d_weight", "float64"): 15.5,
        },
        # Products saved for each number transformed, kernels of one row or column.
        "winograd_line": {
            ("conv2d", "float32"): 6.78,
            ("conv2d_input", "float32"): 5.46,
            ("conv2d_weight", "float32"): 5.46,
            ("conv2d", "float64"): 5.46,
            ("conv2d_input", "float64"): 4.92,
            ("conv2d_weight", "float64"): 5.46,
        },
        # Products saved for each number transformed, tiles of rows.
        "winograd_rows": {
            ("conv2d", "float32"): 13.0,
            ("conv2d_input", "float32"): 3.78,
            ("conv2d_weight", "float32"): 35.6,
            ("conv2d", "float64"): 14.2,
            ("conv2d_input", "float64"): 3.78,
            ("conv2d_weight", "float64"): 14.2,
        },
        # Products of the formula for each number that the Fourier transforms touch.
        "fft": {
            ("conv2d", "float32"): 30.3,
            ("conv2d_input", "float32"): 30.3,
            ("conv2d_weight", "float32"): 27.1,
            ("conv2d", "float64"): 22.9,
            ("conv2d_input", "float64"): 16.2,
            ("conv2d_weight", "float64"): 11.7,
        },
    },
    "portable": {
        # Products saved for each number transformed, 3x3 and 4x4 kernels that move by 2.
        "winograd_2": {
            ("conv2d", "float32"): 16.0,
            ("conv2d_input", "float32"): 16.0,
            ("conv2d_weight", "float32"): 16.0,
            ("conv2d", "float64"): 20.0,
            ("conv2d_input", "float64"): 16.0,
            ("conv2d_weight", "float64"): 16.0,
        },
        # Products saved for each number transformed, 3x3 kernels.
        "winograd_3": {
            ("conv2d", "float32"): 14.7,
            ("conv2d_input", "float32"): 12.0,
            ("conv2d_weight", "float32"): 19.0,
            ("conv2d", "float64"): 12.0,
            ("conv2d_input", "float64"): 11.0,
            ("conv2d_weight", "float64"): 15.7,
        },
        # Products saved for each number transformed, 3x3 kernels in groups.
        "winograd_groups": {
            ("conv2d", "float32"): 20.8,
            ("conv2d_input", "float32"): 20.8,
            ("conv2d_weight", "float32"): 20.8,
            ("conv2d", "float64"): 22.0,
            ("conv2d_input", "float64"): 16.5,
            ("conv2d_weight", "float64"): 14.7,
        },
        # Products saved for each number transformed, 5x5 kernels.
        "winograd_5": {
            ("conv2d", "float32"): 20.9,
            ("conv2d_input", "float32"): 20.9,
            ("conv2d_weight", "float32"): 20.9,
            ("conv2d", "float64"): 15.5,
            ("conv2d_input", "float64"): 15.5,
            ("conv2d_weight", "float64"): 15.5,
        },
        # Products saved for each number transformed, kernels of one row or column.
        "winograd_line": {
            ("conv2d", "float32"): 10.7,
            ("conv2d_input", "float32"): 10.7,
            ("conv2d_weight", "float32"): 17.0,
            ("conv2d", "float64"): 10.7,
            ("conv2d_input", "float64"): 10.7,
            ("conv2d_weight", "float64"): 16.0,
        },
        # Products saved for each number transformed, tiles of rows.
        "winograd_rows": {
            ("conv2d", "float32"): 13.0,
            ("conv2d_input", "float32"): 3.78,
            ("conv2d_weight", "float32"): 35.6,
            ("conv2d", "float64"): 14.2,
            ("conv2d_input", "float64"): 3.78,
            ("conv2d_weight", "float64"): 14.2,
        },
        # Products of the formula for each number that the Fourier transforms touch.
        "fft": {
            ("conv2d", "float32"): 30.3,
            ("conv2d_input", "float32"): 30.3,
            ("conv2d_weight", "float32"): 27.1,
            ("conv2d", "float64"): 22.9,
            ("conv2d_input", "float64"): 16.2,
            ("conv2d_weight", "float64"): 11.7,
        },
    },
}
