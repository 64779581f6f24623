from collections.abc import Callable, Mapping

# Fused functions: one compiled function for each of the C types "float" and "double".
relu: Mapping[str, Callable[..., None]]
relu_backward: Mapping[str, Callable[..., None]]
sigmoid: Mapping[str, Callable[..., None]]
sigmoid_backward: Mapping[str, Callable[..., None]]
tanh: Mapping[str, Callable[..., None]]
tanh_backward: Mapping[str, Callable[..., None]]
