"""The one exception that the command line shows without a traceback."""


class LocalError(Exception):
    """Something that the user can mend; its text says how."""
