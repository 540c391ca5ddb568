"""The two ways of transcribing a batch: here, or through the jobs of a server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from whisperlive_hybrid.backends.registry import load_backend
from whisperlive_hybrid.batch.formats import Wish
from whisperlive_hybrid.batch.interruption import run_terminable
from whisperlive_hybrid.batch.jobs_client import Patience, open_client
from whisperlive_hybrid.batch.local import transcribe_here
from whisperlive_hybrid.batch.outcome import OnOutcome, OnProgress
from whisperlive_hybrid.batch.plan import Item
from whisperlive_hybrid.batch.remote import JobMemory, RemoteBatch, job_fields
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.protocol.openai.cue_fields import cue_params
from whisperlive_hybrid.terminal import pull_screen


class Run(Protocol):
    """A way that is ready to go."""

    def __call__(
        self, items: Sequence[Item], memory: JobMemory, progress: OnProgress, outcome: OnOutcome
    ) -> None:
        """Have all `items` read; blocks."""


class Way(Protocol):
    """How recordings are read."""

    @property
    def takes_urls(self) -> bool:
        """Whether recordings may lie elsewhere."""

    def made_with(self) -> Mapping[str, object]:
        """What the text depends on, besides the recording and the wish; JSON can hold it."""

    def ready(self, wish: Wish) -> Run:
        """Load what it takes."""


@dataclass(frozen=True, slots=True)
class Here:
    """With a model in this process."""

    settings: Settings
    takes_urls: bool = False

    def made_with(self) -> Mapping[str, object]:
        """The model, and how it is run."""
        settings = self.settings
        return {
            "model": settings.model,
            "model_card": str(settings.model_card) if settings.model_card else None,
            "backend": settings.backend,
            "device": settings.device,
            "compute_type": settings.compute_type,
        }

    def ready(self, wish: Wish) -> Run:
        """Load the model; raises `ModelUnavailable`, and `Unsupported` for such a wish."""
        with pull_screen() as on_progress:
            backend = load_backend(self.settings, on_progress=on_progress)

        def run(
            items: Sequence[Item], memory: JobMemory, progress: OnProgress, outcome: OnOutcome
        ) -> None:
            del memory  # a recording that was interrupted begins anew
            run_terminable(transcribe_here, backend, self.settings, items, wish, progress, outcome)

        return run


@dataclass(frozen=True, slots=True)
class There:
    """Through /v1/jobs of a server."""

    url: str
    model: str | None
    """One of the server's; None for its own choice."""
    api_key: str | None
    keeps_jobs: bool
    takes_urls: bool = True

    def made_with(self) -> Mapping[str, object]:
        """The server, which may have a model of its own choice, and the model it was told."""
        return {"server": self.url, "model": self.model}

    def ready(self, wish: Wish) -> Run:
        """Nothing to load."""

        async def run_there(
            items: Sequence[Item], memory: JobMemory, progress: OnProgress, outcome: OnOutcome
        ) -> None:
            fields = job_fields(wish, self.model)
            async with open_client(self.url, self.api_key, Patience()) as client:
                batch = RemoteBatch(client, fields, wish, memory, keeps_jobs=self.keeps_jobs)
                await batch.run(items, progress, outcome)

        def run(
            items: Sequence[Item], memory: JobMemory, progress: OnProgress, outcome: OnOutcome
        ) -> None:
            run_terminable(run_there, items, memory, progress, outcome)

        return run


def made_by(way: Way, wish: Wish) -> Mapping[str, object]:
    """Everything that a text depends on, besides the recording."""
    options = wish.options
    return {
        **way.made_with(),
        "language": options.language,
        "task": options.task.value,
        "words": options.words,
        "prompt": options.prompt,
        "hotwords": options.hotwords,
        "beam_size": options.beam_size,
        # Left out where none is chosen, so that what earlier versions wrote still counts as done.
        **({} if wish.audio_track is None else {"audio_track": wish.audio_track}),
        **(
            {}
            if options.switch_threshold is None
            else {"language_detection_threshold": options.switch_threshold}
        ),
        **cue_params(wish.cue_style),  # absent where none is given, as in older manifests
    }
