"""Samples of everything that counts as a secret by its looks, and of texts in which nothing does."""

from __future__ import annotations

_HEX = "0a1b2c3d4e5f6071" * 4
_MIXED = "aB3xK9mQ2wE7rT5yU1iO8pZ4cV6nL0sD" * 3

TOKENS: dict[str, tuple[str, ...]] = {
    "AWS": ("AKIA" + "IOSFODNN7EXAMPLE", "ASIA" + "ABCDEFGH12345678"),
    "GitHub": ("ghp_" + "a1" * 18, "gho_" + "0123456789abcdef", "github_pat_" + "a_1" * 25),
    "GitLab": ("glpat-" + "aB3" * 8, "glpat-" + "0123456789", "glrt-" + "aB3_-x" * 4),
    "OpenAI, Anthropic and alike": (
        "sk-" + "abcdef12",
        "sk-" + "abcdefgh12345678",
        "sk-ant-api03-" + "x9-" * 15,
        "sk-proj-" + _MIXED,
    ),
    "Stripe": ("sk_live_" + "9a" * 12, "rk_test_" + "aB3" * 8, "whsec_" + "aB3" * 11),
    "Slack": ("xoxb-" + "1234567890-abcdefghij", "xapp-1-" + "A0123456789-0123456789"),
    "Discord": ("https://discord.com/api/webhooks/123456789012345678/" + _MIXED[:68],),
    "Telegram": ("123456789:" + "AAF" + _MIXED[:32],),
    "Google": ("AIza" + "aB-_5" * 7, "ya29." + "aB3_-" * 8, "GOCSPX-" + _MIXED[:28], "1//0g" + _MIXED[:60]),
    "npm": ("npm_" + "Z9" * 18, "npm_" + "aB3x" * 8),
    "PyPI": ("pypi-" + "AgEIcHlwaS5vcmc" * 4,),
    "RubyGems": ("rubygems_" + _HEX[:48],),
    "Hugging Face": ("hf_" + "aB3" * 8, "hf_" + "q" * 34),
    "DigitalOcean": ("dop_v1_" + _HEX,),
    "Shopify": ("shpat_" + _HEX[:32],),
    "Atlassian": ("ATATT3" + _MIXED,),
    "SendGrid": ("SG." + _MIXED[:22] + "." + _MIXED[:43],),
    "Docker": ("dckr_pat_" + _MIXED[:27],),
    "Databricks": ("dapi" + _HEX[:32],),
    "Doppler": ("dp.pt." + _MIXED[:43],),
    "Vault": ("hvs." + _MIXED,),
    "Grafana": ("glsa_" + _MIXED[:32] + "_0a1b2c3d", "glc_" + _MIXED[:60]),
    "New Relic": ("NRAK-" + "ABCDEF0123456789ABCDEF01234",),
    "Sentry": ("sntrys_" + _MIXED[:64],),
    "Supabase": ("sbp_" + _HEX[:40], "sb_secret_" + _MIXED[:31]),
    "Figma": ("figd_" + _MIXED[:40],),
    "Postman": ("PMAK-" + _HEX[:24] + "-" + _HEX[:34],),
    "Square": ("sq0atp-" + _MIXED[:22],),
    "HubSpot": ("pat-na1-" + "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",),
    "what agents use": (
        "gsk_" + _MIXED[:52],
        "pplx-" + _MIXED[:48],
        "tvly-" + _MIXED[:32],
        "fc-" + _HEX[:32],
    ),
    "age": ("AGE-SECRET-KEY-1" + "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",),
    "mcpgateway": ("mcpg_" + _MIXED[:43],),
    "JSON Web Token": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",),
    "private key": (
        "-----BEGIN RSA PRIVATE KEY-----\\nMIIEowIBAAKCAQ\\nabc=\\n-----END RSA PRIVATE KEY-----",
    ),
}
"""By the name of their shape in `mcpgateway.policy.secrets.shapes.SHAPES`."""

RANDOM = (
    _MIXED[:32],
    _MIXED[:43],
    _HEX[:32],
    "x9-Kf3_qWz7-Lm2VbN8_cXp4RtY6uHg1JkD0",
    "-".join((_MIXED[:20], _MIXED[20:41])),
)
"""Keys without a shape of their own."""

ORDINARY = (
    "API_KEY: the variable NOPE is not set",
    "token: expired, ask for a new one",
    "the token is invalid: please log in again",
    "error: secret: not found in the keyring",
    "A complete log of this run can be found in: /root/.npm/_logs/2025-11-22T03_43_24_123Z-debug-0.log",
    r"C:\Users\me\AppData\Local\npm-cache\_logs\2025-11-22T03_43_24_123Z-debug-0.log",
    "/home/me/.cache/uv/archive-v0/Xk9fQ2mB7vTz4LpRw1sYd8Nc3Hg6Je5A/lib/python3.11/site-packages",
    "/nix/store/0c7w5mvqk3f1x9z8y2b4d6g7h8j9k0l1-nodejs-22.11.0/bin/node",
    "mcpgateway/backends/some/long/directory/of/modules/and/tests",
    "session 550e8400-e29b-41d4-a716-446655440000 was opened",
    "pulled docker.io/mcp/fetch@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "HEAD is now at commit 1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "integrity sha512-AbCdEf0123456789GhIjKl0123456789MnOpQr0123456789",
    "usage: server --token TOKEN [--api-key KEY] [--password <password>]",
    "use --token to set it, or set API_KEY=${API_KEY}",
    "this server needs basic authentication or a Bearer token",
    "authorization: the server refused the grant",
    '{"token": "string", "password": {"type": "string"}, "secret": null}',
    "tool resolve_library_id_from_a_long_name_of_words was called",
    "ListToolsThatAreNeededByTheModelForThisTask2 is a long name",
    "pod my-deployment-of-a-server-7d9f8b6c5d-x2k4p is ready",
    "listening on http://127.0.0.1:8080/mcp and ws://[::1]:9100/mcp",
    "found 5 tokens in 3 files; max_tokens=4096",
    "PWD=/home/me/project",
    "sk-ssh-ed25519@openssh.com and sk-ecdsa-sha2-nistp256@openssh.com",
    "jina-embeddings-v2-base-en, task-manager-2024, desk-lamp-12345678, risk-assessment-2",
    "npm warn deprecated inflight@1.0.6: This module is not supported, and leaks memory.",
    "a" * 40,
    "=" * 60,
    "signature: def read(self, path) -> str",
    "cookie: none was sent",
)
"""Prose, paths and identifiers, as logs have them."""
