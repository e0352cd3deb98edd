"""The one exception for a user's mistake."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Bad input: the message says what is wrong, where, and how to go on.

    Whoever runs a step prints the message alone, without a traceback; any other exception is a defect of
    this project and keeps its traceback.
    """
