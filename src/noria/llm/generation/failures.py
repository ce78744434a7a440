"""Why there is no answer. Each error says who did not answer, and whether asking again, or somebody else, makes sense."""

from __future__ import annotations

from collections.abc import Sequence

from noria.core.errors import NoriaError, OutsideWorld, UserMistake


class NoAnswer(NoriaError):
    """The family of these errors.

    provider: who was asked; partial: what of the answer was handed out before; again: whether the same request may succeed at the same
    provider; wait: seconds that it asked to be left alone (None: it did not say); of_request: others may well be answered;
    attempts: that were made
    """

    http_status = 502
    provider = ""
    partial = ""
    again = False
    wait: float | None = None
    of_request = False
    attempts = 1

    def __init__(self, *, what: str, where: str, fix: str, provider: str = "", partial: str = "") -> None:
        self.provider, self.partial = provider, partial
        super().__init__(what=what, where=where, fix=fix)

    @property
    def for_asker(self) -> dict[str, str]:
        """The words for who asks an application: they name no machine and no key."""
        fix = "ask again later" if self.again else "tell who runs this application: its log says what is wrong"
        return {"what": "no answer could be written", "where": "the model that this application asks", "fix": fix}


class BadKey(NoAnswer, UserMistake):
    """A provider refuses the key, or there is none."""

    code = "NR-831"

    def __init__(self, provider: str, key_env: str | None, reason: str, *, given: bool) -> None:
        what = f"the key in {key_env} is refused" if given else f"a key is asked for, and {key_env} is not set"
        fix = f"set {key_env} to a key that this server accepts and that may use the model"
        if key_env is None:
            what = "a secret header is refused" if given else "a key is asked for, and key_env=None says that there is none"
            fix = "name the environment's variable that has the key, as key_env"
        super().__init__(what=f"{what}: {reason}" if reason else what, where=provider, fix=fix, provider=provider)


class NoSuchModel(NoAnswer, UserMistake):
    """A server does not have the model, or there is no such server."""

    code = "NR-832"

    def __init__(self, provider: str, model: str, reason: str) -> None:
        fix = "ask the server for its models at /v1/models, and see that base_url ends with what stands before /chat/completions"
        super().__init__(what=f"there is no model {model!r}: {reason}", where=provider, fix=fix, provider=provider)


class ContextTooLong(NoAnswer, UserMistake):
    """The messages have more tokens than the model reads."""

    code = "NR-833"
    of_request = True

    def __init__(self, provider: str, reason: str) -> None:
        fix = "give fewer or shorter chunks, ask for fewer tokens, or take a model that reads more"
        super().__init__(what=f"the messages are too long for the model: {reason}", where=provider, fix=fix, provider=provider)


class BadRequest(NoAnswer, UserMistake):
    """A request can't be sent as it is, or is refused for another reason than its key, its model or its length."""

    code = "NR-834"
    of_request = True

    def __init__(self, provider: str, reason: str, fix: str = "see what the server says about it, and change the request") -> None:
        super().__init__(what=f"the request is not accepted: {reason}", where=provider, fix=fix, provider=provider)


class TooManyRequests(NoAnswer, OutsideWorld):
    """A provider limits how often or how much it is asked, and the limit is reached."""

    code = "NR-835"
    http_status = 429

    def __init__(self, provider: str, reason: str, wait: float | None = None, *, for_good: bool = False) -> None:
        self.wait, self.again = wait, not for_good
        self.retry_after = None if wait is None else max(1, round(wait))
        fix = "raise the account's quota" if for_good else "ask less often, or raise the limit"
        super().__init__(what=f"the provider's limit is reached: {reason}", where=provider, fix=fix, provider=provider)

    @property
    def for_asker(self) -> dict[str, str]:
        return super().for_asker | {"what": "the model is asked more often than it may be"}


class NotAnswered(NoAnswer, OutsideWorld):
    """A provider can't be reached, fails, or breaks off."""

    code = "NR-836"
    http_status = 503
    again = True

    def __init__(self, provider: str, reason: str, *, partial: str = "", wait: float | None = None) -> None:
        self.wait = wait
        self.retry_after = None if wait is None else max(1, round(wait))
        what = f"the answer broke off after {len(partial)} characters: {reason}" if partial else f"there is no answer: {reason}"
        super().__init__(what=what, where=provider, fix="see that the server runs and can be reached", provider=provider, partial=partial)


class AnswerTimedOut(NoAnswer, OutsideWorld):
    """An answer takes longer than it may. limit: which time-out it was; seconds: how long that is"""

    code = "NR-837"
    http_status = 504
    again = True

    def __init__(self, provider: str, limit: str, seconds: float, *, partial: str = "") -> None:
        self.limit, self.seconds = limit, seconds
        what = f"the answer is late: {limit} took longer than {seconds:g} s"
        fix = "allow more time, ask for fewer tokens, or see what keeps the server busy"
        super().__init__(what=what, where=provider, fix=fix, provider=provider, partial=partial)


class BadAnswer(NoAnswer, OutsideWorld):
    """What came back is no answer: not the protocol, too long, or not what its JSON Schema asks."""

    code = "NR-838"
    http_status = 502

    def __init__(self, provider: str, reason: str, *, partial: str = "", of_request: bool = False) -> None:
        self.of_request = of_request
        fix = (
            "look at what the server sends; a model that writes no JSON needs a simpler schema" if of_request else "see what answers there"
        )
        super().__init__(what=f"the answer can't be used: {reason}", where=provider, fix=fix, provider=provider, partial=partial)


class OverBudget(NoAnswer, UserMistake):
    """An answer may cost more than is left of a day's budget. Nothing was asked."""

    code = "NR-839"
    http_status = 429
    of_request = True
    for_asker: dict[str, str] = {}  # noqa: RUF012 - never changed; its own words

    def __init__(self, who: str, needed: str, left: str, day: str, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(
            what=f"the budget of {who} for {day} is spent: the answer may take {needed}, and {left} is left",
            where="nothing was asked of the model",
            fix="raise the limit, ask for fewer tokens, or wait for the next day (UTC)",
        )


def none_answered(failures: Sequence[NoAnswer]) -> NoAnswer:
    """One error for providers of which none answered: the error itself where it is one."""
    if len(failures) == 1:
        return failures[0]
    reasons = "; ".join(f"{failure.where}: {failure.what}" for failure in failures)
    waits = [failure.wait for failure in failures if failure.wait is not None]
    return NotAnswered("all providers", reasons, wait=min(waits) if waits else None)
