"""The few tensors of torch that the TensorRT backend asks for, over numpy, and strict about them.

Names, arguments and results are torch's (2.9, which TensorRT-LLM 1.2 brings). A tensor knows on
which device it lies and, if TensorRT-LLM has lent it, in which CUDA stream it must be used: used
outside of it, a real one would hold anything.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Number = float
"""By another name, since a tensor has a method of that."""

Place = int | slice | list[int] | tuple[int, ...]


@dataclass(frozen=True)
class Dtype:
    """A type of number; numpy has no bfloat16, nor is one needed."""

    name: str


float16: Final = Dtype("float16")
bfloat16: Final = Dtype("bfloat16")
float32: Final = Dtype("float32")
int32: Final = Dtype("int32")


@dataclass(frozen=True)
class Stream:
    """A CUDA stream of somebody else's, by its address."""

    address: int


class Cuda:
    """The module torch.cuda on a machine with one GPU."""

    current: int = 0
    """Address of the stream in which work is queued; 0 is the usual one."""
    ExternalStream = Stream

    @staticmethod
    def is_available() -> bool:
        """There is a GPU."""
        return True

    @staticmethod
    def get_device_capability() -> tuple[int, int]:
        """That of an L4."""
        return 8, 9

    @staticmethod
    def get_device_name() -> str:
        """A name of nobody's."""
        return "NVIDIA Stand-in"

    @staticmethod
    @contextmanager
    def stream(external: Stream) -> Iterator[None]:
        """Queue work in another stream meanwhile."""
        before, Cuda.current = Cuda.current, external.address
        try:
            yield
        finally:
            Cuda.current = before


class Tensor:
    """An array somewhere."""

    def __init__(self, array: Array, device: str = "cpu", stream: int | None = None) -> None:
        self._array = array
        self.device = device
        self._stream = stream

    @property
    def array(self) -> Array:
        """What lies in it, to be read where torch would read it."""
        if self._stream is not None and Cuda.current != self._stream:
            raise RuntimeError("a tensor of TensorRT-LLM was used outside of its stream")
        return self._array

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self._array.shape

    @property
    def dtype(self) -> Dtype:
        """Of the array."""
        return Dtype(str(self._array.dtype))

    def size(self, axis: int) -> int:
        """The length of an axis."""
        return int(self._array.shape[axis])

    def __getitem__(self, place: Place) -> "Tensor":
        """A view, or a copy for a list of indices, as numpy's."""
        return Tensor(np.asarray(self.array[place]), self.device, self._stream)

    def __setitem__(self, place: Place, value: float) -> None:
        """Fill."""
        self.array[place] = value

    def __add__(self, other: "Tensor | float") -> "Tensor":
        """Elementwise."""
        return self._new(self.array + (other.array if isinstance(other, Tensor) else other))

    __radd__ = __add__

    def __gt__(self, other: "Tensor") -> "Tensor":
        """Elementwise."""
        return self._new(self.array > other.array)

    def __float__(self) -> float:
        """The only number."""
        return float(self.array)

    def to(self, dtype: Dtype) -> "Tensor":
        """The same in another type of number."""
        return Tensor(self.array.astype(dtype.name), self.device)

    def float(self) -> "Tensor":
        """In single precision; the very same if it is that already."""
        if self._array.dtype == np.float32:
            return self
        return self._new(self.array.astype(np.float32))

    def cuda(self) -> "Tensor":
        """On the GPU."""
        return Tensor(self.array.copy(), "cuda")

    def cpu(self) -> "Tensor":
        """In the memory of the host."""
        return Tensor(self.array.copy())

    def view(self, length: int) -> "Tensor":
        """The same memory in another shape."""
        return Tensor(self.array.reshape(length, copy=False), self.device, self._stream)

    def contiguous(self) -> Self:
        """The same; whoever wants it so will look."""
        return self

    def numpy(self) -> Array:
        """The array, of a tensor on the host only."""
        if self.device != "cpu":
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        return self.array

    def tolist(self) -> Any:  # noqa: ANN401 (lists of lists of numbers)
        """Plain numbers; waits for the GPU."""
        return self.array.tolist()

    def max(self) -> "Tensor":
        """The largest number."""
        return self._new(np.asarray(self.array.max()))

    def softmax(self, dim: int) -> "Tensor":
        """Probabilities."""
        weights = np.exp(self.array - self.array.max(axis=dim, keepdims=True))
        return self._new(weights / weights.sum(axis=dim, keepdims=True))

    def log_softmax(self, dim: int) -> "Tensor":
        """Log probabilities."""
        less = self.array - self.array.max(axis=dim, keepdims=True)
        return self._new(less - np.log(np.exp(less).sum(axis=dim, keepdims=True)))

    def logsumexp(self, dim: int) -> "Tensor":
        """Of one axis; -inf if there is nothing else."""
        highest = self.array.max(axis=dim)
        if highest == -np.inf:
            return self._new(np.asarray(highest))
        return self._new(np.asarray(highest + np.log(np.exp(self.array - highest).sum(axis=dim))))

    def masked_fill_(self, mask: "Tensor", value: Number) -> Self:
        """Fill where the mask is true."""
        self.array[np.broadcast_to(mask.array, self.shape)] = value
        return self

    def index_fill_(self, dim: int, index: "Tensor", value: Number) -> Self:
        """Fill some places of the only axis."""
        if dim != 0 or index.device != self.device:
            raise RuntimeError("index_fill_ wants its index on the same device")
        self.array[index.array] = value
        return self

    def copy_(self, source: "Tensor") -> Self:
        """Take over the numbers, in one's own type."""
        self.array[:] = source.array
        return self

    def _new(self, array: Array) -> "Tensor":
        return Tensor(array, self.device)


def from_numpy(array: Array) -> Tensor:
    """The same memory; torch takes no strides below zero."""
    if not array.flags.c_contiguous:
        raise ValueError("the stand-in wants contiguous arrays")
    return Tensor(array)


def tensor(values: Sequence[float], dtype: Dtype | None = None, device: str = "cpu") -> Tensor:
    """A new one; whole numbers are 64 bits wide unless said."""
    return Tensor(np.array(values, dtype.name if dtype else None), device)
