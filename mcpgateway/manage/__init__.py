"""Operations of the control plane: servers, clients, tokens, configuration."""
