"""How a number comes to be: packets and tracing are pure, probing touches the network."""
