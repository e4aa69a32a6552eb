"""`flywheel secrets`: what is made, what is never overwritten, and how a mistake is told."""

from __future__ import annotations

import json
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.stub import Stubber

from infra import cli, secret
from shared.app import QUICK, App
from shared.signing import Signer
from tests.aws.test_operate import a_stack

Told = tuple[int | str, str, str]
Run = Callable[..., Told]


@pytest.fixture
def stack() -> str:
    """A stack that has no secrets yet."""
    return f"Flywheel-{uuid4().hex}"


@pytest.fixture
def cloudformation(app: App) -> Iterator[Stubber]:  # noqa: ARG001 - moto must be there first
    """CloudFormation, which knows no stack unless the test says so."""
    with Stubber(boto3.client("cloudformation", region_name=None, config=QUICK)) as stubber:
        yield stubber


@pytest.fixture
def run(stack: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `flywheel secrets`; its exit code, and what it said on either stream."""

    def run(*arguments: str, given: str = "") -> Told:
        monkeypatch.setattr(sys, "argv", ["flywheel", "secrets", *arguments, "--stack", stack])
        monkeypatch.setattr(sys, "stdin", StringIO(given))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return run


def held(stack: str, name: secret.Name) -> Any:
    got = boto3.client("ssm").get_parameter(Name=f"/{stack}/{name}", WithDecryption=True)["Parameter"]
    assert got["Type"] == "SecureString"
    return json.loads(got["Value"])


class TestMake:
    def test_a_new_stack_gets_keys_that_sign(self, run: Run, stack: str, cloudformation: Stubber) -> None:
        cloudformation.add_client_error("describe_stacks", "ValidationError")
        code, out, _ = run("make")
        assert (code, out.count(": made")) == (0, 3)
        token = Signer(held(stack, "links")).sign("unsubscribe", "m1")
        assert Signer(held(stack, "links")).read("unsubscribe", token) == ("m1",)
        assert len(b64decode(held(stack, "rewards")["current"], validate=True)) == 33
        assert held(stack, "webhooks") == {}

    def test_two_stacks_sign_with_different_keys(self, app: App) -> None:  # noqa: ARG002 - moto must be there first
        ssm, stacks = boto3.client("ssm"), [uuid4().hex, uuid4().hex]
        for one in stacks:
            secret.make(ssm, one, {})
        for name in ("links", "rewards"):
            assert held(stacks[0], name) != held(stacks[1], name)

    def test_what_is_there_stays_as_it_is(self, run: Run, stack: str, cloudformation: Stubber) -> None:
        for _ in range(2):
            cloudformation.add_client_error("describe_stacks", "ValidationError")
        run("make")
        before = {name: held(stack, name) for name in secret.NAMES}
        code, out, _ = run("make")
        assert (code, out.count(": is there already")) == (0, 3)
        assert {name: held(stack, name) for name in secret.NAMES} == before

    def test_a_stack_with_its_secrets_in_secrets_manager_keeps_them(
        self, run: Run, stack: str, cloudformation: Stubber
    ) -> None:
        manager = boto3.client("secretsmanager", region_name=None, config=QUICK)
        theirs = {"webhooks": {"slack": ["s"]}, "links": {"current": "1", "1": "k"}, "rewards": {"current": "YQ=="}}
        arns = {
            output: manager.create_secret(Name=uuid4().hex, SecretString=json.dumps(theirs[name]))["ARN"]
            for name, output in secret.BEFORE.items()
        }
        cloudformation.add_response("describe_stacks", a_stack(**arns), {"StackName": stack})
        code, out, _ = run("make")
        assert (code, out.count("carried over from Secrets Manager")) == (0, 3)
        assert {name: held(stack, name) for name in secret.NAMES} == theirs

    def test_what_aws_refuses_is_one_sentence(self, run: Run, cloudformation: Stubber) -> None:
        cloudformation.add_client_error("describe_stacks", "AccessDenied", "not you")
        assert run("make") == (2, "", "flywheel: AWS refused DescribeStacks: AccessDenied: not you\n")


@pytest.mark.usefixtures("app")
class TestPutAndShow:
    def test_what_was_put_is_shown(self, run: Run, tmp_path: Path) -> None:
        file, told = tmp_path / "secrets.json", {"slack": ["new", "old"]}
        file.write_text(json.dumps(told, indent=2), encoding="utf-8")
        assert run("put", "webhooks", str(file)) == (0, "", "")
        code, out, _ = run("show", "webhooks")
        assert (code, json.loads(out)) == (0, told)

    def test_standard_input_takes_the_place_of_the_old(self, run: Run, stack: str) -> None:
        for told in ({"slack": "old"}, {"slack": "new"}):
            run("put", "webhooks", "-", given=json.dumps(told))
        assert held(stack, "webhooks") == {"slack": "new"}

    @pytest.mark.parametrize("given", ["{'slack': 'x'}", "[]", ""])
    def test_what_is_no_json_object_is_refused(self, run: Run, given: str) -> None:
        assert run("put", "links", "-", given=given) == (2, "", "flywheel: links must be a JSON object\n")

    def test_more_than_a_parameter_holds_is_one_sentence(self, run: Run) -> None:
        code, _, err = run("put", "webhooks", "-", given=json.dumps({"slack": ["x" * 4090]}))
        want = (
            "flywheel: webhooks would be 4,105 bytes, and a parameter holds 4,096; leave out secrets no longer used\n"
        )
        assert (code, err) == (2, want)

    def test_as_much_as_a_parameter_holds_is_taken(self, run: Run) -> None:
        assert run("put", "webhooks", "-", given=json.dumps({"slack": ["x" * 4081]}))[0] == 0

    def test_a_secret_that_was_never_made_is_one_sentence(self, run: Run, stack: str) -> None:
        want = f"flywheel: there is no parameter /{stack}/links; `flywheel secrets make` makes it\n"
        assert run("show", "links") == (2, "", want)

    def test_a_file_that_is_not_there_is_one_sentence(self, run: Run, tmp_path: Path) -> None:
        code, _, err = run("put", "webhooks", str(tmp_path / "none.json"))
        assert (code, err.count("\n")) == (2, 1)
        assert "cannot be read" in err
