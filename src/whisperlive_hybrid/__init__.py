"""WhisperLive Hybrid Server: live and file transcription on one shared Whisper engine."""

__version__ = "0.2.0"
