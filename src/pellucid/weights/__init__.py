"""A reference becomes a checkpoint: configuration, tokenizer data, tensors. One file a format."""
