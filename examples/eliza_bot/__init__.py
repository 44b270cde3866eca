"""A bot in a terminal: two agents that remember, ask before they delete, and survive being killed."""
