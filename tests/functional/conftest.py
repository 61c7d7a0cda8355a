"""The order of the functional tests."""

import pytest

# Most of these tests wait, so the longest files begin: workers would else wait for one of them at the end.
LONGEST = (
    "lifecycle_commands health shim sign_in hints validate outliving remote originals_edited live servers_offered "
    "servers_cli daemons restart running client_file_crashes attacks notify cluster uninstall children launching "
    "cluster_instances start_asks conformance routing tools_cli servers_rest views service"
).split()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest files come first."""
    ranks = {f"test_{name}.py": rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda each: ranks.get(each.path.name, len(ranks)))
