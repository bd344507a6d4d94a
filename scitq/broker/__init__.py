"""The broker: bytes -> command -> events -> journal -> state -> messages -> bytes, one way."""
