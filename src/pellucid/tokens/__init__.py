"""text <-> tokens: one interface, whatever kind of file the vocabulary comes from."""
