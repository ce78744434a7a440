"""What an image installs: what a server imports and what its model was made with, in the versions that are installed here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution

from noria.models.bundle import Bundle
from noria.models.runtimes.python_spec import PYTHON_FILE, read_spec

# What `noria serve` imports of a bundle, and nothing of what training, tables and the loop need.
SERVER = (
    "cloudpickle",
    "hpack",
    "httptools",
    "msgspec",
    "numpy",
    "prometheus-client",
    "protobuf",
    "pyarrow",
    "rich",
    "starlette",
    "typer",
    "tzdata",
    "uvicorn",
    "uvloop",
)
ONNX = ("onnxruntime",)
NEEDS_OPENMP = {"lightgbm", "xgboost-cpu", "xgboost"}  # whose wheels load the system's libgomp
TORCH_INDEX = "https://download.pytorch.org/whl"  # of versions such as 2.13.0+cpu


def pinned(bundle: Bundle) -> dict[str, str]:
    """Distribution → version, with all that they need in turn. The versions of the bundle's own lock come first."""
    locked = dict(read_spec(bundle.path).requirements) if (bundle.path / PYTHON_FILE).exists() else {}
    roots = [*SERVER, *(ONNX if bundle.manifest.runtime == "onnx" else ()), *locked]
    found: dict[str, str] = {}
    waiting = [(name, "") for name in roots]
    while waiting:
        name, extra = waiting.pop()
        known = _installed(name)
        if known is None or (canonical(name) in found and not extra):
            continue
        found[canonical(name)] = known
        waiting += _needs(name, extra)
    return dict(sorted({**found, **{canonical(name): version for name, version in locked.items()}}.items()))


def requirements_text(pins: Mapping[str, str]) -> str:
    """The pins as pip reads them."""
    local = sorted({version.partition("+")[2] for name, version in pins.items() if name == "torch" and "+" in version})
    index = "".join(f"--extra-index-url {TORCH_INDEX}/{build}\n" for build in local)
    return index + "".join(f"{name}=={version}\n" for name, version in pins.items())


def canonical(name: str) -> str:
    """A distribution's name as indexes write it."""
    return name.lower().replace("_", "-").replace(".", "-")


def _installed(name: str) -> str | None:
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None


def _needs(name: str, extra: str) -> Iterator[tuple[str, str]]:
    """What a distribution requires on this platform, each with the extras that are asked of it."""
    from packaging.requirements import Requirement

    for text in distribution(name).requires or ():
        required = Requirement(text)
        if required.marker is None or required.marker.evaluate({"extra": extra}):
            yield required.name, ""
            yield from ((required.name, each) for each in required.extras)
