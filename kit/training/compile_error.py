"""A torch.compile that fails, by name.

In: what it raises, of many kinds. Out: one error, with what to do.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from kit.errors import InputError
from kit.plain_text import one_line

# What compiles: torch.compile's front and back end, and the compiler of kernels for cards.
_COMPILERS = ("torch._dynamo", "torch._inductor", "torch._functorch", "triton")


class CompileError(InputError):
    """torch.compile cannot compile a generator on this machine."""


@contextmanager
def compile_failures_named(where: str) -> Iterator[None]:
    """Raise CompileError in place of what a compiler raises within the block.

    Args:
        where: what is compiled.

    Raises:
        CompileError: the compiler failed.
    """
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith(_COMPILERS):
            raise
        cause = getattr(error, "inner_exception", error)  # without advice for who writes compilers
        reason = one_line(cause) or type(cause).__name__
        problem = f"torch.compile fails on this machine: {reason}"
        raise CompileError(where, problem, remedy="train with --no-compile") from error
