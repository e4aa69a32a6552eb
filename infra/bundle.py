"""What runs in Lambda, built into `.build/` without Docker: the code with its compiled mails and playbook, and layers.

Everything is named by a digest of what it is made from, so that the same input gives the same asset and is built once.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from infra import ROOT, mails
from shared.playbook import Playbook

BUILD = ROOT / ".build"
MAILS = ROOT / "shared" / "mails"
REQUIREMENTS = ROOT / "requirements"
KEPT_BUILDS = 4

Machine = Literal["lambda", "host"]
"""Whose wheels a layer holds: Lambda's arm64, or this machine's for the local stack."""

LayerName = Literal["layer", "report"]
"""What all functions need, and what only the one that makes reports needs besides: to draw charts."""

SERVICES = frozenset({"dynamodb", "events", "sesv2", "sqs", "ssm", "stepfunctions", "sts"})
"""The AWS services that functions call; botocore describes some 400, in 25 MB."""

CALLED = {"ssm": ("GetParameter",)}
"""What is called of a service whose description is large: it is left with no more."""

_POWERTOOLS_UNUSED = (
    *("auth_alpha", "circuit_breaker", "data_masking", "feature_flags", "idempotency", "kafka", "parameters"),
    *("streaming", "validation"),
)
NOT_IMPORTED: dict[LayerName, tuple[str, ...]] = {
    "layer": (
        *("*.dist-info", "bin", ".lock", "boto3/data", "boto3/examples", "pydantic/v1"),
        "aws_lambda_powertools/event_handler",
        *(f"aws_lambda_powertools/utilities/{name}" for name in _POWERTOOLS_UNUSED),
    ),
    "report": (
        *("*.dist-info", "bin", ".lock", "share", "pylab.py", "**/*.pyi", "**/tests"),
        *("contourpy", "fontTools"),
        *("numpy/_core/include", "numpy/_core/lib", "numpy/distutils", "numpy/f2py", "numpy/random", "numpy/testing"),
        *("PIL/_avif.*", "PIL/_imagingcms.*", "PIL/_imagingft.*", "PIL/_imagingtk.*", "PIL/_webp.*"),
        *(
            f"pillow.libs/lib{name}*"
            for name in ("avif", "brotli", "freetype", "harfbuzz", "lcms2", "sharpyuv", "webp")
        ),
        *(f"matplotlib/backends/{name}" for name in ("qt_editor", "web_backend", "_macosx*", "_tkagg*")),
        *(f"matplotlib/mpl-data/{name}" for name in ("images", "plot_directive", "sample_data", "stylelib")),
        *(f"matplotlib/mpl-data/fonts/{name}" for name in ("afm", "pdfcorefonts", "ttf/[!D]*", "ttf/DejaVuS[!a]*")),
        *(f"matplotlib/mpl-data/fonts/ttf/DejaVuSans{name}" for name in ("-*Oblique*", "Display*", "Mono*")),
    ),
}
"""What no function imports or reads; the bundle's tests fail when one does."""

_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Asset:
    """One thing to upload: its folder, the same as a zip, and the digest of what it was made from."""

    name: str
    folder: Path
    digest: str

    @property
    def zip(self) -> Path:
        """The archive that Lambda gets."""
        return self.folder.with_suffix(".zip")

    def __str__(self) -> str:
        unpacked = sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())
        return f"{self.name}: {self.zip.stat().st_size / 1e6:.1f} MB zipped, {unpacked / 1e6:.1f} MB unpacked"


def code(playbook: Playbook) -> Asset:
    """The functions and the domain, with the mails compiled, and this playbook."""
    tools = [Path(__file__), Path(mails.__file__), REQUIREMENTS / "dev.txt"]
    compiled = playbook.model_dump_json(by_alias=True)
    digest = digest_of([*tools, *files(ROOT / "functions"), *files(ROOT / "shared")], python_version(), compiled)

    def build(folder: Path) -> None:
        for package in ("functions", "shared"):
            shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "mails"))
        mails.compile_mails(MAILS, folder / "shared" / "mails")
        (folder / "shared" / "playbook.json").write_text(compiled, encoding="utf-8")
        _compile(folder, runs_in="/var/task")

    return _built("code", digest, build)


def layer(machine: Machine, name: LayerName = "layer") -> Asset:
    """What the functions need at run time, without what they never import."""
    lock = REQUIREMENTS / f"{name}.txt"
    wheels = _wheels(machine) or [sysconfig.get_platform()]
    digest = digest_of([lock, Path(__file__)], python_version(), *wheels)

    def build(folder: Path) -> None:
        packages = folder / "python"
        _install(lock, packages, machine)
        _prune(packages, NOT_IMPORTED[name])
        _compile(packages, runs_in="/opt/python")

    return _built(f"{name}-{machine}", digest, build)


