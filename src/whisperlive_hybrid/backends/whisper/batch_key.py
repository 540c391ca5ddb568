"""Which work may share a call of a model, as the runtimes of Whisper have it in common."""

from collections.abc import Hashable

from whisperlive_hybrid.backends.base import Align, DetectLanguage, Encode, Generate, Work
from whisperlive_hybrid.backends.whisper.tokens import WhisperVocabulary


def batch_key(work: Work, vocabulary: WhisperVocabulary) -> tuple[Hashable, ...]:
    """The kind of work, its encoder length, and for a hypothesis all that holds for a whole call.

    Behind the encoder it is the length that the decoder sees: with a silent tail behind them,
    windows of different contexts share a call.

    Equal lengths of what stands before the start of transcript are among that: rows of one call
    begin at the same place.
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
                work.temperature,
                options.beam_size,
                options.max_new_tokens,
            )
