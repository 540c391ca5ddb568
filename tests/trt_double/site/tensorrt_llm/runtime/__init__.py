"""The one class of TensorRT-LLM's runtime that is used."""

from trt_double.runner import ModelRunnerCpp

__all__ = ["ModelRunnerCpp"]
