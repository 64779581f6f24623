"""Large kernels by Fourier transforms: blocks (how the output is cut), transforms (the rest)."""
