from eliza_serializers.errors import SerializationError
from eliza_serializers.json import JsonSerializer
from eliza_serializers.secret import Secret

__all__ = ["JsonSerializer", "Secret", "SerializationError"]
