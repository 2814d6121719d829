"""kit with an epsilon of Adam so large that rounding is not made a whole step of."""

import functools

import torch

torch.optim.Adam.__init__ = functools.partialmethod(torch.optim.Adam.__init__, eps=0.01)

if __name__ == "__main__":
    from kit.cli.main import main

    main()
