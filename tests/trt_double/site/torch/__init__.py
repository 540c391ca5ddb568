"""Stands in for torch where a process is to believe that TensorRT-LLM is installed."""

from trt_double.tensors import (
    Cuda,
    Tensor,
    bfloat16,
    float16,
    float32,
    from_numpy,
    int32,
    tensor,
)

__all__ = ["Tensor", "bfloat16", "cuda", "float16", "float32", "from_numpy", "int32", "tensor"]

cuda = Cuda()
