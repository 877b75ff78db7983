#!/usr/bin/env python3
"""Stands before a MongoDB server and loses replies, which no server can be made to do: the command is carried out, and its
connection is closed before the answer. usage: tests/faults/cut.py SERVER_PORT COMMAND TIMES READY
Writes its own port to the file READY. The first TIMES commands of that name lose their answer; all else passes."""
import os, socket, struct, sys, threading

server, command, left, ready = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
lock = threading.Lock()


def message(sock):
    """One message of the wire protocol; b"" at the end."""
    data = b""
    while len(data) < 4 or len(data) < struct.unpack("<i", data[:4])[0]:
        more = sock.recv(65536)
        if not more:
            return b""
        data += more
    return data


def name_of(data):
    """OP_MSG: header 16, flags 4, section kind 1, then a document: its length 4, a type 1, and the command's name."""
    if struct.unpack("<i", data[12:16])[0] != 2013 or data[20] != 0:
        return ""
    return data[26:data.index(b"\0", 26)].decode()


def serve(client):
    global left
    upstream = socket.create_connection(("127.0.0.1", server))
    try:
        while request := message(client):
            upstream.sendall(request)
            reply = message(upstream)
            with lock:
                lose = left > 0 and name_of(request) == command
                left -= lose
            if lose or not reply:
                return
            client.sendall(reply)
    except OSError:
        pass
    finally:
        client.close()
        upstream.close()


listener = socket.create_server(("127.0.0.1", 0))
with open(ready + ".new", "w") as f:
    f.write(str(listener.getsockname()[1]))
os.rename(ready + ".new", ready)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
