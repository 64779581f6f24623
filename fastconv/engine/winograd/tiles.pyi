from collections.abc import Callable, Mapping

# A fused function: one compiled function for each of the C types "float" and "double".
transformed: Mapping[str, Callable[..., None]]
