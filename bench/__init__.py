"""Pellucid and its peers side by side: the same files, the same threads, in turns, in one run."""
