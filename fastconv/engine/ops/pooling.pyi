from collections.abc import Callable, Mapping

# Fused functions: one compiled function for each of the C types "float" and "double".
max_pool: Mapping[str, Callable[..., None]]
max_pool_backward: Mapping[str, Callable[..., bool]]
mean_pool: Mapping[str, Callable[..., None]]
mean_pool_backward: Mapping[str, Callable[..., None]]
