"""Stands in for TensorRT-LLM where a process is to believe that it is installed."""

__version__ = "1.2.1"
