"""Which names of files promise audio: what is picked up in a directory.

Content decides what is read (`open_audio`); a suffix decides only what is tried unasked.
"""

from typing import Final

MEDIA_SUFFIXES: Final = frozenset(
    {
        *(
            ".aac",
            ".adts",
            ".aif",
            ".aifc",
            ".aiff",
            ".caf",
            ".flac",
            ".m4a",
            ".m4b",
            ".mka",
            ".mp2",
        ),
        *(
            ".mp3",
            ".mpa",
            ".mpga",
            ".oga",
            ".ogg",
            ".opus",
            ".spx",
            ".w64",
            ".wav",
            ".wave",
            ".wma",
        ),
        *(".3g2", ".3gp", ".asf", ".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
        *(".mts", ".ogv", ".webm", ".wmv"),
    }
)
"""Those that libav gives to the containers that are read, and a few of common use.

Not `.ts`: outside of television it is a program.
"""
