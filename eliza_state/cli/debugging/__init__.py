"""Commands that look into a store's past, and compare."""
