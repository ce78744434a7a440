"""The `/v1` paths over HTTP: chat completions, embeddings, reranking, search, feedback, and the list of models.

Unlike elsewhere, the endpoint is named in the body. It is asked as any other request would ask it: by the same queue, into the same log.
Errors are in OpenAI's form.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from noria.core.errors import NoriaError
from noria.models.bundle import Bundle
from noria.serving.batching.request_queue import RequestOptions
from noria.serving.batching.streamed import PartsResponder
from noria.serving.process.in_time import in_time
from noria.serving.process.rest_chat import ChatEvents, WholeChat
from noria.serving.process.terms import terms_of
from noria.serving.protocol.request import NotHere, PredictRequest, Responder
from noria.serving.protocol.v1 import chat as chats
from noria.serving.protocol.v1 import embeddings as vectors
from noria.serving.protocol.v1 import feedback as said
from noria.serving.protocol.v1 import models as listed
from noria.serving.protocol.v1 import rerank as ranking
from noria.serving.protocol.v1 import search as searching
from noria.serving.protocol.v1.errors import WhichModel
from noria.serving.transport.body import Content
from noria.serving.transport.head import Head
from noria.serving.transport.http1 import Answer
from noria.serving.transport.reply import Reply

if TYPE_CHECKING:
    from noria.serving.process.plane import DataPlane, ServedEndpoint
    from noria.serving.process.rest import Rest


def in_openais_form(answer: Answer) -> Answer:
    """The same answer; errors go to its client in OpenAI's form."""

    def told(body: Content, reply: Reply) -> None:
        reply.openai = True
        answer(body, reply)

    return told


def chat(rest: Rest, head: Head) -> Answer:
    return partial(_chat, rest.plane, terms_of(head))


def _chat(plane: DataPlane, terms: RequestOptions, body: Content, reply: Reply) -> None:
    given = chats.decoded(body)

    def go(served: ServedEndpoint) -> None:
        signature = served.batcher.decoder.signature
        asked = chats.row_of(given, signature, chats.require_chat(given.model, signature))
        if not given.stream:
            _ask(served, asked, WholeChat(reply, given.model, asked), terms, len(body))
            return
        with_usage = given.stream_options is not None and given.stream_options.include_usage
        client: PartsResponder = ChatEvents(reply, given.model, asked, with_usage=with_usage)
        if served.batcher.route.champion.streaming is not None:
            served.batcher.stream(asked.measured(len(body), served.batcher.decoder.fields), client, terms)
        else:
            _ask(served, asked, client, terms, len(body))

    _on_endpoint(plane, given.model, reply, go)


def embeddings(rest: Rest, head: Head) -> Answer:
    return partial(_embeddings, rest.plane, terms_of(head))


def _embeddings(plane: DataPlane, terms: RequestOptions, body: Content, reply: Reply) -> None:
    given = vectors.decoded(body)

    def go(served: ServedEndpoint) -> None:
        asked = vectors.rows_for(given, given.model, served.batcher.decoder.signature)
        made = partial(_vectors, given)
        _ask(served, asked, Whole(reply, made), terms, len(body))

    _on_endpoint(plane, given.model, reply, go)


def _vectors(given: vectors.EmbeddingsRequest, bundle: Bundle, predictions: list[Any], ids: list[str]) -> bytes:
    return vectors.answer(given.model, bundle, predictions, ids, given.encoding_format)


def rerank(rest: Rest, head: Head) -> Answer:
    return partial(_rerank, rest.plane, terms_of(head))


def _rerank(plane: DataPlane, terms: RequestOptions, body: Content, reply: Reply) -> None:
    given = ranking.decoded(body)

    def go(served: ServedEndpoint) -> None:
        asked = ranking.rows_for(given, given.model, served.batcher.decoder.signature)
        _ask(served, asked, Whole(reply, partial(ranking.answer, given)), terms, len(body))

    _on_endpoint(plane, given.model, reply, go)


def search(rest: Rest, head: Head) -> Answer:
    return partial(_search, rest.plane, terms_of(head))


