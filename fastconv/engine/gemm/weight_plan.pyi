from fastconv._geometry import Ints

def gathered_positions(
    shapes: tuple[Ints, ...], itemsize: int, stride: Ints, before: Ints, dilation: Ints
) -> int: ...
