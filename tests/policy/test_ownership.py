"""The owner of the account at a server."""

from attrs import evolve

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import GrantOf, OAuth, Remote, Transport
from mcpgateway.policy.access import LOCAL, REMOTE, TOKEN
from mcpgateway.policy.ownership import can_sign_in, is_personal, owner_of, person_of

ANN, BOB = "agent a1", "key b2"
URL = "https://mcp.example/mcp"


def remote(**more: object) -> ServerSpec:
    """A remote server."""
    return ServerSpec("remote", (), {}, "/", reach=evolve(Remote(URL), **more))


class OwnerTests:
    def test_each_credential_of_a_client_is_somebody(self) -> None:
        """The gateway's own user is one, however it comes; clients are each one of their own."""
        assert [owner_of(each, remote()) for each in (LOCAL, TOKEN, REMOTE, ANN, BOB)] == [
            "",
            "",
            "",
            ANN,
            BOB,
        ]
        assert [person_of(each) for each in (TOKEN, ANN)] == ["", ANN]

    def test_one_for_all(self) -> None:
        """The entry may say that all use one account."""
        assert owner_of(ANN, remote(oauth=OAuth(grant=GrantOf.GATEWAY))) == ""
        assert owner_of(ANN, remote(oauth=OAuth(grant=GrantOf.USER))) == ANN

    def test_nowhere_to_sign_in(self) -> None:
        """Where nobody signs in there is no account, and one server for all."""
        programs = ServerSpec("program", ("run",), {}, "/")
        with_token = remote(headers={"authorization": "Bearer x"})
        for server in (programs, with_token, remote(transport=Transport.WEBSOCKET)):
            assert not can_sign_in(server.reach)
            assert (owner_of(ANN, server), is_personal(server)) == ("", False)

    def test_views(self) -> None:
        """The owner of a view is its principal, where it is not the user."""
        assert owner_of(ANN, ServerSpec("", (), {}, "/", view="full")) == ANN
        assert owner_of(LOCAL, ServerSpec("", (), {}, "/", view="full")) == ""