def _search(plane: DataPlane, terms: RequestOptions, body: Content, reply: Reply) -> None:
    given = searching.decoded(body)
    name = given.model or _only(plane)

    def go(served: ServedEndpoint) -> None:
        asked = searching.row_of(given, name, served.batcher.decoder.signature)
        _ask(served, asked, Whole(reply, partial(_found, name, given.count)), terms, len(body))

    _on_endpoint(plane, name, reply, go)


def _found(name: str, count: int | None, bundle: Bundle, predictions: list[Any], ids: list[str]) -> bytes:
    return searching.answer(name, bundle, predictions[0], ids[0], count)


def _only(plane: DataPlane) -> str:
    """The one endpoint that can be searched. Raises `WhichModel`."""
    signatures = plane.signatures
    names = [name for name in plane.names if name not in signatures or searching.searches(signatures[name])]
    if len(names) != 1:
        raise WhichModel(names or plane.names)
    return names[0]


def feedback(rest: Rest, head: Head) -> Answer:  # noqa: ARG001
    return partial(_feedback, rest.plane)


def _feedback(plane: DataPlane, body: Content, reply: Reply) -> None:
    given = said.decoded(body)

    def stored(found: dict[str, Any] | NoriaError) -> None:
        if isinstance(found, NoriaError):
            reply.fail(found)
        else:
            reply.send(200, listed.encoded(found))

    plane.take_feedback(given, stored)


def feedback_example(served: ServedEndpoint) -> bytes:
    """Feedback on the newest answer of an endpoint. Raises `NotHere` before there is one."""
    newest = served.batcher.recorder.newest_id
    if newest is None:
        raise NotHere(what="there is no answer yet to give feedback on", where="the path", fix="ask the endpoint first")
    return listed.encoded({"prediction_id": newest, "helpful": True})


def list_models(rest: Rest, head: Head) -> Answer:  # noqa: ARG001
    return lambda _, reply: reply.send(200, listed.models({name: _learned(rest.plane, name) for name in rest.plane.names}))


def one_model(rest: Rest, head: Head, model: str) -> Answer:  # noqa: ARG001
    if not rest.plane.unloaded(model):
        rest.plane.find(model)
    return lambda _, reply: reply.send(200, listed.encoded(listed.model(model, _learned(rest.plane, model))))


def _learned(plane: DataPlane, name: str) -> int:
    """Up to when an endpoint's champion has learned, in seconds since 1970-01-01 UTC; 0 while its models are closed."""
    if plane.unloaded(name):
        return 0
    return int(plane.find(name).batcher.route.champion.bundle.manifest.lineage.as_of.timestamp())


# --- asking an endpoint that the body names --------------------------------------------------------------------------------


def _on_endpoint(plane: DataPlane, name: str, reply: Reply, go: Callable[[ServedEndpoint], None]) -> None:
    """Do it with the endpoint of that name, once it is loaded. Raises `NotHere`, and what `go` raises."""
    if not plane.unloaded(name):
        go(plane.find(name))
        return

    def loaded(error: NoriaError | None) -> None:
        try:
            if error is not None:
                raise error
            go(plane.find(name))
        except NoriaError as refusal:
            reply.fail(refusal)

    plane.load(name, loaded)


def _ask(served: ServedEndpoint, asked: PredictRequest, client: Responder, terms: RequestOptions, size: int) -> None:
    batcher = served.batcher
    batcher.require_room(terms.priority)
    batcher.ask(asked.measured(size, batcher.decoder.fields), in_time(client, terms), terms)


class Whole:
    """Gets answers and sends what `made` makes of them."""

    def __init__(self, reply: Reply, made: Callable[[Bundle, list[Any], list[str]], bytes]) -> None:
        self._reply, self._made, self.fail, self.gone = reply, made, reply.fail, reply.gone

    def answered(self, bundle: Bundle, predictions: list[Any], ids: list[str], fallback: str | None) -> None:  # noqa: ARG002
        self._reply.send(200, self._made(bundle, predictions, ids))
