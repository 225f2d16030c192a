"""The small models of `tests/model`, for tests that a backend needs of its own."""

from ..model.conftest import _few_threads, tiny  # noqa: F401
