"""What `kit doctor` finds, on this machine and on made ones."""

from types import SimpleNamespace

import pytest
import torch

import kit
from kit.cli import machine
from kit.cli.machine import Finding, inspect
from kit.errors import InputError
from kit.machine import bfloat16, native
from kit.screening import counts
from kit.tiles import reader


def find(name: str) -> Finding:
    return {finding.name: finding for finding in inspect()}[name]


def test_every_line_has_a_value_and_a_reason(capsys) -> None:
    findings = inspect()
    names = [finding.name for finding in findings if not finding.name.startswith("engine: ")]
    assert names == ["python", "kit", "torch", "device", "bfloat16", "cloud counts",
                     "cloud counts on CUDA", "cloud detector", "tile reader", "instance norm",
                     "tree predictor", "boosted trees", "rasterio", "disk"]  # fmt: skip
    assert all(finding.value and finding.why for finding in findings)
    assert find("kit").value == kit.__version__
    assert capsys.readouterr() == ("", "")


def test_engines_are_listed_with_what_they_compute_in_or_what_would_bring_them(monkeypatch) -> None:
    assert "float32" in find("engine: eager").value

    def require() -> None:
        raise InputError("eager", "not installed", remedy="pip install it")

    monkeypatch.setattr("kit.engines.backends.eager.require", require)
    assert find("engine: eager") == Finding(
        "engine: eager", "none", "not installed; pip install it"
    )


def test_what_trains_instance_norms_is_told(monkeypatch) -> None:
    load, found = native.load, (None, "not there")
    monkeypatch.setattr(native, "load", lambda name: found if name == "kit_norms" else load(name))
    finding = find("instance norm")
    assert finding.value == "reference" and "C++ compiler" in finding.why
    found = (object(), "there")
    assert find("instance norm") == Finding("instance norm", "native", "there")


def test_cpu_names_its_threads(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    assert find("device").value == "CPU, 7 thread(s)"


def test_a_quota_is_told(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("kit.cli.machine.quota", lambda: 0.1)
    assert "a quota of 0.1 cores" in find("device").why


@pytest.mark.parametrize(
    ("rates", "value", "why"),
    [
        (bfloat16.Rates(100, 200), "used", "2 times as fast as float32"),
        (bfloat16.Rates(100, 50), "not used", "0.5 times as fast as float32"),
        (None, "not used", "no instructions"),
    ],
)
def test_bfloat16_is_told_with_what_was_measured(monkeypatch, rates, value, why) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(bfloat16, "rates", lambda: rates)
    found = find("bfloat16")
    assert found.value == value and why in found.why


@pytest.mark.parametrize(("cuda", "why"), [(None, "without CUDA"), ("13.0", "no CUDA device")])
def test_cpu_says_why(monkeypatch, cuda, why) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    assert why in find("device").why


def test_a_card_beside_the_cpu_says_why_it_is_not_used(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine, "unreached", lambda: "the driver is too old")
    assert find("device").value.startswith("CPU")
    assert "the driver is too old" in find("device").why


def test_gpu_shows_its_name_and_memory(monkeypatch) -> None:
    properties = SimpleNamespace(name="Made GPU", total_memory=80 * 2**30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Made GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert find("device") == Finding("device", "Made GPU, 80 GiB", "the first of 2 CUDA device(s)")


def test_clouds_are_as_the_kit_counts_them() -> None:
    finding = find("cloud counts")
    assert (finding.value, finding.why) == counts.backend()


def test_tiles_are_as_the_kit_reads_them() -> None:
    finding = find("tile reader")
    assert (finding.value, finding.why) == reader.backend()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_machine_without_a_card_is_not_alarmed(monkeypatch) -> None:
    monkeypatch.setattr(machine, "_has_card", lambda: False)
    for name in ("cloud counts on CUDA", "engine: tensorrt", "engine: tensorrt-rtx"):
        assert find(name) == Finding(name, "-", "for NVIDIA cards; this machine has none")


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch reaches the card")
def test_a_card_that_torch_does_not_reach_is_told_why(monkeypatch) -> None:
    monkeypatch.setattr(machine, "_has_card", lambda: True)
    finding = find("cloud counts on CUDA")
    assert finding.value == "none"
    assert "nvcc" in finding.why or "CUDA error" in finding.why


def test_missing_core_is_a_finding_and_no_error(monkeypatch) -> None:
    def missing() -> tuple[str, str]:
        raise InputError("cloud backend native", "no core", remedy="install a compiler")

    monkeypatch.setattr(counts, "backend", missing)
    assert find("cloud counts") == Finding(
        "cloud counts", "none", "cloud backend native: no core; install a compiler"
    )


def test_disk_is_the_current_folder(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path.resolve()) in find("disk").why
