from collections.abc import Callable, Mapping

# Fused functions: one compiled function for each of the C types "float" and "double".
halve: Mapping[str, Callable[..., None]]
halve_backward: Mapping[str, Callable[..., None]]
