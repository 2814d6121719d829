import torch

from kit.models.prior import Prior


def test_the_prior_is_shown_and_elsewhere_one_colour() -> None:
    generator = Prior()
    generator.color = torch.tensor([0.0, 0.5, 1.0])
    planes = torch.rand(2, 8, 4, 5) * 2 - 1
    planes[0, -1], planes[1, -1] = 1, -1
    found = generator(planes)
    assert torch.equal(found[0], planes[0, 4:7])
    assert found[1, :, 2, 3].tolist() == [-1, 0, 1]
