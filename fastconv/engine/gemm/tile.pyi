from collections.abc import Callable, Mapping

# A fused function: one compiled function for each of the C types "float" and "double".
run_peak: Mapping[str, Callable[[float, int, int, int], int]]

def tile_shape(itemsize: int, weight_gradient: bool) -> tuple[int, int]: ...
def vector_lanes(itemsize: int) -> int: ...
