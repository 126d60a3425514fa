"""The exceptions whose text is meant for the person at the keyboard."""


class AvceError(Exception):
    """Something the user can put right; its text is a full sentence: what is wrong, where, what to do.

    The command line prints the text alone and exits with a non-zero code; any other exception is a defect of
    this package and keeps its traceback.
    """

    exit_code = 1


class Interrupted(AvceError):  # noqa: N818 - not a fault
    """The run was asked to stop (Ctrl-C, SIGTERM) and has saved its state; exit code 128 + the signal's number."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text, exit_code)  # both, or it could not travel between processes
        self.exit_code = exit_code

    def __str__(self) -> str:
        return str(self.args[0])
