"""Server-sent events from bytes, cut anywhere (WHATWG HTML, 9.2.6; only `data` is of use here)."""


class EventParser:
    """Bytes in, the data of complete events out."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, received: bytes) -> list[str]:
        """The data of the events that `received` completes.

        Lines end at LF or CR LF; a JSON text may hold other characters that Python calls ends.
        """
        *lines, self._rest = (self._rest + received).split(b"\n")
        ended = (self._line(line.removesuffix(b"\r")) for line in lines)
        return [event.decode("utf-8", "replace") for event in ended if event is not None]

    def _line(self, line: bytes) -> bytes | None:
        """Take in a line; the data of an event if it ends one."""
        if not line:
            data, self._data = self._data, []
            return b"\n".join(data) if data else None
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        return None
