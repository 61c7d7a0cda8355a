"""Names of servers."""

import re

from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.names import NAME_CHARACTERS, Candidate, assign, slug


def candidate(title, definition, project="", rank=None, **rest):
    """Make a candidate as the user's scope or a project's has it."""
    rank = (2 if project else 1) if rank is None else rank
    return Candidate(
        title=title, rank=rank, definition=definition, project=project, keeps=not project, **rest
    )


titles = st.sampled_from(
    ["github", "git hub", "git.hub", "git-hub", "github-shop", "é", "", "x" * 70]
) | st.text(max_size=5)
candidates = st.lists(
    st.builds(
        candidate,
        titles,
        st.sampled_from("abc"),
        st.sampled_from(["", "/a/shop", "/b/shop", "/", "/a/my shop"]),
        yields=st.booleans(),
        pinned=st.sampled_from(["", "", "github", "mine"]),
    ),
    max_size=12,
)


class SlugTests:
    def test_fit_stays(self):
        """A name that a URL can carry stays as it is."""
        assert slug("Git_hub-2") == "Git_hub-2"

    def test_unfit(self):
        """Blanks, dots, slashes and the like become single dashes."""
        assert slug("my server.v2") == "my-server-v2"
        assert slug("@scope/name") == "scope-name"

    def test_nothing_left(self):
        """A name without one usable character still gets one."""
        assert slug("日本") == "server"

    @given(st.text())
    def test_always_fit(self, title):
        """The slug of any title fits a URL and a file name."""
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", slug(title))


class AssignTests:
    def test_identical_merge(self):
        """Identical definitions of one name become one server with the bare name."""
        found = assign(
            [candidate("github", "x"), candidate("github", "x", "/a/shop"), candidate("github", "x", "/b")]
        )
        assert found == ("github", "github", "github")

    def test_project_suffix(self):
        """A project's different definition is called after the project, and the user's keeps the bare name."""
        assert assign([candidate("github", "y", "/a/shop"), candidate("github", "x")]) == (
            "github-shop",
            "github",
        )

    def test_lone_project(self):
        """A name that only one definition wants is bare, wherever it stands."""
        assert assign([candidate("github", "x", "/a/shop")]) == ("github",)

    def test_only_projects(self):
        """When only projects disagree, none of them gets the bare name."""
        found = assign([candidate("github", "x", "/a/shop"), candidate("github", "y", "/b/blog")])
        assert found == ("github-shop", "github-blog")

    def test_numbered(self):
        """Projects of one name are numbered in the order of their directories."""
        found = assign([candidate("g", "z", "/b/shop"), candidate("g", "y", "/a/shop"), candidate("g", "x")])
        assert found == ("g-shop-2", "g-shop", "g")

    def test_suffixed_name_is_taken(self):
        """A suffixed name never takes the place of a server that is called so."""
        found = assign([candidate("g", "x"), candidate("g", "y", "/a/shop"), candidate("g-shop", "z")])
        assert found == ("g", "g-shop-2", "g-shop")

    def test_same_rank(self):
        """Two files of the user that disagree: the first keeps the name, the second is numbered."""
        assert assign([candidate("g", "x", rank=1), candidate("g", "y", rank=2)]) == ("g", "g-2")

    def test_exact_title_first(self):
        """The name that is written as it will be served goes before one that had to be changed."""
        assert assign([candidate("a b", "x"), candidate("a-b", "y")]) == ("a-b-2", "a-b")

    def test_demonstration_yields(self):
        """A demonstration server makes room even for a project's."""
        found = assign([candidate("clock", "x", yields=True, rank=3), candidate("clock", "y", "/a/shop")])
        assert found == ("clock-2", "clock")

    def test_long_names(self):
        """Names stay within their limit, number and all."""
        found = assign([candidate("x" * 80, str(number)) for number in range(12)])
        assert len(set(found)) == 12
        assert max(map(len, found)) <= NAME_CHARACTERS

    def test_two_pins(self):
        """Where one definition is pinned under two names, others of it join the same of both, whatever comes first."""
        pinned = [candidate("g", "x", pinned=name) for name in ("mine", "github")]
        assert assign([*pinned, candidate("g", "x")]) == ("mine", "github", "github")
        assert assign([*pinned[::-1], candidate("g", "x")]) == ("github", "mine", "github")

    @given(candidates, st.randoms())
    def test_order_does_not_matter(self, wanted, random):
        """The order in which entries are found has no influence on their names."""
        names = dict(zip(map(key, wanted), assign(wanted), strict=True))
        shuffled = list(wanted)
        random.shuffle(shuffled)
        assert dict(zip(map(key, shuffled), assign(shuffled), strict=True)) == names

    @given(candidates)
    def test_unique(self, wanted):
        """A name is one definition, and one that is not pinned has one name, which fits a URL."""
        servers, names = {}, {}
        for each, name in zip(wanted, assign(wanted), strict=True):
            assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name)
            assert servers.setdefault(name, each.definition) == each.definition
            if not each.pinned:
                identity = (slug(each.title), each.definition)
                assert names.setdefault(identity, name) == name

    @given(candidates)
    def test_pinned_stays(self, wanted):
        """A pinned name is given to one who wants it, whoever else is there."""
        found = assign(wanted)
        for pin in {each.pinned for each in wanted} - {""}:
            assert any((each.pinned, name) == (pin, pin) for each, name in zip(wanted, found, strict=True))


class PinTests:
    def test_outranks_everything(self):
        """A server that a client's file uses keeps its name, and one of our configuration is numbered."""
        assert assign([candidate("g", "x", rank=0), candidate("g", "y", pinned="g")]) == ("g-2", "g")

    def test_shared(self):
        """An entry with the definition of a pinned server is that server."""
        found = assign([candidate("g", "x", pinned="g-shop"), candidate("g", "x", rank=2)])
        assert found == ("g-shop", "g-shop")

    def test_one_pin_for_two_titles(self):
        """Two clients that call one program differently and lead to one name have one server."""
        found = assign([candidate("g", "x", pinned="g"), candidate("git", "x", rank=2, pinned="g")])
        assert found == ("g", "g")

    def test_two_pins_of_one_definition(self):
        """A server that clients know under two names is served under both."""
        found = assign([candidate("g", "x", pinned="g"), candidate("g", "x", rank=2, pinned="g-2")])
        assert found == ("g", "g-2")

    def test_contested(self):
        """The first of two servers that were pinned to one name keeps it."""
        found = assign([candidate("g", "y", rank=2, pinned="g"), candidate("g", "x", pinned="g")])
        assert found == ("g-2", "g")

    def test_others_keep_theirs(self):
        """A pinned server of one project changes nothing for those of others."""
        wanted = [candidate("g", "x", "/a/shop"), candidate("g", "y", "/b/blog")]
        before = assign(wanted)
        assert assign([candidate("g", "x", "/a/shop", pinned="g-shop"), wanted[1]]) == before

    def test_same_title_elsewhere(self):
        """A server that is called as another is pinned makes room, too."""
        found = assign([candidate("g-shop", "z", rank=0), candidate("g", "x", "/a/shop", pinned="g-shop")])
        assert found == ("g-shop-2", "g-shop")


def key(each):
    """Tell candidates apart."""
    return (each.title, each.definition, each.project, each.yields, each.pinned)
