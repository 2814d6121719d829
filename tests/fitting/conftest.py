from tests.helpers.members import few_values

__all__ = ["few_values"]
