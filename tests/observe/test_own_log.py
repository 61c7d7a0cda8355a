"""The gateway's own log for its readers."""

from typing import Any

from twisted.logger import LogLevel

from mcpgateway.observe.own_log import LINES, NONE, OwnLog


def event(text: str, at: float = 1.0, **more: Any) -> dict[str, Any]:
    """An event, as it is logged."""
    plain = {"log_format": "{log_text}", "log_text": text, "log_time": at}
    return {**plain, "log_namespace": "us", "log_level": LogLevel.info, **more}


def texts(log: OwnLog, number: int = 10, after: str = "") -> list[str]:
    """The lines of its history."""
    return [each.text.partition("] ")[2] or each.text for each in log.history(number, after)]


def test_lines():
    """Each line has an id of its own, after which a reader goes on; only the latest are kept."""
    log = OwnLog()
    for each in range(LINES + 2):
        log.heard(event(f"line {each}"))
    found = log.history(3)
    assert texts(log, 2) == [f"line {LINES}", f"line {LINES + 1}"]
    assert texts(log, 10, found[0].identifier) == [f"line {LINES}", f"line {LINES + 1}"]
    assert len(log.history(10 * LINES)) == LINES
    assert log.history(0) == []


def test_several_lines():
    """A text of several lines is several lines, and shows no control characters."""
    log = OwnLog()
    log.heard(event("one\ntwo\x1b[31m"))
    assert len(log.history(10)) == 2
    assert "\x1b" not in "".join(texts(log))


def test_file():
    """The history is the end of the file without secrets; a reader that comes back gets what came since."""
    log = OwnLog(lambda number: ["older", "key=secret"][-number:], lambda text: text.replace("secret", "***"))
    assert [each.identifier for each in log.history(1)] == [NONE]
    log.heard(event("first"))
    assert texts(log) == ["older", "key=***"]
    last = log.history(1)[0].identifier
    log.heard(event("second"))
    assert texts(log, 10, last) == ["second"]
    assert texts(log, 10, NONE) == ["first", "second"]


def test_followers():
    """A follower gets each line as it comes, until it leaves."""
    heard: list[str] = []

    class Reader:
        def added(self, entry: Any) -> None:
            heard.append(entry.text)

        def ended(self) -> None:
            heard.append("the end")

    log = OwnLog()
    leave = log.follow(Reader())
    log.heard(event("first"))
    leave()
    log.heard(event("second"))
    log.follow(Reader())
    log.close()
    assert len(heard) == 2
    assert heard[0].endswith("first")
    assert heard[1] == "the end"
