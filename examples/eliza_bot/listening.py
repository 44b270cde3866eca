"""How eliza listens: she finds a pattern in what was said and gives it back as a question.

The method is that of J. Weizenbaum, "ELIZA: a computer program for the study of natural language
communication between man and machine", Communications of the ACM 9 (1966). Patterns and replies are not.
"""

from __future__ import annotations

import re
from typing import Final

REFLECTIONS: Final = {
    "i": "you",
    "me": "you",
    "my": "your",
    "mine": "yours",
    "myself": "yourself",
    "am": "are",
    "i'm": "you are",
    "i've": "you have",
    "you": "me",
    "your": "my",
    "yours": "mine",
    "yourself": "myself",
}

RULES: Final = [
    (re.compile(pattern, re.IGNORECASE), replies)
    for pattern, replies in (
        (r"(hello|hi|good (morning|evening)).*", ("Hello. What is on your mind?", "Good to see you.")),
        (r"i (?:need|want) (.+)", ("What would change if you got {0}?", "Who else knows you want {0}?")),
        (r"(?:i am|i'm|i feel) (.+)", ("Since when are you {0}?", "What is it like to be {0}?")),
        (r"i (?:can't|cannot) (.+)", ("What stops you when you try to {0}?",)),
        (r"because (.+)", ("Is that the whole reason?", "What else might explain it?")),
        (r".*\bmy (mother|father|sister|brother|boss|friend)\b.*", ("Tell me more about your {0}.",)),
        (r".*\b(?:always|never)\b.*", ("Can you think of an exception?",)),
        (r"(.+)\?", ("What do you think?", "What answer would you like to hear?")),
        (r"(.+)", ("Please go on.", "What comes to mind when you say that?", "How long has that been so?")),
    )
]

GLAD: Final = {"glad", "good", "great", "happy", "love", "nice", "thanks"}
SAD: Final = {"afraid", "angry", "bad", "hate", "lonely", "sad", "tired"}


def reply(text: str, *, turn: int) -> str:
    """Return a reply to what was said; `turn`, any number, chooses among those that fit."""
    for pattern, replies in RULES:
        found = pattern.fullmatch(text.strip(" .!"))
        if found is not None:
            return replies[turn % len(replies)].format(*(reflected(group or "") for group in found.groups()))
    return "I am listening."


def reflected(text: str) -> str:
    """Return the words as the other one would say them: my day → your day."""
    return " ".join(REFLECTIONS.get(word.lower(), word) for word in text.rstrip(" .!").split())


def mood(texts: list[str]) -> float:
    """Return how the texts sound, from -1 to 1; 0 where no word tells."""
    words = re.findall(r"[a-z]+", " ".join(texts).lower())
    glad, sad = (sum(word in known for word in words) for known in (GLAD, SAD))
    return (glad - sad) / max(1, glad + sad)
