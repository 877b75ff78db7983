#!/usr/bin/env python3
"""Changes a label of a swarm's service as fast as the manager takes it, as another writer of the same service: reads it,
sends it back with `turn` one higher, and again, until it gets a TERM. Who reads and writes meanwhile is often too late.
usage: tests/faults/label_service.py SOCKET SERVICE      Prints on leaving: the number of its last change."""
import http.client, json, signal, socket, sys

path, name = sys.argv[1], sys.argv[2]
leave = False


def stop(*_):
    global leave
    leave = True


class Engine(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)


def ask(method, target, body=None):
    engine.request(method, target, body and json.dumps(body), {"Content-Type": "application/json"})
    answer = engine.getresponse()
    return answer.status, answer.read()


signal.signal(signal.SIGTERM, stop)
engine, turn = Engine("localhost"), 0
while not leave:
    status, text = ask("GET", f"/services/{name}")
    service = json.loads(text)
    service["Spec"].setdefault("Labels", {})["turn"] = str(turn + 1)
    status, text = ask("POST", f"/services/{service['ID']}/update?version={service['Version']['Index']}", service["Spec"])
    if status == 200:
        turn += 1
    elif b"out of sequence" not in text:
        sys.exit(f"{status} {text.decode()}")
print(turn)
