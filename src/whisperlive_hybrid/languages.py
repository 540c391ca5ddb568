"""Whisper's languages: the codes its tokens carry and their English names.

The names are those that the OpenAI API writes into `verbose_json` ("english", not "en").
"""

from typing import Final

_TABLE: Final = """
af afrikaans|am amharic|ar arabic|as assamese|az azerbaijani|ba bashkir|be belarusian|bg bulgarian
bn bengali|bo tibetan|br breton|bs bosnian|ca catalan|cs czech|cy welsh|da danish|de german|el greek
en english|es spanish|et estonian|eu basque|fa persian|fi finnish|fo faroese|fr french|gl galician
gu gujarati|ha hausa|haw hawaiian|he hebrew|hi hindi|hr croatian|ht haitian creole|hu hungarian
hy armenian|id indonesian|is icelandic|it italian|ja japanese|jw javanese|ka georgian|kk kazakh
km khmer|kn kannada|ko korean|la latin|lb luxembourgish|ln lingala|lo lao|lt lithuanian|lv latvian
mg malagasy|mi maori|mk macedonian|ml malayalam|mn mongolian|mr marathi|ms malay|mt maltese
my myanmar|ne nepali|nl dutch|nn nynorsk|no norwegian|oc occitan|pa punjabi|pl polish|ps pashto
pt portuguese|ro romanian|ru russian|sa sanskrit|sd sindhi|si sinhala|sk slovak|sl slovenian
sn shona|so somali|sq albanian|sr serbian|su sundanese|sv swedish|sw swahili|ta tamil|te telugu
tg tajik|th thai|tk turkmen|tl tagalog|tr turkish|tt tatar|uk ukrainian|ur urdu|uz uzbek
vi vietnamese|yi yiddish|yo yoruba|yue cantonese|zh chinese
"""

LANGUAGES: Final[dict[str, str]] = {
    code: name
    for entry in _TABLE.strip().replace("\n", "|").split("|")
    for code, name in [entry.split(" ", 1)]
}
"""100 codes, each with its lower-case English name."""

AUTO: Final = "auto"
"""The value for language detection in whisper.cpp, WhisperLiveKit and wyoming-faster-whisper."""

_BY_NAME: Final = {name: code for code, name in LANGUAGES.items()}


def language_code(written: str) -> str | None:
    """Return the code of a language: of a code in any case, with a region ("en-US"), or of a name.

    Return None for an unknown language.
    """
    plain = written.strip().lower()
    base = plain.replace("_", "-").split("-", 1)[0]  # Whisper's codes have no regions
    if plain in LANGUAGES:
        return plain
    return _BY_NAME.get(plain) or (base if base in LANGUAGES else None)


def is_auto_language(written: str) -> bool:
    """Return True if a language field requests detection: `AUTO`, or empty."""
    return written.strip().lower() in ("", AUTO)


def language_name(code: str) -> str:
    """Return the English name of a code, or the code itself if it is not in the table."""
    return LANGUAGES.get(code, code)
