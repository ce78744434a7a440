"""The build context: every file that a container engine needs, written at once or not at all."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noria.core.errors import UserMistake
from noria.core.ids import short
from noria.models.bundle import MANIFEST, Bundle
from noria.models.runtimes.python_spec import PYTHON_FILE, read_spec, this_python
from noria.serving.image.pins import NEEDS_OPENMP, pinned, requirements_text
from noria.serving.image.wheel import noria_wheel

FACTS = "noria-image.json"  # says that a folder is a build context of ours, which may be written again
MODEL, STATE = "/opt/noria/model", "/var/lib/noria"
USER = 10_001
IMAGE = re.compile(r"[a-z0-9]+([._/:-]+[a-z0-9]+)*(:[\w][\w.-]{0,127})?")
HEALTH = '''"""Whether the server answers: the exit code is 0 if every worker has lately answered its sample rightly, and 1 otherwise."""

import json
import sys
import urllib.request

try:
    with open("/var/lib/noria/.noria/serving.json") as file:
        where = json.load(file)["admin_url"]
    with urllib.request.urlopen(where + "/v2/health/ready", timeout=3) as response:
        sys.exit(response.status != 200)
except (OSError, ValueError, KeyError) as error:
    sys.exit(f"not ready: {error}")
'''


class BadImage(UserMistake):
    """A build context can't be written as asked."""

    code = "NR-579"

    def __init__(self, what: str, where: str, fix: str) -> None:
        super().__init__(what=what, where=where, fix=fix)


@dataclass(frozen=True)
class BuildContext:
    """What was written: the folder, and what is in it."""

    folder: Path
    image: str
    endpoint: str
    bundle: Bundle
    pins: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "image": self.image,
            "endpoint": self.endpoint,
            "bundle": self.bundle.id,
            "requirements": self.pins,
            "build": f"docker build -t {self.image} {self.folder}",
            "run": f"docker run -p 8080:8080 {self.image}",
        }


def write_context(image: str, endpoint: str, bundle: Bundle, folder: Path) -> BuildContext:
    """Write the build context of a server of one bundle. Raises `BadImage`; then nothing was written."""
    if not IMAGE.fullmatch(image):
        raise BadImage(f"{image!r} is not a valid image name", "the command", "use lower-case letters, such as team/churn:1.4")
    if folder.exists() and any(folder.iterdir()) and not (folder / FACTS).exists():
        raise BadImage(f"{folder} is not empty", "it holds files that are no build context", "choose another folder with --out")
    context = BuildContext(folder, image, endpoint, bundle, pinned(bundle))
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _write(partial, context)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return context


def _write(folder: Path, context: BuildContext) -> None:
    bundle, (wheel, packed) = context.bundle, noria_wheel()
    (folder / "wheels").mkdir(parents=True)
    (folder / "wheels" / wheel).write_bytes(packed)
    (folder / "requirements.txt").write_text(requirements_text(context.pins))
    (folder / "health.py").write_text(HEALTH)
    target = folder / "model" / bundle.id
    for name in (MANIFEST, *bundle.manifest.files):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.path / name, target / name)
    (folder / "Dockerfile").write_text(dockerfile(context, wheel))
    (folder / ".dockerignore").write_text(f"Dockerfile\n.dockerignore\n{FACTS}\n")
    (folder / FACTS).write_text(json.dumps({"image": context.image, "endpoint": context.endpoint, "bundle": bundle.id}, indent=2) + "\n")


def dockerfile(context: BuildContext, wheel: str) -> str:
    """The Dockerfile: a stage that installs, and one that runs as a user without rights, with neither pip's cache nor a compiler."""
    bundle = context.bundle
    python = read_spec(bundle.path).python if (bundle.path / PYTHON_FILE).exists() else this_python()
    openmp = (
        "RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*\n"
        if NEEDS_OPENMP & set(context.pins)
        else ""
    )
    trust = " \\\n    NORIA_TRUST=1" if bundle.manifest.trust else ""
    return f"""# A server of endpoint {context.endpoint}, bundle {short(bundle.id)}: docker build -t {context.image} .
FROM python:{python}-slim AS build
RUN python -m venv /opt/venv
COPY requirements.txt /build/requirements.txt
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps -r /build/requirements.txt
COPY wheels/{wheel} /build/{wheel}
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps /build/{wheel} && /opt/venv/bin/pip uninstall -y pip setuptools

FROM python:{python}-slim
{openmp}RUN useradd --uid {USER} --home-dir {STATE} --create-home --shell /usr/sbin/nologin noria
COPY --from=build /opt/venv /opt/venv
COPY health.py /opt/noria/health.py
COPY model {MODEL}
ENV PATH=/opt/venv/bin:$PATH \\
    PYTHONUNBUFFERED=1 \\
    PYTHONDONTWRITEBYTECODE=1 \\
    NORIA_ENDPOINT={MODEL}/{bundle.id} \\
    NORIA_NAME={json.dumps(context.endpoint)} \\
    NORIA_PROJECT={STATE} \\
    NORIA_SERVING_PLATFORM=auto{trust}
USER {USER}
WORKDIR {STATE}
VOLUME {STATE}
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "/opt/noria/health.py"]
ENTRYPOINT ["noria"]
CMD ["serve"]
"""
