import pytest

from tests.store.conftest import database_server as database_server


@pytest.fixture(autouse=True)
def _users(quick_users: None) -> None:
    """Nearly all tests here have such users."""
