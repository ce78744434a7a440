"""What many write by hand: FastAPI that hands the answers of a server of models on, by OpenAI's asynchronous client.

python -m benchmarks.llm.waiting_peer BASE_URL: it prints its port
"""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI

application, upstream = FastAPI(), AsyncOpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)


@application.post("/v1/chat/completions")
async def completions(body: dict[str, Any]) -> StreamingResponse:
    async def events() -> AsyncIterator[str]:
        stream = await upstream.chat.completions.create(model="m", messages=body["messages"], stream=True)
        async for chunk in stream:
            yield f"data: {chunk.model_dump_json()}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(application, log_level="warning")).run(sockets=[listener])
