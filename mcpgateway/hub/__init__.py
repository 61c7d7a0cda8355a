"""The part between frontends and backends: sessions, pool, slots, dispatch."""
