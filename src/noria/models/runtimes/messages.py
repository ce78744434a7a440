"""What a model's process and the one that started it say to each other: a line of JSON each; rows lie in shared memory."""

from __future__ import annotations

import msgspec

from noria.core.signature import Signature


class Load(msgspec.Struct, tag="load"):
    """The first order. folder: of the bundle; loader: `module:function`; source: whether the bundle's own modules may be imported

    stream_parts, stream_bytes: what a streamed answer may have
    """

    folder: str
    loader: str
    source: bool
    signature: Signature
    memory_gb: float | None
    parent: int
    stream_parts: int
    stream_bytes: int


class Ask(msgspec.Struct, tag="ask"):
    """Answer the rows whose bytes are the first of the region of questions."""

    size: int


class Begin(msgspec.Struct, tag="begin"):
    """Begin to answer, in parts, the one row whose bytes are the first of the region of questions. credit: how many parts may come"""

    stream: int
    size: int
    credit: int


class Grant(msgspec.Struct, tag="grant"):
    """So many more parts of a stream may come."""

    stream: int
    parts: int


class Cancel(msgspec.Struct, tag="cancel"):
    """Nobody reads a stream any more."""

    stream: int


class ListImports(msgspec.Struct, tag="imports"):
    """Say which distributions the model has imported so far."""


class Ready(msgspec.Struct, tag="ready"):
    """The model is loaded. predicts, streams: whether it answers at once, and whether in parts; waits: whether its streams are made side by
    side, since they wait for a network"""

    predicts: bool = True
    streams: bool = False
    waits: bool = False


class Answered(msgspec.Struct, tag="answered"):
    """The answers' bytes are the first of the region of answers."""

    size: int


class Taken(msgspec.Struct, tag="taken"):
    """The row of a stream was read: the region of questions is free."""

    stream: int


class Part(msgspec.Struct, tag="part"):
    """The next part of a streamed answer."""

    stream: int
    text: str


class Refusal(msgspec.Struct, frozen=True):
    """An error that is for who asks. mistake: of who asks, so that asking another model instead is no help"""

    code: str
    what: str
    where: str
    fix: str
    status: int
    retry_after: int | None = None
    mistake: bool = False


class StreamEnded(msgspec.Struct, tag="stream_ended"):
    """A stream is over: complete, or for a reason. too_long: whether the reason is its length; refusal: where the reason is for who asks

    row: the complete answer of a model of several outputs, packed. (The region of answers is that of calls: a stream may end while the
        answers of one lie in it.)
    """

    stream: int
    reason: str | None = None
    too_long: bool = False
    row: bytes | None = None
    refusal: Refusal | None = None


class Imported(msgspec.Struct, tag="imported"):
    """Distributions and their versions."""

    requirements: dict[str, str]


class Failed(msgspec.Struct, tag="failed"):
    """It did not do what was asked. ends: whether this process is of no more use; refusal: where the reason is for who asks"""

    reason: str
    ends: bool = False
    refusal: Refusal | None = None


Order = Load | Ask | Begin | Grant | Cancel | ListImports
Reply = Ready | Answered | Taken | Part | StreamEnded | Imported | Failed
