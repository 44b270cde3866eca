"""Records of a SQL journal that lie in segment files: how they get there and back, and are read."""
