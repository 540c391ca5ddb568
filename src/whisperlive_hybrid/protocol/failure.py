"""What failed, in the four keys of an error object, for those who hear of it later."""

from dataclasses import dataclass

from whisperlive_hybrid.protocol.faults import code_of, fault_of, message_of, param_of


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something failed."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None

    @staticmethod
    def of(error: Exception) -> "Failure":
        """As the HTTP door would tell it at once; a defect of ours tells nothing."""
        return Failure(message_of(error), fault_of(error).type, param_of(error), code_of(error))
