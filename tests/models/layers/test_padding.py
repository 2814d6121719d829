import pytest
import torch
import torch.nn.functional as F

from kit.models.layers.padding import reflect_to_multiple


def test_a_size_that_fits_is_returned_as_it_is() -> None:
    image = torch.rand(1, 2, 64, 96)
    assert reflect_to_multiple(image, 32, 2) is image


@pytest.mark.parametrize("size", [(40, 33), (63, 64), (96, 65)])
def test_a_short_pad_equals_torch_reflection(size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size)
    down, right = (-side % 32 for side in size)
    expected = F.pad(image, (0, right, 0, down), mode="reflect")
    assert torch.equal(reflect_to_multiple(image, 32, 2), expected)


def test_a_long_pad_runs_to_and_fro() -> None:
    row = torch.tensor([10.0, 20.0, 30.0]).expand(1, 1, 1, 3)
    padded = reflect_to_multiple(row, 4, 2)
    assert padded.shape == (1, 1, 8, 8)
    assert padded[0, 0, 0].tolist() == [10, 20, 30, 20, 10, 20, 30, 20]
    assert torch.equal(padded, padded[..., :1, :].expand(1, 1, 8, 8))


def test_one_pixel_and_one_multiple_become_two_multiples() -> None:
    assert torch.equal(
        reflect_to_multiple(torch.full((1, 1, 1, 1), 7.0), 2, 2), torch.full((1, 1, 4, 4), 7.0)
    )
    assert reflect_to_multiple(torch.rand(1, 1, 16, 32), 16, 2).shape == (1, 1, 32, 32)


def test_one_multiple_stays_where_it_is_enough() -> None:
    image = torch.rand(1, 2, 32, 64)
    assert reflect_to_multiple(image, 32, 1) is image
    assert reflect_to_multiple(image[..., :20, :33], 32, 1).shape == (1, 2, 32, 64)
