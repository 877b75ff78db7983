#!/usr/bin/env python3
"""Stands before a Docker engine and says another API version than it has, as an engine of another age would; all else is
the engine's own. usage: tests/faults/api_version.py ENGINE_SOCKET VERSION LISTEN_SOCKET LOG
LOG gets each request's line."""
import re, socket, sys, threading

engine, version, path, log = sys.argv[1:]


def pump(source, sink, change):
    while data := source.recv(65536):
        sink.sendall(change(data))
    sink.shutdown(socket.SHUT_WR)


def note(data):
    for line in re.findall(rb"^[A-Z]+ /\S* HTTP/1\.1", data, re.M):
        with open(log, "ab") as file:
            file.write(line + b"\n")
    return data


def say(data):
    return re.sub(rb"(?m)^Api-Version: \S+", b"Api-Version: " + version.encode(), data)


def serve(client):
    upstream = socket.socket(socket.AF_UNIX)
    upstream.connect(engine)
    for way in ((client, upstream, note), (upstream, client, say)):
        threading.Thread(target=pump, args=way, daemon=True).start()


listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
while True:
    serve(listener.accept()[0])
