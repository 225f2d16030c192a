"""The one generation loop, for one sequence or many, and what comes out of it."""
