"""Through which proxy a place is reached."""

import pytest

from mcpgateway.errors import BackendError
from mcpgateway.policy import urls
from mcpgateway.policy.proxies import Proxy, from_levels, read


def proxy_of(url, said=None, named_by=None, **environ):
    """The address of the proxy of a URL, or None."""
    found = from_levels([environ], said).of(urls.read(url), urls.read(named_by) if named_by else None)
    return found and found.address


class EnvironmentTests:
    def test_by_kind(self):
        """URLs with TLS have a proxy of their own; the common proxy is for those without one."""
        environ = {"HTTP_PROXY": "http://plain.test:1", "HTTPS_PROXY": "http://secure.test:2"}
        assert proxy_of("http://h.test/", **environ) == proxy_of("ws://h.test/", **environ) == "plain.test:1"
        assert (
            proxy_of("https://h.test/", **environ) == proxy_of("wss://h.test/", **environ) == "secure.test:2"
        )
        assert proxy_of("http://h.test/", HTTPS_PROXY="http://p.test:1") is None
        assert proxy_of("https://h.test/", ALL_PROXY="http://all.test:3") == "all.test:3"
        assert proxy_of("https://h.test/", ALL_PROXY="socks5://all.test:3") is None
        assert proxy_of("https://h.test/") is None

    def test_lower_case_goes_before(self):
        """The lower-case spelling counts as everywhere, also where it is empty."""
        assert (
            proxy_of("https://h.test/", HTTPS_PROXY="http://a.test:1", https_proxy="b.test:2") == "b.test:2"
        )
        assert proxy_of("https://h.test/", HTTPS_PROXY="http://a.test:1", https_proxy="") is None

    def test_levels(self):
        """A later level of the environment outranks the earlier ones, in any spelling."""
        found = from_levels([{"https_proxy": "http://a.test:1"}, {"HTTPS_PROXY": "http://b.test:2"}])
        assert found.of(urls.read("https://h.test/")).address == "b.test:2"

    @pytest.mark.parametrize(
        ("exempt", "is_exempt"),
        [
            ("h.test", True),
            (".test", True),
            ("*.test", True),
            ("TEST", True),
            ("other.test, h.test", True),
            ("*", True),
            ("h.test:8443", True),
            ("h.test:443", False),
            ("st", False),
            ("a.h.test", False),
            ("", False),
        ],
    )
    def test_exempt_names(self, exempt, is_exempt):
        """Hosts that are listed are reached without, and all below them."""
        found = proxy_of("https://h.test:8443/", HTTPS_PROXY="http://p.test:1", NO_PROXY=exempt)
        assert (found is None) is is_exempt

    @pytest.mark.parametrize(
        ("url", "exempt", "is_exempt"),
        [
            ("https://10.1.2.3/", "10.0.0.0/8", True),
            ("https://11.1.2.3/", "10.0.0.0/8", False),
            ("https://10.1.2.3/", "10.1.2.3", True),
            ("https://[fd00::1]/", "fd00::/8", True),
            ("https://[fd00::1]/", "[fd00::1]:443", True),
            ("https://[fd00::1]/", "fd00::1", True),
            ("https://h.test/", "10.0.0.0/8", False),
            ("https://10.1.2.3/", "no/thing", False),
        ],
    )
    def test_exempt_networks(self, url, exempt, is_exempt):
        """Exempt addresses and networks are reached without a proxy."""
        assert (proxy_of(url, HTTPS_PROXY="http://p.test:1", no_proxy=exempt) is None) is is_exempt

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "a.localhost"])
    def test_this_machine(self, host):
        """An address of this machine is reached without a proxy."""
        assert proxy_of(f"http://{host}:3100/", HTTP_PROXY="http://p.test:1") is None


class EntryTests:
    def test_of_an_entry(self):
        """An entry's variables outrank the environment, for its server and the places that it names."""
        said = {"https://h.test:443": "http://own.test:9", "http://localhost:3100": "http://own.test:9"}
        environ = {"HTTPS_PROXY": "http://p.test:1", "NO_PROXY": "*"}
        assert proxy_of("https://h.test/mcp", said, **environ) == "own.test:9"
        assert proxy_of("http://localhost:3100/", said) == "own.test:9"
        assert proxy_of("https://login.test/", said, named_by="https://h.test/mcp") == "own.test:9"
        assert proxy_of("https://login.test/", said, HTTPS_PROXY="http://p.test:1") == "p.test:1"

    def test_none(self):
        """An entry may say that there is none."""
        said = {"https://h.test:443": ""}
        assert proxy_of("https://h.test/", said, HTTPS_PROXY="http://p.test:1") is None


class UrlTests:
    def test_credentials(self):
        """A user and a password are sent as they are meant, and shown nowhere."""
        found = read("http://me:p%40ss@proxy.test:3128/")
        assert found == Proxy("proxy.test", 3128, "Basic bWU6cEBzcw==")
        assert "bWU" not in repr(found)
        assert "ss@" not in repr(from_levels([{"HTTP_PROXY": "http://me:ss@proxy.test"}]))

    def test_port(self):
        """A proxy without a port has that of HTTP; its scheme may be missing."""
        assert (read("http://proxy.test").port, read("proxy.test:3128").port, read("[::1]:1").address) == (
            80,
            3128,
            "[::1]:1",
        )

    @pytest.mark.parametrize(
        "url", ["socks5://p.test:1", "https://p.test:1", "http://", "http://p.test:x", "http://a b"]
    )
    def test_others(self, url):
        """A proxy that cannot be used is an error that says what can, and shows no more than the kind."""
        with pytest.raises(BackendError, match="its proxy is") as caught:
            read(url)
        assert "http://HOST:PORT" in caught.value.hint
        assert "p.test" not in caught.value.message
