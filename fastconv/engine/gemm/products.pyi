from collections.abc import Callable, Mapping

# A fused function: one compiled function for each of the C types "float" and "double".
input_gradient: Mapping[str, Callable[..., int]]
