from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from botocore.session import Session

from infra import ROOT, bundle, mails, sizes
from infra.local.assembly import synthesise
from shared import playbook
from shared.errors import FlywheelError
from shared.playbook import Playbook
from tests.infra.conftest import Template
from tests.infra.test_template import functions

UNCHECKED_HASH = 1
"""The flags of byte code that is bound to its source by a hash, which is never compared (PEP 552)."""

IMPORT_EVERYTHING = """
import importlib, json, sys
from pathlib import Path
layers, code, left_out, services = sys.argv[1].split(","), sys.argv[2], sys.argv[3].split(","), sys.argv[4:]
sys.path += [*layers, code]
from botocore.session import Session
session = Session()
session.set_credentials("id", "key")
clients = {name: session.create_client(name, region_name="eu-west-1").meta.endpoint_url for name in services}
names = [".".join(file.relative_to(code).with_suffix("").parts) for file in sorted(Path(code).rglob("*.py"))]
names = [name for name in names if name not in left_out]
for name in names:
    importlib.import_module(name.removesuffix(".__init__"))
roots = sorted({name.split(".")[0] for name in sys.modules})
print(json.dumps({"clients": clients, "modules": len(names), "roots": roots}))
"""


DRAW_EVERYTHING = """
import importlib, sys
sys.path += sys.argv[1].split(",")
importlib.import_module("functions.manager_report")
from shared.charts import png
from shared.report import Chart, Series
names = "active", "turnover", "cohorts", "onboarding", "response"
series = tuple(Series(name=f"Ряд {number}", values=(1.0, None, 3.0)) for number in range(3))
for name in names:
    labels = "1 мая", "2 мая", "3 мая"
    chart = Chart(name=name, title="", alt="", unit="count", labels=labels, series=series, columns=(), rows=())
    print(name, len(png(chart, "{:g} ₽".format)))
"""

DRAWING = {"functions.manager_report", "shared.charts", "shared.editions"}
"""What needs the layer to draw with."""


