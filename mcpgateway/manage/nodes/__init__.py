"""Operations on the nodes of a cluster: their list, and draining them."""
