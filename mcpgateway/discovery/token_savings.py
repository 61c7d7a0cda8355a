"""The tokens that a view's list saves a model, compared with the complete lists of the same servers.

# Note [Counted tokens]
The tokens of schemas and descriptions, as estimated everywhere in the gateway.  Tools that are not listed are deferred;
the gateway's own tools, which the model reads instead, are subtracted.  Definitions that are shorter than their
server's are compressed.  Servers whose tools are not offered at all save nothing, since no client has requested them.
"""

from __future__ import annotations

from mcpgateway.discovery.compression import first_sentence, without_examples
from mcpgateway.discovery.listing import Exposure, ViewListing
from mcpgateway.discovery.records import Item
from mcpgateway.discovery.tokens import cost_of, estimate
from mcpgateway.discovery.usage import Saving

Spared = tuple[tuple[Saving, str, int], ...]
"""The means, the server, and the number of tokens."""


def spared(listing: ViewListing, exposure: Exposure, beside: int) -> Spared:
    """Return the tokens that one answer to ``tools/list`` saves; see Note [Counted tokens].

    :param beside: the tokens of the gateway's own listed tools.
    """
    deferred: dict[str, int] = {}
    compressed: dict[str, int] = {}
    for name, item in listing.names.items.items():
        whole = cost_of((item,)).total
        if name not in listing.tools:
            deferred[item.server] = deferred.get(item.server, 0) + whole
        elif exposure.settings.compress_schemas:
            compressed[item.server] = compressed.get(item.server, 0) + whole - _short(item)
    for server, tokens in deferred.items():
        paid = min(beside, tokens)
        deferred[server], beside = tokens - paid, beside - paid
    found = {Saving.DEFERRAL: deferred, Saving.COMPRESSION: compressed}
    return tuple(
        (saving, server, tokens)
        for saving, servers in found.items()
        for server, tokens in servers.items()
        if tokens > 0
    )


def _short(item: Item) -> int:
    schema = without_examples(item.input_schema) if item.input_schema is not None else b""
    return estimate(bytes(schema)) + estimate(first_sentence(item.description))
