import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import sgm_core
from sgm_core.cli import frame
from sgm_core.cli.frame import Output, main
from sgm_core.errors import Cancelled, InputError


def sgm(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "sgm_core.cli", *arguments], capture_output=True, text=True, **options
    )


@pytest.fixture
def command(monkeypatch):
    """Make ``sgm work`` do what a test hands in."""

    def make(handler) -> None:
        def build() -> argparse.ArgumentParser:
            parser = frame._Parser(prog="sgm")
            frame.add_command(parser.add_subparsers(), "work", "test", handler)
            return parser

        monkeypatch.setattr(frame, "build_parser", build)

    return make


def raise_(error: BaseException):
    def handler(args, observer):
        raise error

    return handler


def test_help_and_version_answer_at_once() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = sgm("--version")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert answer.stdout.strip() == f"sgm {sgm_core.__version__}"
    # Processor seconds: a busy machine stretches the others.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3
    assert all(name in sgm("--help").stdout for name in ("runs", "app"))


@pytest.mark.parametrize(
    "arguments", [["dream"], ["runs"], [], ["runs", "show"], ["runs", "list", "--colour"]]
)
def test_a_wrong_command_line_is_one_line(arguments: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sgm")
    assert "--help" in err
    assert len(err.splitlines()) == 1


def test_text_for_people_and_one_document_for_machines(command, capsys) -> None:
    def handler(args, observer):
        observer.message("reading")
        observer.progress(1, 2, "half")
        print("a library that prints")
        return Output({"f1": float("nan"), "path": Path("x")}, "the answer")

    command(handler)
    assert main(["work"]) == 0
    out, err = capsys.readouterr()
    assert out == "the answer\n"
    assert "reading" in err
    assert main(["work", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"f1": None, "path": "x"}
    assert "a library that prints" in err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("no column 'x':\n  take y"), 2, "sgm: no column 'x': take y\n"),
        (Cancelled("run a was cancelled"), 130, "sgm: run a was cancelled\n"),
        (KeyboardInterrupt(), 130, "sgm: interrupted\n"),
    ],
)
def test_each_way_to_end_has_its_code_and_line(command, capsys, error, code: int, line: str) -> None:
    command(raise_(error))
    assert main(["work"]) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", line)


def test_an_internal_error_says_where_the_traceback_is(command, capsys, sgm_home: Path, monkeypatch) -> None:
    command(raise_(KeyError("gene")))
    assert main(["work"]) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert err.startswith("sgm: internal error: KeyError: 'gene'")
    log = sgm_home / "logs" / "errors.log"
    assert str(log) in err
    assert "Traceback" in log.read_text()
    monkeypatch.setenv("SGM_DEBUG", "1")
    assert main(["work"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_leaves_early_causes_no_noise(sgm_home: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    answer = subprocess.run(
        [sys.executable, "-m", "sgm_core.cli", "runs", "list"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    assert answer.stderr == ""
    assert answer.returncode == 141


def test_every_command_takes_json() -> None:
    def leaves(parser: argparse.ArgumentParser):
        groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        if not groups:
            yield parser
        for group in groups:
            for child in group.choices.values():
                yield from leaves(child)

    commands = list(leaves(frame.build_parser()))
    assert len(commands) > 5
    for parser in commands:
        assert "--json" in parser.format_help(), parser.prog