def isolated(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python as Lambda does: none of this environment's packages, variables or folders."""
    line = [sys.executable, "-I", "-S", "-B", "-c", script, *arguments]
    with TemporaryDirectory() as fonts:
        environment = {"MPLCONFIGDIR": fonts}
        return subprocess.run(line, capture_output=True, text=True, check=False, cwd=os.sep, env=environment)


def test_bundle_imports_alone_and_makes_all_clients(code: bundle.Asset, layer: bundle.Asset) -> None:
    places = str(layer.folder / "python"), str(code.folder)
    ran = isolated(IMPORT_EVERYTHING, *places, ",".join(DRAWING), *sorted(bundle.SERVICES))
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["clients"] == {name: stock(name).meta.endpoint_url for name in bundle.SERVICES}
    assert found["modules"] >= 30
    assert not {"aws_cdk", "constructs", "infra", "tests", "yaml", "mjml", "css_inline"} & set(found["roots"])


def test_every_chart_is_drawn_with_what_the_layers_hold(
    code: bundle.Asset, layer: bundle.Asset, drawing: bundle.Asset
) -> None:
    places = [str(layer.folder / "python"), str(drawing.folder / "python"), str(code.folder)]
    ran = isolated(DRAW_EVERYTHING, ",".join(places))
    assert (ran.returncode, len(ran.stdout.splitlines())) == (0, 5), ran.stderr
    assert "Glyph" not in ran.stderr  # a letter that the font lacks
    assert "Unable to import" not in ran.stderr


def built_for_lambda() -> list[bundle.Asset]:
    """The layers for Lambda as they were built here last, which needs a network."""
    kinds = [sorted((bundle.BUILD / f"{name}-lambda").glob("*.zip"), key=age) for name in ("layer", "report")]
    return [bundle.Asset(one[-1].parent.name, one[-1].with_suffix(""), one[-1].stem) for one in kinds if one]


def age(file: Path) -> float:
    return file.stat().st_mtime


@pytest.mark.parametrize("machine", ["host", "lambda"])
def test_every_function_unpacks_no_more_than_it_may(
    machine: str, code: bundle.Asset, layer: bundle.Asset, drawing: bundle.Asset
) -> None:
    layers = [layer, drawing] if machine == "host" else built_for_lambda()
    if len(layers) < 2:
        pytest.skip("the layers for Lambda were not built here: make sizes")
    found = sizes.unpacked(code, *layers)
    assert len(found) == len(list((ROOT / "functions").glob("*.py"))) - 1
    assert {name: size for name, size in found.items() if size > sizes.most(name)} == {}
    assert found[sizes.DRAWS] > sizes.MOST  # or the layer to draw with is not counted


def test_only_the_function_with_the_larger_limit_draws(template: Template) -> None:
    layers = {name: len(properties["Layers"]) for name, properties in functions(template).items()}
    assert {name for name, count in layers.items() if count > 1} == {sizes.DRAWS}


@pytest.mark.parametrize("asset", ["code", "layer", "drawing"])
def test_every_module_is_compiled_for_good(asset: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(asset).folder
    sources = list(folder.rglob("*.py"))
    assert len(sources) > 20
    for source in sources:
        head = Path(cache_from_source(str(source))).read_bytes()[:8]
        assert head == MAGIC_NUMBER + UNCHECKED_HASH.to_bytes(4, "little"), source


def test_bundle_holds_compiled_mails_and_playbook(code: bundle.Asset) -> None:
    inside = {str(file.relative_to(code.folder)) for file in code.folder.rglob("*")}
    assert {"shared/mails/welcome/en.html", "shared/mails/welcome/ru.html", "shared/playbook.json"} <= inside
    assert not [name for name in inside if name.endswith((".mjml", ".yaml"))]


def test_compiled_playbook_reads_back_the_same(code: bundle.Asset) -> None:
    compiled = Playbook.model_validate_json((code.folder / "shared" / "playbook.json").read_bytes())
    assert compiled == playbook.load(ROOT / "playbook.yaml")


def stock(service: str) -> Any:
    """A client of botocore as it is installed here, with all that it describes."""
    session = Session()
    session.set_credentials("id", "key")
    return session.create_client(service, region_name="eu-west-1")


def test_what_the_layer_describes_is_as_it_was_but_for_the_prose(layer: bundle.Asset) -> None:
    models = list((layer.folder / "python" / "botocore" / "data").rglob("service-2.json"))
    assert len(models) >= len(bundle.SERVICES)
    for file in models:
        text = file.read_text(encoding="utf-8")
        model = json.loads(text)
        assert '"documentation":"' not in text
        whole = Session().get_service_model(file.parts[-3], file.parts[-2])
        called = bundle.CALLED.get(file.parts[-3])
        assert model["operations"].keys() == set(called or whole.operation_names)
        led_to = re.findall(r'"shape":"(\w+)"', text)
        assert model["shapes"].keys() == set(led_to if called else whole.shape_names)


def test_the_layer_knows_every_region_but_only_our_services(layer: bundle.Asset) -> None:
    described = json.loads((layer.folder / "python" / "botocore" / "data" / "endpoints.json").read_text("utf-8"))
    whole = Session().get_component("data_loader").load_data("endpoints")
    assert [one["regions"] for one in described["partitions"]] == [one["regions"] for one in whole["partitions"]]
    ours = {name for one in described["partitions"] for name in one["services"]}
    assert {"dynamodb", "email", "states"} <= ours
    assert not {"ec2", "s3"} & ours


def test_layer_describes_only_services_we_call(layer: bundle.Asset) -> None:
    described = layer.folder / "python" / "botocore" / "data"
    assert {place.name for place in described.iterdir() if place.is_dir()} == bundle.SERVICES


def test_every_client_that_the_code_makes_is_described() -> None:
    sources = [*(ROOT / "shared").rglob("*.py"), *(ROOT / "functions").rglob("*.py")]
    made = {name for file in sources for name in re.findall(r'client\("(\w+)"', file.read_text(encoding="utf-8"))}
    assert {"dynamodb", "sqs"} <= made
    assert made <= bundle.SERVICES


def test_layer_fits_lambda_with_room(layer: bundle.Asset) -> None:
    assert layer.zip.stat().st_size < 15e6


def test_same_sources_give_the_same_bytes(code: bundle.Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "BUILD", tmp_path)
    again = bundle.code(playbook.load(ROOT / "playbook.yaml", mails=mails.written(bundle.MAILS)))
    assert again.digest == code.digest
    assert again.zip.read_bytes() == code.zip.read_bytes()


def test_an_edited_playbook_is_another_asset(code: bundle.Asset) -> None:
    edited = playbook.load(ROOT / "playbook.yaml").model_copy(update={"locales": ["ru", "en"]})
    assert bundle.code(edited).digest != code.digest


def test_a_wrong_playbook_fails_the_synthesis_in_one_line_each(tmp_path: Path) -> None:
    wrong = tmp_path / "playbook.yaml"
    text = (ROOT / "playbook.yaml").read_text(encoding="utf-8")
    wrong.write_text(
        text.replace("min_gap: 20h", "min_gap: soon").replace("mail: digest}", "mail: digests}"), encoding="utf-8"
    )
    with pytest.raises(FlywheelError) as refused:
        synthesise(tmp_path / "cdk.out", {"machine": "host", "playbook": str(wrong)})
    lines = str(refused.value).splitlines()
    assert [line for line in lines if "onboarding.min_gap" in line]
    assert all(line.startswith(str(wrong)) for line in lines)
    assert not list(tmp_path.rglob("*.template.json"))
