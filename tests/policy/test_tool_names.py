"""The traits that names of tools show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mcpgateway.policy.tool_names import only_reads, state_told_by, words_of

CATALOGUE = Path(__file__).parents[1] / "search" / "catalogue"
LISTS = {
    each.stem: [tool["name"] for tool in json.loads(each.read_text())["tools"]]
    for each in CATALOGUE.glob("*.json")
}
STATEFUL = {"chrome", "playwright", "desktop", "kubernetes", "mongodb", "powerpoint"}


class StateTests:
    """Servers that keep something for the client that calls them."""

    @pytest.mark.parametrize(
        "name",
        "git_set_working_dir set_working_directory setCwd set_project_path use_database use_notebook select_device"
        " kubectl_use_context switch_context switch_account activate_project connect disconnect connect_to_database"
        " login logout sign_in navigate navigate_page browser_click page_goto begin begin_transaction start_process"
        " session_set_defaults start_session close_session open_browser new_page close_page"
        " restart_python_worker reset_kernel".split(),
    )
    def test_told(self, name: str) -> None:
        """A single tool is enough to show that a server keeps state."""
        assert state_told_by(["search", name, "list_items"]) == name

    @pytest.mark.parametrize(
        "name",
        "search list_sessions get_session search_sessions use_tool select_rows set_value set_config_value set_note"
        " create_page notion_create_page connect_nodes list_connections rollback_release helm_rollback commit"
        " git_checkout create_directory read_file user_settings useful_hints selection processes"
        " restart_service reset_password"
        " beginner_guide".split(),
    )
    def test_not_told(self, name: str) -> None:
        """Words that only look alike say nothing."""
        assert state_told_by(["search", name]) == ""

    def test_rollback(self) -> None:
        """A rollback shows state where transactions are begun."""
        assert state_told_by(["rollback", "query"]) == ""
        assert state_told_by(["rollback", "start_transaction"])

    @pytest.mark.parametrize("server", sorted(LISTS))
    def test_real_servers(self, server: str) -> None:
        """The stateful ones of the real servers are known by their tools; some by their package only."""
        assert bool(state_told_by(LISTS[server])) is (server in STATEFUL)


class ReadingTests:
    """Tools that only read."""

    @pytest.mark.parametrize(
        "name",
        "search brave_web_search tavily-search fetch get_file_contents list_issues read_graph searchNodes"
        " resolve-library-id query-docs directory_tree get_current_time describe_table".split(),
    )
    def test_reads(self, name: str) -> None:
        """Tools that only read are known by their names."""
        assert only_reads(name)

    @pytest.mark.parametrize(
        "name",
        "query create_entities get_or_create_note search_and_replace read_and_mark_done write_query open_nodes"
        " mark_task_done get_next_task request_planning append_insight execute edit_file updateList".split(),
    )
    def test_may_change(self, name: str) -> None:
        """A tool with a word for a change, or without one for reading, may change something."""
        assert not only_reads(name)

    def test_words(self) -> None:
        """Names in all spellings."""
        for name in ("git_set_working_dir", "git-set-working-dir", "gitSetWorkingDir", "git.set.workingDir"):
            assert words_of(name) == ["git", "set", "working", "dir"]
        assert words_of("getURLInfo2") == ["get", "url", "info", "2"]
