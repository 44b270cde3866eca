"""`eliza-state store`: looking into a storage, and looking after it."""
