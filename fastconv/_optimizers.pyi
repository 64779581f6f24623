from collections.abc import Callable, Mapping

# Fused functions: one compiled function for each of the C types "float" and "double".
adam: Mapping[str, Callable[..., None]]
sgd: Mapping[str, Callable[..., None]]
