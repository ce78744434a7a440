"""What is said of a model file that can't be served."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from noria.core.errors import UserMistake, nearest

SHOWN = 8


class NotAModel(UserMistake):
    """A path holds nothing that can be read as a model."""

    code = "NR-570"

    def __init__(self, path: Path | str, reason: str, fix: str) -> None:
        self.path = path
        super().__init__(what=f"{path} is not a model that can be served", where=reason, fix=fix)


class BrokenModelFile(UserMistake):
    """A model file is damaged, or is not what its name says."""

    code = "NR-571"

    def __init__(self, path: Path | str, kind: str, reason: str, fix: str) -> None:
        self.path, self.kind = path, kind
        super().__init__(what=f"{path} can't be read as {kind}", where=_first_line(reason), fix=fix)


class NotSaid(UserMistake):
    """A model file does not say something that serving needs."""

    code = "NR-572"

    def __init__(self, path: Path | str, what: str, why: str, fix: str) -> None:
        self.path = path
        super().__init__(what=f"{path} does not say {what}", where=_first_line(why), fix=fix)


class CarriesCode(UserMistake):
    """Loading a model file would run code that it carries."""

    code = "NR-573"

    def __init__(self, path: Path | str, why: str, fix: str = "if you know who made it, add --trust") -> None:
        self.path = path
        super().__init__(what=f"{path} runs code when it is loaded", where=why, fix=fix)


class BadSample(UserMistake):
    """The sample rows are not rows of the model's inputs."""

    code = "NR-574"

    def __init__(self, path: Path | str, reason: str, fix: str) -> None:
        self.path = path
        super().__init__(what=f"the sample {path} does not fit the model", where=_first_line(reason), fix=fix)

    @staticmethod
    def lacking(path: Path | str, missing: Sequence[str], there: Sequence[str]) -> BadSample:
        """Of a sample without some of the columns that the model reads."""
        named = ", ".join(f"{name!r}{nearest(name, there)}" for name in missing[:SHOWN])
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        return BadSample(path, f"it has no column {named}{more}; it has {', '.join(there[:SHOWN])}", "give a sample with every input")


class CannotServe(UserMistake):
    """A model is sound, and has a form that can't be served."""

    code = "NR-575"

    def __init__(self, path: Path | str, reason: str, fix: str) -> None:
        self.path = path
        super().__init__(what=f"{path} can't be served as it is", where=_first_line(reason), fix=fix)


class WrongTask(UserMistake):
    """`--task` or `--classes` do not fit a model."""

    code = "NR-576"

    def __init__(self, given: str, reason: str, fix: str) -> None:
        super().__init__(what=f"{given} does not fit this model", where=_first_line(reason), fix=fix)


def _first_line(reason: str) -> str:
    return reason.strip().splitlines()[0][:500] if reason.strip() else "no reason was given"
