from collections.abc import Callable, Mapping

# Fused function: one compiled function for each of the C types "float" and "double".
sum_maps: Mapping[str, Callable[..., None]]
