"""The batch key that the runtimes of Whisper have in common: the work that may share a call."""

from collections.abc import Hashable

from whisperlive_hybrid.backends.base import Align, DetectLanguage, Encode, Generate, Work
from whisperlive_hybrid.backends.whisper.tokens import WhisperVocabulary


def batch_key(work: Work, vocabulary: WhisperVocabulary) -> tuple[Hashable, ...]:
    """Return the kind of work, its encoder length, and for a hypothesis the options of its call.

    After the encoder, the length is the one that the decoder sees, so that windows of different
    contexts share a call if they have a silent tail. The number of tokens before the start of
    transcript is part of the key because all rows of a call begin at the same position.
    """
    match work:
        case Encode():
            return (Encode, work.context_s)
        case DetectLanguage():
            return (DetectLanguage, work.encoded.seen_s)
        case Align():
            return (Align, work.encoded.seen_s)
        case Generate():
            options = work.options
            return (
                Generate,
                work.encoded.seen_s,
                len(vocabulary.previous_text(options)),
                # Arguments of the whole call:
                work.temperature,
                options.beam_size,
                options.max_new_tokens,
            )
