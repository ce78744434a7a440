"""The commands around a server: run it, load it, watch it, ask it again, write a client for it, and its keys."""

from __future__ import annotations

import sys
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from noria.cli.build import build
from noria.cli.model_files import (
    Classes,
    Name,
    SampleFile,
    TaskName,
    Trust,
    champion_or_file,
    files_of,
    names_model,
    open_again,
    open_file,
    refuse_model_options,
)
from noria.cli.options import HERE, Endpoint, Folder, Json, open_project

if TYPE_CHECKING:
    from noria.serving.access.keys import KeyFile
    from noria.serving.process.supervisor import Supervisor
    from noria.stores.workspace import Workspace

RUNNING = "serving.json"  # where a running server says that it listens
Url = Annotated[str | None, typer.Option("--url", envvar="NORIA_URL", help="The server's URL (default: this project's running server).")]
Key = Annotated[str | None, typer.Option("--key", envvar="NORIA_KEY", help="An API key, if the server requires one.")]


def add_serving(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (serve, build, load, top, client, replay_request):
        app.command()(command)
    app.add_typer(key_app, name="key")


def serve(
    endpoint: Annotated[
        str | None,
        typer.Argument(
            metavar="[ENDPOINT|MODEL]",
            envvar="NORIA_ENDPOINT",
            help="An endpoint of this project (default: all), or a model file or folder, which needs no project.",
        ),
    ] = None,
    project: Annotated[
        Path,
        typer.Option(
            "--project", "--workspace", "-p", envvar="NORIA_PROJECT", help="The project's folder; of a model file, where `.noria` is kept."
        ),
    ] = HERE,
    host: Annotated[str | None, typer.Option("--host", envvar="NORIA_SERVING_HOST", help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", envvar="NORIA_SERVING_PORT", help="The port; 0 picks a free one.")] = None,
    grpc_port: Annotated[
        int | None, typer.Option("--grpc-port", envvar="NORIA_SERVING_GRPC_PORT", help="The gRPC port; 0 picks a free one.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", envvar="NORIA_SERVING_WORKERS", min=1, help="The number of worker processes.")
    ] = None,
    name: Name = None,
    task: TaskName = None,
    classes: Classes = None,
    sample: SampleFile = None,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Serve endpoints, or a model file, over HTTP and gRPC (Open Inference Protocol v2 and plain JSON) until stopped."""
    from noria.core.settings import with_overrides

    if names_model(endpoint, project):
        served, (served_as, bundle), trusted = open_file(endpoint, project, name, task, classes, sample, trust=trust)
        settings = with_overrides(served.workspace.settings.serving, host=host, port=port, grpc_port=grpc_port, workers=workers)
        run_until_stopped(served.supervisor(served_as, bundle, settings, trust=trusted), served.workspace, json=json)
        return
    files = files_of(project)
    refuse_model_options(endpoint, name=name, task=task, classes=classes, sample=sample, trust=trust and files is None)
    if files is not None:
        served_as, bundle = open_again(endpoint, files, trust=trust)
        settings = with_overrides(files.workspace.settings.serving, host=host, port=port, grpc_port=grpc_port, workers=workers)
        run_until_stopped(files.supervisor(served_as, bundle, settings, trust=trust), files.workspace, json=json)
        return
    from noria.loop.live import open_supervisor

    found, workspace = open_project(project)
    endpoints = found.chosen(endpoint)
    settings = with_overrides(found.settings.serving, host=host, port=port, grpc_port=grpc_port, workers=workers)
    run_until_stopped(open_supervisor(workspace, endpoints, settings), workspace, json=json)


def run_until_stopped(supervisor: Supervisor, workspace: Workspace, *, json: bool) -> None:
    """Run a server, and say where it listens and how it ended."""
    from json import dumps

    from noria.cli.render import console, show_json, show_serving
    from noria.serving.process.supervisor import Listening, run_supervisor

    def started(where: Listening) -> None:
        begun = {**where.to_dict(), **supervisor.serving()}
        workspace.files.write(workspace.root / RUNNING, dumps(begun).encode())
        if json:
            typer.echo(dumps(begun))
            sys.stdout.flush()
        else:
            show_serving(begun)

    try:
        balances = run_supervisor(supervisor, started)
    finally:
        workspace.files.remove(workspace.root / RUNNING)
    if json:
        show_json({"stopped": True, "balances": [balance.to_dict() for balance in balances]})
    else:
        for balance in balances:
            console().print(
                f"stopped: {balance.stage}: {balance.rows_in:,} rows answered, {balance.accounted:,} accounted for (logged or sampled out)"
            )
    if supervisor.stopped_by == SIGINT:
        raise KeyboardInterrupt  # as every command that Ctrl-C ends; a server that SIGTERM ends has done all that was asked of it


key_app = typer.Typer(help="API keys: add, list, revoke.", no_args_is_help=True)


@key_app.command("add")
def key_add(
    name: Annotated[str, typer.Argument(envvar="NORIA_KEY_NAME", help="The key's name.")],
    project: Folder = HERE,
    role: Annotated[str, typer.Option("--role", envvar="NORIA_KEY_ROLE", help="predict, read or admin.")] = "predict",
    rate: Annotated[float, typer.Option("--rate", envvar="NORIA_KEY_RATE", min=0, help="Requests per second; 0: no limit.")] = 0.0,
    quota: Annotated[int, typer.Option("--quota", envvar="NORIA_KEY_QUOTA", min=0, help="Requests per day (UTC); 0: no limit.")] = 0,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", envvar="NORIA_KEY_LABEL", help="What it may read of a search's documents; `*` lets requests name any."),
    ] = None,
    tenant: Annotated[
        str, typer.Option("--tenant", envvar="NORIA_KEY_TENANT", help="On whose behalf it asks: its guardrails, budget and metrics.")
    ] = "",
    json: Json = False,
) -> None:
    """Create an API key. Its secret is shown once and not stored; a running server accepts it within two seconds."""
    from noria.cli.render import console, show_json
    from noria.serving.access.keys import role_of

    labels = label or []
    secret = _keys(project).add(name, role_of(role), rate, quota, labels, tenant)
    if json:
        show_json({"name": name, "role": role, "rate": rate, "quota": quota, "labels": labels, "tenant": tenant, "secret": secret})
    else:
        console().print(f"{secret}\n[dim]shown once; send it as `Authorization: Bearer KEY`[/]", soft_wrap=True)


@key_app.command("list")
def key_list(project: Folder = HERE, json: Json = False) -> None:
    """List the API keys, without their secrets."""
    from noria.cli.render import console, show_json

    found: list[dict[str, Any]] = [
        {"name": key.name, "role": str(key.role), "rate": key.rate, "quota": key.quota, "labels": list(key.labels), "tenant": key.tenant}
        for key in _keys(project).read()
    ]
    if json:
        show_json(found)
        return
    for key in found:
        console().print(
            f"{key['name']}: {key['role']}"
            + (f", {key['rate']:g} requests per second" if key["rate"] else "")
            + (f", {key['quota']:,} per day" if key["quota"] else "")
            + (f", reads {', '.join(key['labels'])}" if key["labels"] else "")
            + (f", tenant {key['tenant']}" if key["tenant"] else "")
        )
    if not found:
        console().print("no keys: the server listens on loopback only, and needs no key there")


@key_app.command("revoke")
def key_revoke(
    name: Annotated[str, typer.Argument(envvar="NORIA_KEY_NAME", help="The key's name.")],
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Revoke an API key; a running server rejects it within two seconds."""
    from noria.cli.render import console, show_json

    _keys(project).revoke(name)
    show_json({"revoked": name}) if json else console().print(f"revoked {name}")


def _keys(folder: Path) -> KeyFile:
    from noria.core.files import LocalFiles
    from noria.core.settings import load_settings
    from noria.serving.access.keys import KeyFile

    served = files_of(folder)
    if served is not None:
        return KeyFile(served.workspace.root, LocalFiles())
    settings = load_settings(folder)
    return KeyFile(folder.resolve() / settings.stores.folder, LocalFiles())


def load(
    endpoint: Endpoint = None,
    project: Folder = HERE,
    rate: Annotated[float, typer.Option("--rate", envvar="NORIA_LOAD_RATE", help="Requests per second.")] = 1_000.0,
    seconds: Annotated[float, typer.Option("--seconds", envvar="NORIA_LOAD_SECONDS", help="The duration in seconds.")] = 10.0,
    connections: Annotated[
        int, typer.Option("--connections", envvar="NORIA_LOAD_CONNECTIONS", help="The maximum number of connections.")
    ] = 64,
    url: Url = None,
    key: Key = None,
    beyond_loopback: Annotated[
        bool,
        typer.Option(
            "--beyond-loopback", envvar="NORIA_LOAD_BEYOND_LOOPBACK", help="Allow a server on another machine; only load-test your own."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Load-test a running server at a steady rate; latency is measured from each request's due time."""
    from noria.cli.render import show_json, show_loaded
    from noria.evidence.champion import sample_bodies
    from noria.serving.load import send_load

    name, bundle, workspace = champion_or_file(project, endpoint)
    bodies = sample_bodies(bundle, workspace.files)
    target = f"{url or _running(workspace.root)['url']}/predict/{quote(name, safe='')}"
    loaded = send_load(target, bodies, rate=rate, seconds=seconds, connections=connections, secret=key, beyond_loopback=beyond_loopback)
    if json:
        show_json(loaded.to_dict())
    else:
        show_loaded(loaded)


def top(
    project: Folder = HERE,
    url: Annotated[str | None, typer.Option("--url", envvar="NORIA_ADMIN_URL", help="The URL of a server's admin port.")] = None,
    key: Key = None,
    json: Annotated[bool, typer.Option("--json", envvar="NORIA_JSON", help="Sample once, and print one JSON document.")] = False,
) -> None:
    """Watch a running server: rates, latencies, batches, errors, health. Ctrl-C stops it."""
    from noria.cli.render import show_json
    from noria.cli.top import look_once, watch

    where = url or _of_project(project)["admin_url"]
    if json:
        show_json(look_once(where, key))
    else:
        watch(where, key)


def client(
    endpoint: Endpoint = None,
    project: Folder = HERE,
    out: Annotated[Path | None, typer.Option("--out", "-o", envvar="NORIA_CLIENT_OUT", help="The file (default: standard output).")] = None,
    url: Annotated[str, typer.Option("--url", envvar="NORIA_URL", help="The client's default server URL.")] = "http://127.0.0.1:8080",
    json: Json = False,
) -> None:
    """Generate a small typed Python client for an endpoint, with no dependencies beyond Python."""
    from noria.cli.render import console, show_json
    from noria.serving.protocol.client import client_code

    name, bundle, _ = champion_or_file(project, endpoint)
    code = client_code(name, bundle.id, bundle.signature, url)
    if out is not None:
        out.write_text(code)
    if json:
        show_json({"endpoint": name, "bundle": bundle.id, "file": out and str(out), "code": code})
    elif out is None:
        sys.stdout.write(code)
    else:
        console().print(f"wrote {out}: {len(bundle.features)} features of bundle {bundle.id[:12]}")


def replay_request(
    what: Annotated[str, typer.Argument(envvar="NORIA_REPLAY_WHAT", help="A prediction ID, or a file of captured requests.")],
    project: Folder = HERE,
    url: Url = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Resend past requests to a running server, and compare the responses."""
    from noria.cli.render import show_again, show_captured_again, show_json
    from noria.evidence.explain import find_prediction
    from noria.models.bundle import open_bundle
    from noria.serving.again import ask_again, ask_captured_again

    served = files_of(project)
    found, workspace = open_project(project) if served is None else (None, served.workspace)
    where = url or _running(workspace.root)["url"]
    captured = Path(what).is_file()
    if captured:
        again = ask_captured_again(Path(what), where, key)
    elif served is not None:
        from noria.evidence.model_files import find_logged, sealed

        name, logged = find_logged(served, what)
        again = ask_again(name, None, sealed(served, logged.bundle[0]).signature, logged, where, key)
    else:
        assert found is not None
        endpoint, logged = find_prediction(found, workspace, what)
        signature = open_bundle(workspace.bundles / logged.bundle[0], workspace.files).signature
        again = ask_again(endpoint.name, endpoint.task, signature, logged, where, key)
    if json:
        show_json(again)
    elif captured:
        show_captured_again(again)
    else:
        show_again(again)


def _of_project(folder: Path) -> dict[str, str]:
    served = files_of(folder)
    if served is not None:
        return _running(served.workspace.root)
    found, workspace = open_project(folder)
    found.chosen()  # a project without an endpoint has no server either
    return _running(workspace.root)


def _running(root: Path) -> dict[str, str]:
    """Where the server of this project says that it listens. Raises `NobodyThere`."""
    from json import loads

    from noria.serving.load import NobodyThere

    try:
        told: dict[str, str] = loads((root / RUNNING).read_text())
    except (OSError, ValueError) as error:
        raise NobodyThere(str(root), "no server is running for this project") from error
    return told
