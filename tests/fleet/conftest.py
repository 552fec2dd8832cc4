from tests.store.conftest import database_server as database_server
