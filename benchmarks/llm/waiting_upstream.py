"""A chat completions server that takes its time: python -m benchmarks.llm.waiting_upstream. It prints its port.

Twenty tokens, one each 50 ms; where a message says `hang`, one token and then nothing.
"""

from __future__ import annotations

import asyncio
import json

TOKENS, SECONDS = 20, 0.05
HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
BEGIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    data = b"data: " + json.dumps({**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST = _event({}, "stop") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            size = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
            body = await reader.readexactly(size)
            writer.write(BEGIN)
            for number in range(TOKENS):
                writer.write(_event({"content": f" token{number}"}))
                await writer.drain()
                await asyncio.sleep(SECONDS if b"hang" not in body else 3600)
            writer.write(LAST)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def serve() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
