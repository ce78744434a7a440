"""Many clients of an application whose generator is a server of models: python -m benchmarks.llm.waiting

The server of models takes a second for an answer (20 tokens, one each 50 ms), and computes nothing. One client, then 32 at once, by
OpenAI's own client; beside what many write by hand (FastAPI and OpenAI's asynchronous client), which neither searches nor logs. Then one
answer hangs while the others are made. All processes share two cores.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from openai import APIError, AsyncOpenAI

from benchmarks.figure import Figure, Proof
from benchmarks.serving.model import LINEAGE
from benchmarks.serving.prove import ours, running
from noria import llm
from noria.core.files import LocalFiles
from noria.core.signature import Signature
from noria.data.table import Table
from noria.evaluation.generation import INPUTS, OUTPUTS, Generation
from noria.llm.application.application import Application
from noria.llm.application.opening import INDEX, SETTINGS, opened, opening
from noria.llm.documents import Document
from noria.llm.index import build
from noria.models.bundle import CARD_FILE, PROFILE_FILE, SAMPLE_FILE, Bundle, Manifest, write_bundle
from noria.models.runtimes.python_spec import FILES_FOLDER, PYTHON_FILE, PythonSpec, this_python

CORES = "0,1"  # of all of them
CLIENTS, ROUNDS, TOKENS = 32, 5, 20
QUESTION = "What is the form for holidays?"


def prove() -> Proof:
    with tempfile.TemporaryDirectory() as scratch, started("waiting_upstream") as models:
        bundle = application_bundle(Path(scratch) / "bundles", url(models))
        with ours(Path(scratch), bundle.path, cores=CORES) as server, started("waiting_peer", url(models)) as other:
            own, peer = url(server), url(other)
            asyncio.run(measured(own, 1))  # what is loaded late
            asyncio.run(measured(peer, 1))
            one, all_, by_peer = [], [], []
            for _ in range(ROUNDS):
                one.append(asyncio.run(measured(own, 1)))
                all_.append(asyncio.run(measured(own, CLIENTS)))
                by_peer.append(asyncio.run(measured(peer, CLIENTS)))
            alone, together, hand = (sorted(times)[ROUNDS // 2] for times in (one, all_, by_peer))
            yield f"# one client {alone:.2f} s, {CLIENTS} at once {together:.2f} s, by hand {hand:.2f} s"
            yield Figure("waiting_together", together / alone, f"of one answer's time, for {CLIENTS} at once", "<=", 1.5)
            yield Figure("waiting_beside_fastapi", hand / together, "of the throughput of FastAPI and OpenAI's client", ">=", 0.8)
            hung = sorted(asyncio.run(beside_one_that_hangs(own)) for _ in range(3))
            disturbed, failed = hung[1]
            again = sorted(asyncio.run(measured(own, CLIENTS - 1)) for _ in range(3))[1]
            yield f"# beside one that hangs {disturbed:.2f} s, without it {again:.2f} s; it failed after {failed:.2f} s"
            yield Figure("waiting_beside_one_that_hangs", disturbed / again, "of the time without it", "<=", 1.2)


def started(module: str, *arguments: str) -> Any:
    return running([sys.executable, "-m", f"benchmarks.llm.{module}", *arguments], cores=CORES)


def url(server: dict[str, Any]) -> str:
    return f"http://127.0.0.1:{server['port']}/v1"


async def measured(base_url: str, clients: int) -> float:
    """Seconds until so many clients at once have their whole answers."""
    async with AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=120) as client:
        begun = time.perf_counter()
        await asyncio.gather(*(answer(client, QUESTION) for _ in range(clients)))
        return time.perf_counter() - begun


async def answer(client: AsyncOpenAI, question: str) -> None:
    stream = await client.chat.completions.create(model="bench", messages=[{"role": "user", "content": question}], stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
    assert text == "".join(f" token{number}" for number in range(TOKENS)), text


async def beside_one_that_hangs(base_url: str) -> tuple[float, float]:
    """Seconds of the others' answers, and those until the one that hangs has its error."""
    begun = time.perf_counter()

    async def hanging() -> float:
        async with AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=120) as client:
            try:
                await answer(client, f"{QUESTION} hang")
            except APIError:
                return time.perf_counter() - begun
            raise AssertionError("it was answered")

    late = asyncio.create_task(hanging())
    return await measured(base_url, CLIENTS - 1), await late


def application_bundle(root: Path, models: str) -> Bundle:
    """An application of one document, with that server of models as its generator."""
    corpus = Table("docs", llm.document_files("handbook"), key="id", event_time="changed_at", deleted="deleted")
    generator = llm.OpenAICompatible("m", models, key_env="", between=3.0)
    application = Application(corpus, llm.HashedEmbedder(), generator=generator, terms=llm.Terms(count=1, least=0.0))
    row = dict.fromkeys([field.name for field in INPUTS]) | {"question": QUESTION, "mode": "search"}
    with tempfile.TemporaryDirectory() as name:
        page = Document("holidays.md", "# Holidays\n\nThe form for holidays is number 71.")
        build([page], application.chunker, application.embedder, Path(name) / INDEX)
        (Path(name) / SETTINGS).write_bytes(msgspec.json.encode(application._settings()))
        answered = opened(Path(name)).answer(row)
        files = {f"{FILES_FOLDER}/{p.relative_to(name)}": p.read_bytes() for p in sorted(Path(name).rglob("*")) if p.is_file()}
    contents = {
        **files,
        PYTHON_FILE: msgspec.json.encode(PythonSpec(opening(trusted=False), this_python(), {})),
        SAMPLE_FILE: msgspec.json.encode({"inputs": [list(row.values())], "outputs": [[answered[field.name] for field in OUTPUTS]]}),
        PROFILE_FILE: b"{}",
        CARD_FILE: b"",
    }
    about = {"feature_set": "texts", "definition_hash": "", "run": "run", "lineage": LINEAGE, "metrics": {}, "environment": {}, "files": {}}
    task, signature = {"name": Generation.name}, Signature(INPUTS, OUTPUTS)
    root.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(name="app", runtime="python", signature=signature, task=task, **about)  # type: ignore[arg-type]
    return write_bundle(root, manifest, contents, LocalFiles())


if __name__ == "__main__":
    for line in prove():
        print(line, flush=True)
