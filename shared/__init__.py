"""The domain: what happens, whatever triggered it."""
