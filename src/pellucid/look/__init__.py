"""Results -> what a person sees: terminal, notebook, JSON. One file a view."""
