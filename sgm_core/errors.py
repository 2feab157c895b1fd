"""The errors that a person may see."""


class SGMError(Exception):
    """What is wrong, where, and what to do, in one line.

    The command line prints the message and exits with 2; a page shows it in place of its content.
    """


class InputError(SGMError):
    """A file, a column or a value that cannot be used as it is."""


class NotFoundError(SGMError):
    """A dataset, run, resource or table that does not exist (yet)."""


class TrainingError(SGMError):
    """A training that can't go on: a loss or a weight is not a finite number."""


class Cancelled(BaseException):
    """The user asked for the work to stop.

    It is no `Exception`, as `KeyboardInterrupt` is none, so that no ``except Exception`` around a piece of
    work can swallow it.
    """


class Stopped(Cancelled):
    """The system asked the process to end (SIGTERM), and the user did not."""


class Paused(Cancelled):
    """The user asked for the work to stop and to go on later."""
