"""One place looks for graphics cards; estimate, queue, provenance and training all ask it."""

from types import SimpleNamespace

import pynvml
import pytest

from sgm_core import device
from sgm_core.errors import InputError
from sgm_core.runs.launch import _device
from sgm_core.runs.provenance import hardware

GIB = 1 << 30


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that knows six cards of 1, 2, 3 ... GiB, and a torch that could use them."""
    monkeypatch.setattr(device, "_torch_knows_gpus", lambda: True)
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 6)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda i: i)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lambda i: f"GPU-{i}a")
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda i: f"card {i}")
    space = lambda i: SimpleNamespace(total=(i + 1) * GIB, free=GIB // 2)  # noqa: E731
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", space)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    device._visible.cache_clear()


def test_the_memory_of_the_gpu_that_is_visible(cards: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.memory("cuda:1") == device.Memory(2 * GIB, GIB // 2, "GPU memory")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-5a")
    assert device.memory("cuda").total == 4 * GIB and device.memory("cuda:1").total == 6 * GIB
    with pytest.raises(InputError, match=r"GPU 2 .*use device cpu"):
        device.memory("cuda:2")


@pytest.mark.parametrize("hidden", ["", "-1", "9", "-1,0"])
def test_all_agree_on_hidden_cards(cards: None, monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    """Seen: the queue said cuda:0 under -1, the estimate cpu, Home named the card."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    hardware.cache_clear()
    run = SimpleNamespace(parameters={"device": "auto"}, status={"device": "auto"})
    assert device.gpus() == () and not device.on_gpu("auto")
    assert _device(run) == "cpu"  # type: ignore[arg-type]
    assert hardware()["gpu"] == []
    hardware.cache_clear()


def test_a_card_is_seen_by_all(cards: None) -> None:
    hardware.cache_clear()
    run = SimpleNamespace(parameters={}, status={"device": "auto"})
    assert device.on_gpu("auto") and _device(run) == "cuda:0"  # type: ignore[arg-type]
    assert hardware()["gpu"] == [f"card {i}" for i in range(6)]
    hardware.cache_clear()


def test_no_driver_means_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_torch_knows_gpus", lambda: True)
    device._visible.cache_clear()
    assert device.gpus() == ()
    with pytest.raises(InputError, match="GPU 0"):
        device.memory("cuda")


def test_a_device_that_is_not_known() -> None:
    for name in ("cuda:99", "abacus"):
        with pytest.raises(InputError, match=name):
            device.pick_device(name)
