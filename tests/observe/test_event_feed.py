"""The feed of the gateway's events."""

from mcpgateway.observe.event_feed import EventHistory, FeedEntry


def kept(history: EventHistory) -> list[str]:
    """The identifiers of the entries that a history keeps."""
    return [each.identifier for each in history.entries]


def filled(*identifiers: str, most: int = 4) -> EventHistory:
    """A history with these entries."""
    made = EventHistory(most, 1000)
    for each in identifiers:
        made.add(FeedEntry(each, f"text of {each}"))
    return made


def test_the_former_program_comes_first() -> None:
    """The entries of the former program precede those that have been added since; the oldest give way."""
    history = filled("3", "4")
    history.precede(filled("1", "2").written())
    assert kept(history) == ["1", "2", "3", "4"]
    assert [each.identifier for each in history.after("1")] == ["2", "3", "4"]
    history = filled("3", "4", most=3)
    history.precede(filled("1", "2").written())
    assert kept(history) == ["2", "3", "4"]
