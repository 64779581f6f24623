from collections.abc import Callable, Mapping

# Fused functions: one compiled function for each of the C types "float" and "double".
correlate_weight: Mapping[str, Callable[..., int]]
