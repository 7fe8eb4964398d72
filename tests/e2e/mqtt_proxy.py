"""A proxy in front of an MQTT broker that drops, doubles, delays and reorders chosen PUBLISH packets.

usage: mqtt_proxy.py BROKER_PORT PROCESSES PLAN.json; prints its port. When its input ends, it ends, and each process
prints {"LEG KIND TOPIC": count} of what it did.

The plan: {"delay": seconds, "rules": {TOPIC: [LEG, KIND, NTH]}}. LEG is "up" (from a client) or "down" (to one); NTH
counts the packets of that topic on that leg from 0. KIND:

    drop       it is not passed on
    duplicate  it is passed on twice; the second one is marked as such where its QoS is not 0
    delay      it is passed on later, what follows is not held up
    reorder    it is passed on after the next one of its topic
    corrupt    one bit of its payload is flipped
"""

import collections
import ctypes
import heapq
import json
import os
import select
import signal
import socket
import sys
import time

PUBLISH = 3
READ = 1 << 18


class Side:
    """One socket of a connection; bytes wait here until it takes them."""

    def __init__(self, proxy, sock, leg):
        self.proxy, self.sock, self.leg = proxy, sock, leg
        self.peer = None
        self.received = bytearray()
        self.waiting = bytearray()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def write(self, data):
        if self.sock.fileno() < 0:
            return
        if not self.waiting:
            try:
                data = data[self.sock.send(data):]
            except BlockingIOError:
                pass
            except OSError:
                return
        if data:
            self.waiting += data
            self.proxy.watch(self)

    def packets(self, data):
        """Whole packets of what has come so far: (first byte, where its body begins in the packet, packet)."""
        self.received += data
        at, have = 0, self.received
        while len(have) - at >= 2:
            length, shift, head = 0, 0, 1
            while True:
                if at + head >= len(have):
                    break
                byte = have[at + head]
                length |= (byte & 127) << shift
                shift += 7
                head += 1
                if not byte & 128:
                    break
            if have[at + head - 1] & 128 or len(have) - at < head + length:
                break
            yield have[at], head, bytes(have[at:at + head + length])
            at += head + length
        del have[:at]


class Proxy:
    def __init__(self, listener, broker_port, plan):
        self.listener, self.broker_port = listener, broker_port
        self.rules, self.wait = plan["rules"], plan["delay"]
        self.epoll = select.epoll()
        self.sides = {}
        self.seen = collections.Counter()
        self.done = collections.Counter()
        self.held = {}  # topic: packet that waits for the next one
        self.timers = []
        self.epoll.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)

    def watch(self, side):
        self.epoll.modify(side.sock, select.EPOLLIN | (select.EPOLLOUT if side.waiting else 0))

    def accept(self):
        try:
            client, _ = self.listener.accept()
        except OSError:
            return  # another process has it
        try:
            broker = socket.create_connection(("127.0.0.1", self.broker_port))
        except OSError:
            client.close()
            return
        up, down = Side(self, client, "up"), Side(self, broker, "down")
        up.peer, down.peer = down, up
        for side in (up, down):
            self.sides[side.sock.fileno()] = side
            self.epoll.register(side.sock, select.EPOLLIN)

    def close(self, side):
        for one in (side, side.peer):
            if one.sock.fileno() >= 0:
                self.sides.pop(one.sock.fileno(), None)
                self.epoll.unregister(one.sock)
                one.sock.close()

    def pass_on(self, side, first, head, packet):
        """What to write for one packet."""
        if first >> 4 != PUBLISH:
            return packet
        end = head + 2 + int.from_bytes(packet[head:head + 2], "big")
        topic = packet[head + 2:end].decode()
        rule = self.rules.get(topic)
        if not rule or rule[0] != side.leg:
            return packet
        number = self.seen[topic]
        self.seen[topic] += 1
        if topic in self.held:
            return packet + self.held.pop(topic)
        if number != rule[2]:
            return packet
        self.done[f"{side.leg} {rule[1]} {topic}"] += 1
        return getattr(self, rule[1])(side, topic, first, packet)

    @staticmethod
    def drop(_side, _topic, _first, _packet):
        return b""

    @staticmethod
    def duplicate(_side, _topic, first, packet):
        return packet + bytes([first | 8 if first & 6 else first]) + packet[1:]

    def delay(self, side, _topic, _first, packet):
        heapq.heappush(self.timers, (time.monotonic() + self.wait, id(packet), side.peer, packet))
        return b""

    def reorder(self, _side, topic, _first, packet):
        self.held[topic] = packet
        return b""

    @staticmethod
    def corrupt(_side, _topic, _first, packet):
        at = packet.index(b'"value":') + 8  # a digit becomes another one
        return packet[:at] + bytes([packet[at] ^ 1]) + packet[at + 1:]

    def read(self, side):
        try:
            data = side.sock.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close(side)
            return
        out = b"".join([self.pass_on(side, *packet) for packet in side.packets(data)])
        if out:
            side.peer.write(out)

    def run(self):
        while True:
            rest = self.timers[0][0] - time.monotonic() if self.timers else None
            for number, event in self.epoll.poll(None if rest is None else max(rest, 0)):
                side = self.sides.get(number)
                if number == self.listener.fileno():
                    self.accept()
                elif side and event & select.EPOLLOUT:
                    data, side.waiting = bytes(side.waiting), bytearray()
                    side.write(data)
                    if side.sock.fileno() >= 0:
                        self.watch(side)
                elif side:
                    self.read(side)
            while self.timers and self.timers[0][0] <= time.monotonic():
                _, _, side, packet = heapq.heappop(self.timers)
                side.write(packet)


def serve(listener, broker_port, plan):
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    proxy = Proxy(listener, broker_port, plan)

    def report(_number, _frame):
        sys.stdout.write(json.dumps(proxy.done) + "\n")
        sys.stdout.flush()
        os._exit(0)

    signal.signal(signal.SIGTERM, report)
    proxy.run()


def main():
    broker_port, processes = int(sys.argv[1]), int(sys.argv[2])
    with open(sys.argv[3], encoding="utf-8") as file:
        plan = json.load(file)
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setblocking(False)
    print(listener.getsockname()[1], flush=True)
    children = []
    for _ in range(processes):
        child = os.fork()
        if child == 0:
            serve(listener, broker_port, plan)
        children.append(child)
    sys.stdin.read()
    for child in children:
        os.kill(child, signal.SIGTERM)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
