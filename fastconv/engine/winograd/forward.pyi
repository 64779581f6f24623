from collections.abc import Callable, Mapping

# Fused functions: one compiled function for each of the C types "float" and "double".
correlate: Mapping[str, Callable[..., int]]
prepare: Mapping[str, Callable[..., int]]
