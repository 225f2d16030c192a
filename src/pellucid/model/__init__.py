"""ids -> logits: one configuration, one forward, and the table of families that fill them."""
