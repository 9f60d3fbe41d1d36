"""Errors that the user can fix, as opposed to our bugs."""


class UserError(ValueError):
    """A mistake the user can fix: one sentence that names the thing and the fix.

    The command line prints it as a single line and exits with code 2; libraries may catch it as ValueError.
    """
