"""What a calibration has shown, for people, and whether it is enough to go by."""

from rich.table import Table

from whisperlive_hybrid.calibration.trials import Calibration
from whisperlive_hybrid.calibration.verdict import FEWEST_SPEECH_S, Finding


def as_table(done: Calibration) -> Table:
    """One line per context, the shortest first.

    "from" is the shortest context of the trial, "differs" is against the text of the full one, "s
    per s" is computing for each second of audio, and "windows" were read in this very context.
    """
    table = Table("from", "windows", "differs", "errors", "read again", "s per s", "loses nothing")
    for finding in done.found:
        trial = finding.trial
        table.add_row(
            f"{trial.shortest_s:g} s",
            str(trial.in_shortest),
            f"{finding.difference:.2%}",
            "" if finding.error_rate is None else f"{finding.error_rate:.2%}",
            f"{trial.doubted} of {trial.windows}",
            f"{trial.compute_s / done.duration_s:.3f}",
            _verdict(finding, done.found[-1]),
        )
    return table


def what_is_missing(done: Calibration) -> str | None:
    """Why nothing should be concluded, if so."""
    if done.speech_s >= FEWEST_SPEECH_S:
        return None
    return (
        f"There are {done.speech_s:.0f} s of speech, and with less than {FEWEST_SPEECH_S:.0f} s a "
        f"word or two decide: give more audio, or --force."
    )


def _verdict(finding: Finding, full: Finding) -> str:
    if not finding.is_safe:
        return "no"
    return "yes" if finding.is_tried or finding is full else "not tried"
