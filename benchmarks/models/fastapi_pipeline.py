"""FastAPI and uvicorn around a pickled pipeline, as their guides say: python fastapi_pipeline.py PICKLE PORT [inline]

Runs in an environment of its own. A call that does not await belongs into a thread of FastAPI's pool, says its documentation;
"inline" answers in the event loop, where a model holds up everybody, and is quicker for it.
"""

from __future__ import annotations

import pickle  # noqa: TID251 - what people would write
import sys
from pathlib import Path

import pandas as pd
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

model = pickle.loads(Path(sys.argv[1]).read_bytes())  # noqa: S301 - the pipeline that was pickled beside
app = FastAPI()


class Stay(BaseModel):
    nights: int
    city: str
    price: float | None


class Asked(BaseModel):
    rows: list[Stay]


def predict(asked: Asked) -> dict[str, list[float]]:
    table = pd.DataFrame([row.model_dump() for row in asked.rows]).astype({"price": float})
    return {"predictions": model.predict_proba(table)[:, 1].tolist()}


async def predict_here(asked: Asked) -> dict[str, list[float]]:
    return predict(asked)


app.post("/predict")(predict_here if "inline" in sys.argv[3:] else predict)
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", loop="uvloop", http="httptools")
