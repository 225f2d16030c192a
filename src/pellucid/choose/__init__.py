"""logits -> a token: the parameters people give, the filters they switch on, the strategies."""
