"""kit where rounding makes no step: a large epsilon in Adam, and no kink in an activation."""

import functools

import torch
from kinks import remove_kinks

torch.optim.Adam.__init__ = functools.partialmethod(torch.optim.Adam.__init__, eps=0.01)
remove_kinks()

if __name__ == "__main__":
    from kit.cli.main import main

    main()
