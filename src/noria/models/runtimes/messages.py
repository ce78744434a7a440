"""What a model's process and the one that started it say to each other: a line of JSON each; rows lie in shared memory."""

from __future__ import annotations

import msgspec

from noria.core.signature import Signature


class Load(msgspec.Struct, tag="load"):
    """The first order. folder: of the bundle; loader: `module:function`; source: whether the bundle's own modules may be imported"""

    folder: str
    loader: str
    source: bool
    signature: Signature
    memory_gb: float | None
    parent: int


class Ask(msgspec.Struct, tag="ask"):
    """Answer the rows whose bytes are the first of the region of questions."""

    size: int


class ListImports(msgspec.Struct, tag="imports"):
    """Say which distributions the model has imported so far."""


class Ready(msgspec.Struct, tag="ready"):
    """The model is loaded."""


class Answered(msgspec.Struct, tag="answered"):
    """The answers' bytes are the first of the region of answers."""

    size: int


class Imported(msgspec.Struct, tag="imported"):
    """Distributions and their versions."""

    requirements: dict[str, str]


class Failed(msgspec.Struct, tag="failed"):
    """It did not do what was asked. ends: whether this process is of no more use"""

    reason: str
    ends: bool = False


Order = Load | Ask | ListImports
Reply = Ready | Answered | Imported | Failed
