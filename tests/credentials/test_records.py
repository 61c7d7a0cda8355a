"""Records of a password manager, as the credentials of servers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.edit.env_file import NAME
from mcpgateway.credentials.records import PasswordRecord, credentials_of, for_env_file
from mcpgateway.errors import ConfigError


class CredentialsTests:
    def test_names(self):
        """Password, user and own fields are variables named after the server; what begins with HDR_ is a header."""
        record = PasswordRecord("my-git.hub", "ada", "pw", {"Api Key": "k", "HDR_X-Token": "t", "empty": ""})
        (found,) = credentials_of([record])
        assert found.prefix == "MY_GIT_HUB"
        assert found.env == {
            "MY_GIT_HUB_PASSWORD": "pw",
            "MY_GIT_HUB_USER": "ada",
            "MY_GIT_HUB_API_KEY": "k",
        }
        assert found.headers == {"X-Token": "t"}

    def test_env_file(self):
        """A header in a file of values is a variable, with a warning that an entry has to send it."""
        values, notes = for_env_file(credentials_of([PasswordRecord("a", "", "p", {"HDR_X-Token": "t"})]))
        assert values == {"A_PASSWORD": "p", "A_HDR_X_TOKEN": "t"}
        assert notes == {
            "A_HDR_X_TOKEN": "WARNING: a header, which is only sent where an entry says so: X-Token: ${A_HDR_X_TOKEN}"
        }

    def test_untitled(self):
        """An entry without a title is passed over, any number of times."""
        assert credentials_of([PasswordRecord("", "a", "b"), PasswordRecord("  ", "c", "d")]) == ()

    @pytest.mark.parametrize(
        "records",
        [
            [PasswordRecord("a-b"), PasswordRecord("a.b")],
            [PasswordRecord("a"), PasswordRecord("a")],
            [PasswordRecord("A", fields={"x y": "1", "x-y": "2"})],
            [PasswordRecord("a", password="p", fields={"password": "q"})],
            [PasswordRecord("a", fields={"HDR_Host": "h"})],
            [PasswordRecord("a", fields={"HDR_X Y": "h"})],
            [PasswordRecord("a", fields={"HDR_X": "secret\r\nY: z"})],
        ],
    )
    def test_refused(self, records):
        """Two that would be one variable are an error, and so is what no header can be; no value is shown."""
        with pytest.raises(ConfigError) as caught:
            credentials_of(records)
        assert "secret" not in str(caught.value)

    @given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
    def test_any_name(self, title, name, value):
        """The variables of entries with any names can be read from a file of values."""
        try:
            found = credentials_of([PasswordRecord(title, "u", "p", {name: value})])
        except ConfigError:
            return
        values, _ = for_env_file(found)
        assert all(NAME.fullmatch(each) for each in values)

    def test_repr(self):
        """No value is in a repr."""
        (found,) = credentials_of(
            [PasswordRecord("a", "ada1", "hunter2", {"f": "hunter3", "HDR_X": "hunter4"})]
        )
        said = repr(found) + repr(PasswordRecord("a", "ada1", "hunter2", {"f": "hunter3"}))
        assert "hunter" not in said
        assert "ada1" not in said
