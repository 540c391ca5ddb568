"""Decoding of untrusted media files to samples, with PyAV.

A file may be an attack: a playlist that names a file of this machine, a session description that
listens on a port, a header that turns seven kilobytes into hours. So libav gets a file object and
never a path or a name, may use a short list of containers and decoders and no protocol, and its
output is counted before it grows. Measurements, and attacks that one process cannot prevent:
docs/decisions/0003-hostile-media.md.
"""
