"""What a user can be told: one clear line, a code for programs, an exit code for shells."""


class ScitqError(Exception):
    """A failure that a user is told in one line; `code` crosses the wire, `exit_code` ends a command."""

    code = "failed"
    exit_code = 1


class UsageError(ScitqError):
    """The request itself is wrong: mend the words and ask again."""

    code = "usage"
    exit_code = 2


class NotFound(ScitqError):
    """No such task, batch, worker, attempt or key."""

    code = "not_found"


class Conflict(ScitqError):
    """The thing exists, but its present state forbids what was asked."""

    code = "conflict"


class Refused(ScitqError):
    """The key is valid, its role does not allow this."""

    code = "refused"


class NoServer(ScitqError):
    """Nothing answers at the address."""

    code = "no_server"


class WrongKey(ScitqError):
    """Something answers, and does not accept the key."""

    code = "wrong_key"


class WrongVersion(ScitqError):
    """The other side speaks another protocol version."""

    code = "wrong_version"


class TooLarge(ScitqError):
    """The message is over the bound; nothing was sent or kept of it."""

    code = "too_large"


class Unavailable(ScitqError):
    """The broker cannot do this now (its disk fails, say); nothing is lost, ask again."""

    code = "unavailable"


class BadMessage(ScitqError):
    """Bytes that are no message of the protocol."""

    code = "bad_message"


_BY_CODE: dict[str, type[ScitqError]] = {
    kind.code: kind
    for kind in (
        ScitqError,
        UsageError,
        NotFound,
        Conflict,
        Refused,
        NoServer,
        WrongKey,
        WrongVersion,
        TooLarge,
        Unavailable,
        BadMessage,
    )
}


def from_code(code: str, message: str) -> ScitqError:
    """The error that an answer's `error` map stands for."""
    return _BY_CODE.get(code, ScitqError)(message)
