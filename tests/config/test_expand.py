"""Variables in text."""

from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.expand import escaped, expand, unescaped

VALUES = {"NAME": "value", "EMPTY": "", "BROKEN": "a\nb", "NESTED": "${NAME}"}

texts = st.lists(
    st.one_of(
        st.sampled_from(["${", "}", "{env:", "NAME", "EMPTY", ":-", ":?", "$", "BROKEN", ":"]),
        st.text(max_size=4),
    )
).map("".join)


class ExpandTests:
    def test_all_forms(self):
        """Every written form stands for the variable's value."""
        for form in ("${NAME}", "{env:NAME}", "${env:NAME}", "${NAME:-x}", "${NAME:?x}"):
            assert expand(f"<{form}>", VALUES).text == "<value>"

    def test_default(self):
        """A default is used when the variable is unset or empty."""
        assert expand("${NOT:-a b}|${EMPTY:-c}|${NOT:-}", VALUES).text == "a b|c|"

    def test_empty_is_set(self):
        """An empty variable without a default is empty, and is not reported."""
        found = expand("<${EMPTY}{env:EMPTY}>", VALUES)
        assert (found.text, found.unset) == ("<>", ())

    def test_demanded(self):
        """A demanded variable that is missing is reported with the message that the file gives."""
        assert expand("${NOT:?set it first}", VALUES).demanded == ("NOT: set it first",)
        assert expand("${EMPTY:?}", VALUES).demanded == ("EMPTY: is not set",)

    def test_unset(self):
        """An unset variable becomes empty or stays as written, and is named either way."""
        gone = expand("a${NOT}b{env:NOPE}", VALUES)
        kept = expand("a${NOT}b{env:NOPE}", VALUES, keep_unset=True)
        assert (gone.text, gone.unset) == ("ab", ("NOT", "NOPE"))
        assert (kept.text, kept.unset) == ("a${NOT}b{env:NOPE}", ("NOT", "NOPE"))

    def test_not_recursive(self):
        """The value of a variable is never expanded again."""
        assert expand("${NESTED}", VALUES).text == "${NAME}"

    def test_broken(self):
        """A variable whose value holds a line break is named."""
        assert expand("x${BROKEN}", VALUES).broken == ("BROKEN",)

    def test_other_text(self):
        """A dollar without braces, an odd name and an open brace are no variables."""
        for text in ("$NAME", "${}", "${1A}", "${NAME", "{NAME}", "${a b}", "$${"):
            assert expand(text, VALUES).text == text

    def test_text(self):
        """A default of no variable is that text, and nothing in it is expanded."""
        assert expand("<${:-$}{NAME}|${:-{}env:NAME}|${:-}>", VALUES).text == "<${NAME}|{env:NAME}|>"
        assert escaped("${NAME}") == "${:-$}{NAME}"
        assert escaped("a$b{c}") == "a$b{c}"

    @given(texts)
    def test_escaped(self, text):
        """An escaped text comes out unchanged, and uses no variable."""
        found = expand(escaped(text), VALUES)
        assert (found.text, found.used, found.unset) == (text, {}, ())
        assert unescaped(escaped(text)) == text

    def test_value_not_in_repr(self):
        """The expanded text is not shown when the result is printed."""
        assert "value" not in repr(expand("${NAME}", VALUES))

    @given(texts)
    def test_never_fails(self, text):
        """Any text at all is expanded to some text."""
        assert isinstance(expand(text, VALUES).text, str)

    @given(texts)
    def test_unchanged_without_variables(self, text):
        """A text without an opening of a variable is left as it is."""
        if "${" not in text and "{env:" not in text:
            assert expand(text, VALUES).text == text

    @given(texts)
    def test_unset_kept(self, text):
        """A text with unset variables and no defaults is kept whole where unset ones are to be kept."""
        if ":-" not in text:
            assert expand(text, {}, keep_unset=True).text == text
