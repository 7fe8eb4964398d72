"""Stand-ins for what a real broker or network can't be told to do: a broker that answers late, refuses, and counts
attempts; a connection that stops reading, or goes silent, in the middle."""

import collections
import selectors
import socket
import threading
import time

Attempt = collections.namedtuple("Attempt", "time client packet")


class FakeBroker:
    """Speaks as much MQTT 3.1.1 as a QoS 0 publisher needs. `answer(attempt)` gets the number of the attempt of that
    client, from 0, and says what happens to its CONNECT: (delay in seconds, return code) is the CONNACK, None closes
    the connection, "silence" answers nothing. `lose` seconds after an accepted CONNECT the connection is closed."""

    def __init__(self, answer=lambda attempt: (0, 0), lose=None):
        self.answer = answer
        self.lose = lose
        self._lock = threading.Lock()
        self._attempts = []
        self._count = collections.Counter()
        self._due = []  # (instant, socket, bytes or None to close)
        self._selector = selectors.DefaultSelector()
        self._server = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._server.setblocking(False)
        self._selector.register(self._server, selectors.EVENT_READ)
        self._clients = {}
        self._ended = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def address(self):
        return "127.0.0.1:%d" % self._server.getsockname()[1]

    @property
    def attempts(self):
        """Every CONNECT so far: (monotonic time, client id, the packet's bytes)."""
        with self._lock:
            return list(self._attempts)

    def _serve(self):
        while not self._ended:
            for key, _ in self._selector.select(0.005):
                if key.fileobj is self._server:
                    client, _ = self._server.accept()
                    client.setblocking(False)
                    self._clients[client] = b""
                    self._selector.register(client, selectors.EVENT_READ)
                else:
                    self._read(key.fileobj)
            now = time.monotonic()
            due = [entry for entry in self._due if entry[0] <= now]
            self._due = [entry for entry in self._due if entry[0] > now]
            for _, client, data in due:
                if client in self._clients:
                    self._act(client, data)

    def _act(self, client, data):
        if data is None:
            self._drop(client)
            return
        try:
            client.send(data)
        except OSError:
            self._drop(client)
            return
        if data[3] != 0:
            self._due.append((time.monotonic() + 0.01, client, None))
        elif self.lose is not None:
            self._due.append((time.monotonic() + self.lose, client, None))

    def _drop(self, client):
        self._selector.unregister(client)
        del self._clients[client]
        client.close()

    def _read(self, client):
        try:
            data = client.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._drop(client)
            return
        if self._clients[client] is None:
            return
        packet = self._clients[client] + data
        if len(packet) < 2 or len(packet) < 2 + packet[1]:
            self._clients[client] = packet
            return
        self._clients[client] = None
        size = int.from_bytes(packet[12:14], "big")
        name = packet[14:14 + size].decode()
        now = time.monotonic()
        with self._lock:
            self._attempts.append(Attempt(now, name, packet))
        answer = self.answer(self._count[name])
        self._count[name] += 1
        if answer is None:
            self._drop(client)
        elif answer != "silence":
            self._due.append((now + answer[0], client, bytes([0x20, 2, 0, answer[1]])))

    def close(self):
        self._ended = True
        self._thread.join(10)
        for client in list(self._clients):
            self._drop(client)
        self._selector.close()
        self._server.close()


class Proxy:
    """Forwards every connection to 127.0.0.1:`port`. `hold()` lets those that there are stand still: nothing is read from
    either side, so that the senders' buffers fill up, and nobody sees the connection end; new ones are forwarded.
    `go_on()` ends that."""

    def __init__(self, port):
        self._port = port
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._server = socket.socket()
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        self._server.bind(("127.0.0.1", 0))
        self._server.listen(1024)
        self._selector.register(self._server, selectors.EVENT_READ)
        self._peers, self._held = {}, []
        self._ended = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def address(self):
        return "127.0.0.1:%d" % self._server.getsockname()[1]

    def hold(self):
        with self._lock:
            for one in set(self._peers) - set(self._held):
                self._selector.unregister(one)
                self._held.append(one)

    def go_on(self):
        with self._lock:
            for one in self._held:
                if one in self._peers:
                    self._selector.register(one, selectors.EVENT_READ)
            self._held.clear()

    def _serve(self):
        while not self._ended:
            events = self._selector.select(0.05)
            with self._lock:
                for key, _ in events:
                    if key.fileobj is self._server:
                        self._accept()
                    elif key.fileobj in self._peers and key.fileobj not in self._held:
                        self._forward(key.fileobj)

    def _accept(self):
        client, _ = self._server.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self._port))
        except OSError:
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _forward(self, one):
        other = self._peers[one]
        try:
            data = one.recv(65536)
            if data:
                other.sendall(data)
                return
        except OSError:
            pass
        for end in (one, other):
            if end not in self._held:
                self._selector.unregister(end)
            del self._peers[end]
            end.close()

    def close(self):
        self._ended = True
        self._thread.join(10)
        for one in self._peers:
            one.close()
        self._selector.close()
        self._server.close()
