"""The suffixes of files that are transcribed when a directory is given.

A file that is given by name may have any suffix: `open_audio` detects the format from the content.
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
"""libav's suffixes for the accepted containers, and some of common use.

Not `.ts`, which is also the suffix of TypeScript.
"""
