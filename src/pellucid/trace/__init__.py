"""A run written down: what went in, what came out, what was inside; saved, and proved again."""
