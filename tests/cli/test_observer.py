import pytest

from sgm_core.cli.observer import StderrObserver


def test_progress_says_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    observer = StderrObserver()
    for done in (0, 10, 40, 100):
        observer.progress(done, 100, f"step {done}")
        clock[0] += 3 * (30 if done else 10)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "  0.0 %  step 0",
        " 10.0 %  step 10, about 4 min left",
        " 40.0 %  step 40, about 3 min left",
        "100.0 %  step 100",
    ]
