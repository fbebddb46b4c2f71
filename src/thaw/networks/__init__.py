"""Networks (x_t, t) -> [B, C, H, W], in torch alone."""
