"""A process that believes for a while that TensorRT-LLM is installed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from trt_double.directory import SITE

MODULES = ("torch", "tensorrt_llm", "tensorrt_llm.runtime")


@contextmanager
def tensorrt_llm_installed() -> Iterator[pytest.MonkeyPatch]:
    """Whatever is imported meanwhile is the stand-in; afterwards nobody else finds it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SITE)
        for name in MODULES:
            patch.delitem(sys.modules, name, raising=False)
        yield patch
        for name in MODULES:
            sys.modules.pop(name, None)