def files(place: Path) -> list[Path]:
    """The source files at or below a place, in order."""
    if place.is_file():
        return [place]
    return sorted(file for file in place.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def digest_of(sources: Iterable[Path], *facts: str) -> str:
    """A digest of these files' places and contents, and of these facts."""
    digest = sha256()
    for source in sources:
        digest.update(f"{source.relative_to(ROOT) if source.is_relative_to(ROOT) else source.name}\0".encode())
        digest.update(sha256(source.read_bytes()).digest())
    for fact in facts:
        digest.update(fact.encode() + b"\0")
    return digest.hexdigest()


def python_version() -> str:
    """The minor version of Python that runs here, and so must run there: byte code is bound to it."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock of the build folder: one builds, the others wait for it."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / f"{name}.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        yield


def _built(name: str, digest: str, build: Callable[[Path], None]) -> Asset:
    asset = Asset(name, BUILD / name / digest[:16], digest)
    with locked(name):
        if not asset.zip.exists():
            with TemporaryDirectory(dir=BUILD, prefix="unfinished-") as unfinished:
                content = Path(unfinished) / "content"
                content.mkdir()
                build(content)
                _zip(content, Path(unfinished) / "content.zip")
                shutil.rmtree(asset.folder, ignore_errors=True)
                asset.folder.parent.mkdir(exist_ok=True)
                content.rename(asset.folder)
                (Path(unfinished) / "content.zip").rename(asset.zip)
            keep_newest(BUILD / name)
    return asset


def keep_newest(kind: Path) -> None:
    """Delete all but the newest builds of one kind."""
    builds = sorted((place for place in kind.iterdir() if place.is_dir()), key=lambda place: place.stat().st_ctime)
    for build in builds[:-KEPT_BUILDS]:
        shutil.rmtree(build)
        build.with_suffix(".zip").unlink(missing_ok=True)


def _wheels(machine: Machine) -> list[str]:
    return (
        ["--python-platform", "aarch64-manylinux2014", "--python-version", python_version()]
        if machine == "lambda"
        else []
    )


def _install(lock: Path, folder: Path, machine: Machine) -> None:
    line = [
        *(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:"),
        *("--no-python-downloads", "--link-mode", "copy", "--python", sys.executable, "--target", str(folder)),
        *(*_wheels(machine), "--requirement", str(lock)),
    ]
    # What `make setup` installed is in uv's cache: without a network this is enough for this machine's wheels.
    if subprocess.run([*line, "--offline"], check=False, capture_output=True).returncode:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(line, check=True)


def _prune(packages: Path, unused: Iterable[str]) -> None:
    for pattern in unused:
        for found in list(packages.glob(pattern)):
            if found.is_dir():
                shutil.rmtree(found)
            else:
                found.unlink(missing_ok=True)
    described = packages / "botocore" / "data"
    if described.is_dir():
        _prune_descriptions(described)


def _prune_descriptions(described: Path) -> None:
    """Leave of what botocore knows only our services, and of those nothing that is for people: all of it is read, again
    and again, before a function can begin.
    """
    for service in described.glob("*/"):
        if service.name not in SERVICES:
            shutil.rmtree(service)
    for examples in described.rglob("examples-1.json*"):
        examples.unlink()
    for packed in described.rglob("service-2.json.gz"):
        model = json.loads(gzip.decompress(packed.read_bytes()))
        called = CALLED.get(packed.parent.parent.name)
        _write_json(packed.with_suffix(""), _without_prose(_called_of(model, called) if called else model))
        packed.unlink()
    endpoints = json.loads((described / "endpoints.json").read_text("utf-8"))
    prefixes = {_endpoint_prefix(model) for model in described.rglob("service-2.json")}
    for partition in endpoints["partitions"]:
        partition["services"] = {name: one for name, one in partition["services"].items() if name in prefixes}
    _write_json(described / "endpoints.json", endpoints)


def _endpoint_prefix(model: Path) -> str:
    """What a service is called in botocore's list of endpoints."""
    return str(json.loads(model.read_text("utf-8"))["metadata"]["endpointPrefix"])


def _called_of(model: dict[str, Any], operations: Iterable[str]) -> dict[str, Any]:
    """A service's description with these operations alone, and the shapes that they lead to."""
    kept = {name: model["operations"][name] for name in operations}
    shapes: dict[str, Any] = {}
    looked_at: list[Any] = [kept]
    while looked_at:
        one = looked_at.pop()
        if isinstance(one, dict):
            looked_at += one.values()
            name = one.get("shape")
            if isinstance(name, str) and name not in shapes:
                shapes[name] = model["shapes"][name]
                looked_at.append(shapes[name])
        elif isinstance(one, list):
            looked_at += one
    return {**model, "operations": kept, "shapes": shapes}


def _without_prose(model: Any) -> Any:  # noqa: ANN401 - any part of a description
    if isinstance(model, dict):
        prose = {"documentation"} if isinstance(model.get("documentation"), str) else set()
        return {name: _without_prose(one) for name, one in model.items() if name not in prose}
    return [_without_prose(one) for one in model] if isinstance(model, list) else model


def _write_json(file: Path, content: Any) -> None:  # noqa: ANN401 - any part of a description
    file.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def _compile(folder: Path, *, runs_in: str) -> None:
    """Compile everything: Lambda's folders are read-only, so it would compile again at every cold start.

    By one process and with one hash seed: what else was compiled, and the order of a set, show in the byte code.
    """
    where = ["-s", str(folder), "-p", runs_in]
    mode = ["-q", "-f", "-j", "1", "--invalidation-mode", "unchecked-hash"]
    line = [sys.executable, "-s", "-P", "-m", "compileall", *mode, *where, str(folder)]
    subprocess.run(line, check=True, env={"PYTHONHASHSEED": "0"})


def _zip(folder: Path, archive: Path) -> Path:
    """Pack a folder so that the same content gives the same bytes."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                entry = zipfile.ZipInfo(str(file.relative_to(folder)), _DATE)
                entry.external_attr = 0o100644 << 16
                packed.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return archive
