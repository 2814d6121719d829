"""The CUDA core against the numpy reference; without a device, what it says instead."""

import ctypes

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kit.errors import InputError
from kit.machine import native
from kit.screening import counts as clouds
from kit.screening.rule import CloudRule

LIBRARY, WHY = native.load("kit_cuda")
needs_library = pytest.mark.skipif(LIBRARY is None, reason=WHY)
RULES = [
    CloudRule(),
    CloudRule(scale=1, threshold=0.0),
    CloudRule(scale=32767, threshold=-0.001),
    CloudRule(scale=32768, threshold=-1.0),
    CloudRule(scale=65535, threshold=0.999),
]
SHAPES = [(1, 1, 1), (3, 1, 7), (2, 5, 8), (4, 9, 33), (70, 16, 16), (5, 120, 131), (2, 515, 513)]


def devices() -> tuple[int, int, str]:
    """How many there are, and the library's answer as a code and a text."""
    found = ctypes.c_int()
    code = LIBRARY.kit_cuda_devices(found)
    return found.value, code, LIBRARY.kit_cuda_error(code).decode()


def refusal() -> str:
    """Why no scene can be counted here, or nothing."""
    if LIBRARY is None:
        return WHY
    _, code, text = devices()
    return f"no CUDA device: {text}" if code else ""


needs_device = pytest.mark.skipif(bool(refusal()), reason=refusal())
needs_torch = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")


def on_device(rgb: torch.Tensor, qa60: torch.Tensor, rule: CloudRule) -> NDArray[np.int64]:
    counts = clouds.count_on_device(rgb, qa60, rule)
    assert counts.dtype == torch.int64
    return counts.cpu().numpy()


def images(shape: tuple[int, int, int]) -> list[NDArray[np.uint16]]:
    """Batches [N, 4, H, W]: noise, mostly nothing, extremes, constant bands, nearly constant."""
    random = np.random.default_rng(shape)
    n, h, w = shape
    noise = random.integers(0, 65536, (n, 4, h, w), np.uint16)
    thin = random.integers(0, 6000, (n, 4, h, w), np.uint16) * (random.random((n, 1, h, w)) < 0.3)
    extremes = random.choice(np.array([0, 1, 32767, 32768, 65534, 65535], np.uint16), (n, 4, h, w))
    constant, nearly = noise.copy(), noise.copy()
    constant[::2, 1] = 65535
    nearly[:, 2] = 7
    nearly[::2, 2, -1, -1] = 8
    return [noise, thin.astype(np.uint16), extremes, constant, nearly]


@needs_library
def test_library_loads_without_a_driver_and_says_what_it_finds() -> None:
    found, code, text = devices()
    assert (found > 0) == (code == 0)
    assert len(text) > 5
    if torch.cuda.is_available():
        assert found == torch.cuda.device_count()


@needs_library
@pytest.mark.skipif(not refusal(), reason="there is a CUDA device")
def test_without_a_device_the_backend_is_refused() -> None:
    _, code, text = devices()
    rgb, qa60 = np.zeros((1, 3, 2, 2), np.uint16), np.zeros((1, 2, 2), np.uint16)
    with pytest.raises(InputError, match="cloud backend cuda") as caught:
        clouds.count(rgb, qa60, CloudRule(), backend="cuda")
    assert text in caught.value.problem
    assert str(code) in caught.value.problem
    assert caught.value.remedy


def test_tensors_of_the_processor_are_refused() -> None:
    rgb = torch.zeros(1, 3, 2, 2, dtype=torch.uint16)
    with pytest.raises(InputError, match="CUDA"):
        clouds.count_on_device(rgb, rgb[:, 0], CloudRule())


@pytest.mark.gpu
@needs_device
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shape", SHAPES)
def test_host_arrays_count_like_the_reference(shape, rule) -> None:
    for stack in images(shape):
        for view in (stack, stack[::-1, :, ::2, ::-1], stack.transpose(0, 1, 3, 2)):
            rgb, qa60 = view[:, :3], view[:, 3]
            expected = clouds.count(rgb, qa60, rule, backend="reference")
            counts = clouds.count(rgb, qa60, rule, backend="cuda")
            np.testing.assert_array_equal(counts, expected)


