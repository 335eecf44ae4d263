"""Stores and reads values by a client of Python: `values.py CLIENT HOST PORT`, and lines `set|get KEY KIND HEX`."""
import sys

name, host, port = sys.argv[1:4]
try:
    if name == "pymemcache":
        from pymemcache.client.base import Client
        from pymemcache.serde import CompressedSerde
        client = Client((host, int(port)), serde=CompressedSerde(min_compress_len=400))
        store = client.set
    elif name == "pylibmc":
        import pylibmc
        client = pylibmc.Client([f"{host}:{port}"])
        store = lambda key, value: client.set(key, value, min_compress_len=400)
    else:
        import memcache
        client = memcache.Client([f"{host}:{port}"])
        store = lambda key, value: client.set(key, value, min_compress_len=400)
except ImportError as error:
    print("missing:", error)
    sys.exit()

kinds = {
    "bytes": lambda data: data,
    "text": lambda data: data.decode(),
    "int": lambda data: int(data),
    "bool": lambda data: data == b"1",
    # What is no plain value.
    "list": lambda data: [data, 1.5, None],
}
for line in sys.stdin:
    verb, key, kind, data = line.rstrip("\n").split(" ")
    value = kinds[kind](bytes.fromhex(data))
    if verb == "set":
        assert store(key, value), key
    else:
        read = client.get(key)
        same_type = type(read) is type(value) or (name == "pylibmc" and kind == "bool")
        assert read == value and same_type, (key, kind, read, value)
print("done")
