from eliza_serializers.errors import SecretLocked, SerializationError
from eliza_serializers.json import JsonSerializer
from eliza_serializers.msgpack import MsgpackSerializer
from eliza_serializers.secret import Seal, Secret
from eliza_serializers.serializer import Serializer

__all__ = [
    "JsonSerializer",
    "MsgpackSerializer",
    "Seal",
    "Secret",
    "SecretLocked",
    "SerializationError",
    "Serializer",
]
