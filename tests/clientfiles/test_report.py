"""The report on changes of clients' files."""

from __future__ import annotations

from mcpgateway.clientfiles.plan import UntouchedEntry
from mcpgateway.clientfiles.report import FileReport, Report, together

WEB = UntouchedEntry("web", "is reached by a URL already")


class TogetherTests:
    """Steps that follow one another."""

    def test_told_once(self) -> None:
        """An entry that a later step leaves as it is is reported once, and a change stays in the report."""
        led = FileReport("/f", "cursor", "Cursor", changed=True, adopted={"a": "a"}, left=(WEB,))
        again = FileReport("/f", "cursor", "Cursor", left=(WEB, UntouchedEntry("b", "is off")))
        (found,) = together([Report((led,), ("w",)), Report((again,), ("w", "v"))])
        assert found.is_changed
        assert [each.left for each in found.files] == [(), again.left]
        assert found.warnings == ("w", "v")

    def test_taken_back(self) -> None:
        """A step that was taken back stands by itself, and so does a single one."""
        reports = [Report(), Report(rolled_back="disk full")]
        assert together(reports) == reports
        assert together(reports[:1]) == reports[:1]
