"""The one place that turns hostile media bytes into samples, with PyAV.

Whatever arrives here may have been made to hurt: a playlist that names a file of this machine, a
session description that listens on a port, a header that turns seven kilobytes into hours. So
libav sees a binary file object and never a path or a name, it may use a short list of containers
and decoders and no protocol, and everything that comes out is counted before it grows. What was
measured, and what one process cannot prevent: docs/decisions/0003-hostile-media.md.
"""