@pytest.mark.gpu
@needs_device
def test_host_scene_larger_than_one_upload() -> None:
    # Each half of it has constant bands.
    stack = np.full((1, 4, 4100, 4100), 5500, np.uint16)
    stack[:, :, 4000:] = 1024
    rgb, qa60 = stack[:, :3], stack[:, 3]
    expected = [100 * 4100, 4000 * 4100]
    counts = clouds.count(rgb, qa60, CloudRule(), backend="cuda")[0]
    assert counts.tolist() == [sum(expected), 0, sum(expected), 0, sum(expected), expected[1]]


@pytest.mark.gpu
@needs_device
@needs_torch
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shape", SHAPES)
def test_tensors_count_like_the_reference(shape, rule) -> None:
    for stack in images(shape):
        rgb, qa60 = stack[:, :3], stack[:, 3]
        expected = clouds.count(rgb, qa60, rule, backend="reference")
        tensor = torch.from_numpy(stack).cuda()
        np.testing.assert_array_equal(on_device(tensor[:, :3], tensor[:, 3], rule), expected)


@pytest.mark.gpu
@needs_device
@needs_torch
def test_strided_and_misaligned_tensors_count_like_their_copies() -> None:
    stack = np.random.default_rng(0).integers(0, 6000, (6, 4, 40, 72), np.uint16)
    tensor = torch.from_numpy(stack).cuda()
    views = {
        "crop at an aligned column": lambda x: x[:, :, 3:, 8:],
        "crop at an odd column": lambda x: x[:, :, :, 1:],
        "rows cut short": lambda x: x[:, :, :, :61],
        "every other": lambda x: x[::2, :, ::3, 1::2],
        "odd start": lambda x: x.reshape(-1)[1 : 1 + 5 * 4 * 40 * 72].reshape(5, 4, 40, 72),
        "transposed": lambda x: x.swapaxes(2, 3),
        "bands last": lambda x: x.reshape(6, 40, 72, 4).swapaxes(1, 3),
    }
    for name, view in views.items():
        array, part = view(stack), view(tensor)
        expected = clouds.count(array[:, :3], array[:, 3], CloudRule(), backend="reference")
        counts = on_device(part[:, :3], part[:, 3], CloudRule())
        np.testing.assert_array_equal(counts, expected, err_msg=name)


@pytest.mark.gpu
@needs_device
@needs_torch
def test_more_scenes_than_a_grid_has_rows() -> None:
    stack = np.random.default_rng(0).integers(0, 6000, (70_000, 4, 2, 3), np.uint16)
    rgb, qa60 = stack[:, :3], stack[:, 3]
    expected = clouds.count(rgb, qa60, CloudRule(), backend="reference")
    tensor = torch.from_numpy(stack).cuda()
    np.testing.assert_array_equal(on_device(tensor[:, :3], tensor[:, 3], CloudRule()), expected)


@pytest.mark.gpu
@needs_device
@needs_torch
def test_current_stream_orders_the_count() -> None:
    stack = np.random.default_rng(0).integers(0, 6000, (64, 4, 256, 256), np.uint16)
    expected = clouds.count(stack[:, :3], stack[:, 3], CloudRule(), backend="reference")
    host = torch.from_numpy(stack).pin_memory()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        tensor = torch.empty(stack.shape, dtype=torch.uint16, device="cuda")
        tensor.copy_(host, non_blocking=True)
        counts = clouds.count_on_device(tensor[:, :3], tensor[:, 3], CloudRule())
    stream.synchronize()
    np.testing.assert_array_equal(counts.cpu().numpy(), expected)


@pytest.mark.gpu
@needs_device
def test_no_scenes_are_no_counts() -> None:
    rgb, qa60 = np.zeros((0, 3, 4, 5), np.uint16), np.zeros((0, 4, 5), np.uint16)
    assert clouds.count(rgb, qa60, CloudRule(), backend="cuda").shape == (0, 6)


@pytest.mark.gpu
@needs_device
@needs_torch
def test_no_tensors_are_no_counts() -> None:
    rgb = torch.zeros(0, 3, 4, 5, dtype=torch.uint16, device="cuda")
    assert on_device(rgb, rgb[:, 0], CloudRule()).shape == (0, 6)


@pytest.mark.gpu
@needs_device
@pytest.mark.parametrize("rule", [CloudRule(min_area=2), CloudRule(dilate=1)])
def test_rules_on_neighbours_are_refused(rule) -> None:
    rgb, qa60 = np.zeros((1, 3, 2, 2), np.uint16), np.zeros((1, 2, 2), np.uint16)
    with pytest.raises(InputError, match="neighbours"):
        clouds.count(rgb, qa60, rule, backend="cuda")
