from collections.abc import Callable, Mapping

# Fused functions: one compiled function for each of the C types "float" and "double".
cross_entropy: Mapping[str, Callable[..., bool]]
cross_entropy_backward: Mapping[str, Callable[..., bool]]
