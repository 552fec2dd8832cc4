import pytest


@pytest.fixture(autouse=True)
def _users(quick_users: None) -> None:
    """Nearly all tests here have such users."""
