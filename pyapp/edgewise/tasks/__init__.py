"""What a user calls: a conversation in, text out, wherever the model runs."""
