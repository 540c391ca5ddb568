"""Speak sentences of the demo model's grammar: `PYTHONPATH=tools python -m demo_speech`."""

import argparse
from pathlib import Path

from demo_speech.synthesis import make_clips


def main() -> None:
    """Write FLAC files and a manifest for the benchmark; needs espeak-ng."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--count", type=int, default=20, help="clips in each language")
    parser.add_argument("--languages", default="en,de,es", help="some of en, de, es")
    parser.add_argument("--seed", type=int, default=0, help="random seed of sentences and voices")
    given = parser.parse_args()
    languages = [language.strip() for language in given.languages.split(",")]
    made = make_clips(given.out, given.count, languages, given.seed)
    print(f"{len(made)} clips in {given.out}")


if __name__ == "__main__":
    main()
