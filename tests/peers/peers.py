"""Measures a memcached client for Python.

    python3 peers.py versions
    python3 peers.py <pylibmc|pymemcache> <operation> <size> <warm-up> <count> <host:port>

The first form prints the name and the version of each client that is installed, and of the library below it. The second does the operations of the
warm-up, prints `ready`, waits for a line, does `count` operations, and prints seconds: those that passed, those of the
processor, and the latencies p50, p99 and p99.9. Keys and values are those of `items.rs`.
"""

import importlib.metadata
import sys
import time


def pylibmc(server):
    import pylibmc

    client = pylibmc.Client([server], behaviors={"tcp_nodelay": True})
    return client.get, client.get_multi, client.set, lambda items: not client.set_multi(items)


def pymemcache(server):
    from pymemcache.client.base import Client

    host, port = server.rsplit(":", 1)
    client = Client((host, int(port)), no_delay=True, default_noreply=False)
    return client.get, client.get_many, client.set, lambda items: not client.set_many(items)


CLIENTS = {"pylibmc": pylibmc, "pymemcache": pymemcache}


def operations(name, operation, size, server):
    """Returns a function that does the operation of a number."""
    count = 10 if size > 10_000 else 100
    keys = [f"bench-{size}-{number:06}" for number in range(count)]
    values = [bytes([number]) + str(number).encode().rjust(size - 1, b"0") for number in range(count)]
    get, get_many, store, store_many = CLIENTS[name](server)
    items = dict(zip(keys, values))

    def one(at):
        assert get(keys[at % count]) == values[at % count]

    def many(_):
        assert get_many(keys) == items

    def one_set(at):
        assert store(keys[at % count], values[at % count])

    def many_sets(_):
        assert store_many(items)

    return {"get": one, "get_many": many, "set": one_set, "set_many": many_sets}[operation]


def run(operate, count):
    clock, latencies = time.perf_counter, []
    for at in range(count):
        started = clock()
        operate(at)
        latencies.append(clock() - started)
    return sorted(latencies)


def main(arguments):
    if arguments == ["versions"]:
        for name in CLIENTS:
            try:
                module = __import__(name)
                below = getattr(module, "libmemcached_version", None)
                print(name, importlib.metadata.version(name) + (f", libmemcached {below}" if below else ""))
            except ImportError:
                pass
        return
    name, operation, size, warm_up, count, server = arguments
    operate, count = operations(name, operation, int(size), server), int(count)
    run(operate, int(warm_up))
    print("ready", flush=True)
    sys.stdin.readline()
    started, cpu = time.perf_counter(), time.process_time()
    latencies = run(operate, count)
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(elapsed, cpu, *(latencies[count * permille // 1000] for permille in (500, 990, 999)))


main(sys.argv[1:])
