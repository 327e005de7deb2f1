"""The collector over real sockets: what it stores, what it refuses and why, what it answers and what it reports."""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from datetime import datetime

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import activity
from core.errors import MalformedSegment, StoreFull
from core.ingest import packets, sampling, udp
from core.ingest.collector import Collector
from core.settings import Settings
from core.store import Store

HEADER = b'{"format": "json", "version": 1}\n'
NOW = time.time()


def segment(number=1, **fields):
    return {
        "trace_id": f"1-5759e988-{number:024x}",
        "id": f"{number:016x}",
        "name": "shop",
        "start_time": NOW,
        "end_time": NOW + 0.25,
        **fields,
    }


def packet(document):
    return HEADER + (document if isinstance(document, bytes) else json.dumps(document).encode())


def send(address, *sent):
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        for one in sent:
            sender.sendto(one, address)


def facts(source="live"):
    """What `activity` knows of one source: counts, refused, altered, dropped and messages."""
    known = activity.snapshot()
    return {table: known[table].get(source, {}) for table in ("counts", "refused", "altered", "dropped", "messages")}


def state():
    return activity.snapshot()["components"]["collector"]


def settled(total, within_s=10.0):
    """The facts, as soon as they account for `total` documents."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        known = facts()
        accounted = known["counts"].get("stored", 0) + sum(known["refused"].values()) + sum(known["dropped"].values())
        if accounted >= total:
            return known
        time.sleep(0.01)
    raise AssertionError(f"{total} documents expected, seen: {known}")


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A collector and its store that the tests of single packets share."""
    activity.reset()
    with Store(tmp_path_factory.mktemp("home") / "tracecast.duckdb") as store:
        collector = Collector(Settings(udp_port=0), store)
        collector.start()
        yield collector, store
        collector.stop()


@pytest.fixture
def door(running):
    """Its address, with nothing counted yet."""
    activity.reset()
    return running[0].address


@pytest.fixture
def store(tmp_path):
    activity.reset()
    with Store(tmp_path / "tracecast.duckdb") as opened:
        yield opened


@pytest.fixture
def collector(store):
    made = Collector(Settings(udp_port=0), store)
    made.start()
    yield made
    made.stop()


def ids(store):
    return set(store.query("SELECT span_id FROM spans WHERE source = 'live'")["span_id"])


def request(address, method, path, body=None, headers=None):
    host, port = address
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def ended(connection):
    """Whether the other side has closed it; with bytes left unread that is a reset."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


# Segments by UDP


def test_a_segment_is_stored_within_a_quarter_of_a_second(running, door):
    began = time.monotonic()
    send(door, packet(segment(1, annotations={"processing_time_ms": 12.5})))
    settled(1)
    took = time.monotonic() - began

    row = running[1].query("SELECT * FROM spans WHERE span_id = ?", [f"{1:016x}"]).iloc[0]
    assert (row["service"], row["latency_ms"], row["duration_ms"]) == ("shop", 12.5, pytest.approx(250, abs=0.01))
    assert facts()["counts"] == {"received": 1, "stored": 1}
    assert took < 0.25 or os.getloadavg()[0] > (os.cpu_count() or 1)  # a loaded machine proves nothing


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b'{"format":"json","version":1}\n', id="no spaces"),
        pytest.param(b'{"version": 1, "format": "json"}\n', id="the other order"),
        pytest.param(b' { "format" : "json" ,\t"version" : 1 } \r\n', id="many spaces and CRLF"),
    ],
)
def test_the_spacing_of_the_header_does_not_matter(door, header):
    send(door, header + json.dumps(segment(2)).encode())

    assert settled(1)["counts"]["stored"] == 1


GOOD = json.dumps(segment(3)).encode()
REFUSED = [
    pytest.param(b"", "wrong_header", id="nothing at all"),
    pytest.param(b"hello", "wrong_header", id="no JSON"),
    pytest.param(GOOD, "wrong_header", id="no header"),
    pytest.param(b'{"format":"json","version":2}\n' + GOOD, "wrong_header", id="another version"),
    pytest.param(b'{"format":"xml","version":1}\n' + GOOD, "wrong_header", id="another format"),
    pytest.param(b'["json"]\n' + GOOD, "wrong_header", id="a header that is a list"),
    pytest.param(b"[" * 5_000 + b"}\n" + GOOD, "wrong_header", id="a header nested 5,000 deep"),
    pytest.param(b'{"format":"js', "wrong_header", id="cut in the header"),
    pytest.param(HEADER.strip() + GOOD, "missing_newline", id="no newline"),
    pytest.param(HEADER.strip(), "missing_newline", id="header without newline"),
    pytest.param(HEADER.strip() + rb"\n" + GOOD, "literal_newline", id="backslash and n"),
    pytest.param(HEADER, "empty_document", id="header only"),
    pytest.param(HEADER + b" \n ", "empty_document", id="blanks only"),
    pytest.param(packet(GOOD[:-1]), "truncated", id="one byte is missing"),
    pytest.param(packet(GOOD[:60]), "truncated", id="cut in a text"),
    pytest.param(
        packet(json.dumps(segment(3, http={"request": {}}, x=1)).encode()[:-9]), "truncated", id="cut after }"
    ),
    pytest.param(packet(GOOD + GOOD), "several_documents", id="two documents"),
    pytest.param(packet(GOOD + b"\n" + packet(GOOD)), "several_documents", id="two documents, each with a header"),
    pytest.param(packet(b"{trace_id: 1}"), "not_json", id="no JSON after the header"),
    pytest.param(packet(GOOD + b"]"), "not_json", id="something after the document"),
    pytest.param(packet([segment(3)]), "not_an_object", id="a list"),
    pytest.param(packet(segment(3, trace_id="1-5759e988-bd86")), "bad_trace_id", id="trace id too short"),
    pytest.param(packet(segment(3, trace_id=5)), "bad_trace_id", id="trace id of a wrong type"),
    pytest.param(packet(segment(3, id="x" * 65)), "bad_span_id", id="span id too long"),
    pytest.param(packet(segment(3, name=None)), "bad_name", id="no name"),
    pytest.param(packet(segment(3, start_time="yesterday")), "bad_start_time", id="a start that is a word"),
    pytest.param(packet(segment(3, start_time=-62_135_596_800)), "bad_start_time", id="the year 1"),
    pytest.param(packet(segment(3, start_time=9_223_372_036_854)), "bad_start_time", id="the year 292278"),
    pytest.param(packet(b"[" * 60_000), "too_deep", id="nested 60,000 deep"),
]


@pytest.mark.parametrize(("bad", "reason"), REFUSED)
def test_bad_input_is_refused_with_its_reason_and_nothing_else_is_lost(door, bad, reason):
    send(door, bad, packet(segment(4)))

    known = settled(2)
    assert known["refused"] == {reason: 1}
    assert known["counts"] == {"received": 2, "stored": 1}
    assert known["messages"][reason].endswith(".")


@hypothesis.settings(deadline=None)
@given(data=st.data(), cut=st.slices(len(GOOD)), junk=st.binary(max_size=8))
def test_whatever_comes_is_read_or_refused(data, cut, junk):
    place = data.draw(st.integers(0, len(GOOD)))
    mangled = data.draw(st.sampled_from([GOOD[cut] + junk, GOOD[:place] + junk + GOOD[place:]]))
    try:
        outcome = packets.parse(packet(mangled), "live", datetime(2030, 1, 1), lambda reason: None)[0].source
    except MalformedSegment as refusal:
        outcome = refusal.reason

    assert outcome


KEPT = [
    pytest.param(segment(5, annotations={"a": float("nan")}), {"number_not_finite": 1}, id="NaN"),
    pytest.param(
        json.dumps(segment(5, annotations={"a": 1})).replace('"a": 1', '"a": 1e400').encode(),
        {"number_not_finite": 1},
        id="1e400",
    ),
    pytest.param(segment(5, metadata={"a": "\ud800"}), {"lone_surrogate": 1}, id="a lone surrogate"),
    pytest.param(
        json.dumps(segment(5, user="?")).encode().replace(b"?", b"\xff"), {"invalid_utf8": 1}, id="invalid UTF-8"
    ),
    pytest.param(
        json.dumps(segment(5, metadata=0)).encode().replace(b": 0}", b": " + b"[" * 200 + b"]" * 200 + b"}"),
        {},
        id="nested 200 deep",
    ),
    pytest.param(
        json.dumps(segment(5)).encode().replace(b'"name"', b'"name": "first", "name"'), {}, id="a duplicate key"
    ),
    pytest.param(segment(5, annotations={f"a{n}": n for n in range(200)}), {}, id="200 annotations"),
    pytest.param(segment(5, annotations={"k" * 10_000: 1}), {}, id="a key of 10,000 characters"),
    pytest.param(segment(5, annotations={"a": {"b": 1}}), {"annotation_not_scalar": 1}, id="an annotation object"),
    pytest.param(segment(5, end_time=NOW - 1), {"clock_skew": 1}, id="an end before the start"),
]


@pytest.mark.parametrize(("odd", "altered"), KEPT)
def test_odd_input_is_stored_and_what_was_altered_is_counted(running, door, odd, altered):
    send(door, packet(odd))

    known = settled(1)
    assert (known["counts"], known["refused"]) == ({"received": 1, "stored": 1}, {})
    assert known["altered"] == altered
    assert running[1].query("SELECT name FROM spans WHERE span_id = ?", [f"{5:016x}"])["name"].to_list() == ["shop"]


def test_the_largest_packet_is_read_whole(running, door):
    room = 65_507 - len(packet(segment(6, user="")))
    send(door, packet(segment(6, user="u" * room)))

    assert settled(1)["counts"] == {"received": 1, "stored": 1}
    with pytest.raises(OSError, match="too long"):
        send(door, packet(segment(6, user="u" * (room + 1))))


def test_a_burst_of_5000_packets_is_stored_without_loss(collector, store):
    send(collector.address, *(packet(segment(n)) for n in range(5_000)))

    known = settled(5_000)
    lost = known["dropped"].get("kernel", 0)
    assert known["counts"] == {"received": 5_000 - lost, "stored": 5_000 - lost}
    assert len(ids(store)) == 5_000 - lost
    assert lost == 0 or state()["buffer_hint"]  # where the kernel gives less than is asked for, it is told


def test_what_was_sent_twice_counts_as_stored_and_is_there_once(collector, store):
    send(collector.address, packet(segment(1)), packet(segment(1)), packet(segment(2)))

    assert settled(3)["counts"] == {"received": 3, "stored": 3}
    assert ids(store) == {f"{n:016x}" for n in (1, 2)}


def test_stopping_stores_what_has_arrived(collector, store):
    address = collector.address
    send(address, *(packet(segment(n)) for n in range(200)))
    began = time.monotonic()
    collector.stop()

    assert time.monotonic() - began < 2.5
    assert len(ids(store)) == 200
    assert state()["state"] == "off"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as freed:
        freed.bind(address)


def test_a_sender_that_never_pauses_does_not_keep_it_from_stopping(collector):
    done = threading.Event()

    def flood(address):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not done.is_set():
                sender.sendto(b"x", address)

    sender = threading.Thread(target=flood, args=(collector.address,))
    sender.start()
    began = time.monotonic()
    collector.stop()
    took = time.monotonic() - began
    done.set()
    sender.join()

    known = facts()
    assert took < 4.0
    assert known["counts"]["received"] == sum(known["refused"].values()) + known["dropped"].get("stopped", 0)


# A store that fails


class FullOnce(Store):
    """A store whose disk is full at the first append."""

    full = True

    def append(self, spans):
        if self.full:
            self.full = False
            raise StoreFull("The disk has less than 1 GiB free.")
        return super().append(spans)


def test_a_full_disk_drops_and_says_so_until_there_is_room(tmp_path):
    activity.reset()
    with FullOnce(tmp_path / "tracecast.duckdb") as store:
        collector = Collector(Settings(udp_port=0), store)
        collector.start()
        send(collector.address, packet(segment(1)))
        full = settled(1)
        state_when_full = state()
        send(collector.address, packet(segment(2)))
        later = settled(2)
        collector.stop()

    assert full["dropped"] == {"disk_full": 1}
    assert (state_when_full["state"], state_when_full["last_error"]) == ("full", "The disk has less than 1 GiB free.")
    assert later["counts"] == {"received": 2, "stored": 1}


class Allergic(Store):
    """A store that breaks, in a way nobody foresaw, on one span."""

    def append(self, spans):
        if any(span.name == "poison" for span in spans):
            raise ValueError("poison")
        return super().append(spans)


def test_a_segment_that_the_store_breaks_on_costs_itself_only(tmp_path, caplog):
    activity.reset()
    with Allergic(tmp_path / "tracecast.duckdb") as store:
        collector = Collector(Settings(udp_port=0), store)
        collector.start()
        send(collector.address, *(packet(segment(n, name="poison" if n == 7 else "shop")) for n in range(20)))
        known = settled(20)
        collector.stop()
        stored = ids(store)

    assert (known["counts"]["stored"], known["refused"]) == (19, {"internal": 1})
    assert stored == {f"{n:016x}" for n in range(20) if n != 7}
    assert "poison" in caplog.text


# Losses before a packet is read


def bound_socket():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not tell what they drop")
def test_what_the_kernel_drops_is_known():
    with bound_socket() as sock:
        receiver = udp.Receiver(sock)
        sent = receiver.buffer_bytes // 768 + 2_000  # no packet takes less of the buffer
        send(sock.getsockname(), *[b"x"] * sent)
        receiver.start()
        receiver.stop()

        assert receiver.kernel_drops() >= 2_000
        assert receiver.received + receiver.kernel_drops() == sent


def test_a_full_queue_drops_and_counts_what_comes(monkeypatch):
    monkeypatch.setattr(udp, "_QUEUE_BYTES", 10 * (1_000 + 64))
    with bound_socket() as sock:
        receiver = udp.Receiver(sock)
        receiver.start()
        for _ in range(15):
            send(sock.getsockname(), b"x" * 1_000)
            time.sleep(0.005)
        receiver.stop()

        assert (receiver.received, receiver.overflowed) == (10, 5)
        assert receiver.take(100) == [b"x" * 1_000] * 10


@pytest.mark.parametrize(
    ("queue_bytes", "waits"), [pytest.param(201_000, True, id="room"), pytest.param(200_000, False, id="half full")]
)
def test_decoding_waits_while_a_burst_comes_in_and_there_is_room_to_keep_it(monkeypatch, queue_bytes, waits):
    monkeypatch.setattr(udp, "_BURST", 1)
    monkeypatch.setattr(udp, "_QUEUE_BYTES", queue_bytes)
    with bound_socket() as sock:
        receiver = udp.Receiver(sock)
        receiver.start()
        send(sock.getsockname(), *[b"x" * (1_000 - 64)] * 100)
        receiver.stop()

        assert receiver.received == 100
        assert receiver.in_burst() == waits
        assert not receiver.in_burst()  # nothing has come since


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_packets_come_in_order_however_the_platform_reads_them(monkeypatch, platform):
    if platform == "linux" != sys.platform:
        pytest.skip("recvmmsg is Linux's own")
    with bound_socket() as sock:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "platform", platform)
            receiver = udp.Receiver(sock)
        sent = [b"%d" % n * (n % 50) for n in range(200)]
        receiver.start()
        send(sock.getsockname(), *sent)
        receiver.stop()

        assert receiver.take(150) + receiver.take(150) == sent


# Sampling rules by TCP


def test_the_rules_ask_for_the_configured_rate_and_no_reservoir(store):
    collector = Collector(Settings(udp_port=0, sampling_rate=0.25), store)
    collector.start()
    status, answer = request(collector.address, "POST", "/GetSamplingRules", "{}")
    collector.stop()

    rule = answer["SamplingRuleRecords"][0]["SamplingRule"]
    assert status == 200
    assert (rule["FixedRate"], rule["ReservoirSize"], rule["Version"], rule["ResourceARN"]) == (0.25, 0, 1, "*")
    assert state()["sampling_rate"] == 0.25
    assert state()["sdk_polled_at"] is not None


def test_each_rule_in_use_gets_its_target(door):
    body = json.dumps({"SamplingStatisticsDocuments": [{"RuleName": "Default"}, {"RuleName": "other"}]})

    status, answer = request(door, "POST", "/SamplingTargets", body)

    assert status == 200
    assert answer["SamplingTargetDocuments"] == [
        {"RuleName": name, "FixedRate": 1.0, "Interval": 10} for name in ("Default", "other")
    ]
    assert (answer["LastRuleModification"], answer["UnprocessedStatistics"]) == (0.0, [])


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        pytest.param("POST", "/TraceSegments", "{}", {}, 404, id="unknown path"),
        pytest.param("GET", "/GetSamplingRules", None, {}, 501, id="another method"),
        pytest.param("POST", "/SamplingTargets", "{", {}, 400, id="no JSON"),
        pytest.param("POST", "/SamplingTargets", "[]", {}, 400, id="a list"),
        pytest.param("POST", "/SamplingTargets", '{"SamplingStatisticsDocuments": [1]}', {}, 400, id="a number"),
        pytest.param("POST", "/SamplingTargets", "[" * 50_000, {}, 400, id="nested 50,000 deep"),
        pytest.param("POST", "/SamplingTargets", None, {"Content-Length": "-1"}, 411, id="a negative length"),
        pytest.param("POST", "/SamplingTargets", None, {"Content-Length": "9" * 5_000}, 413, id="an endless length"),
        pytest.param("POST", "/SamplingTargets", None, {"Content-Length": "1048577"}, 413, id="1 MiB and 1 byte"),
    ],
)
def test_a_bad_request_gets_one_sentence_as_json(door, method, path, body, headers, status):
    answered, answer = request(door, method, path, body, headers)

    assert answered == status
    assert list(answer) == ["error"]
    assert request(door, "POST", "/GetSamplingRules", "{}")[0] == 200


def test_a_connection_is_kept(door):
    host, port = door
    connection = http.client.HTTPConnection(host, port, timeout=5)
    began = time.monotonic()
    for _ in range(20):
        connection.request("POST", "/GetSamplingRules", "{}")
        answer = connection.getresponse()
        answer.read()
        assert not answer.will_close
    took = time.monotonic() - began
    connection.close()

    assert took < 0.8  # 20 delayed acknowledgements would be this


def test_connections_beyond_64_are_closed_and_room_comes_back(door):
    held = [socket.create_connection(door, timeout=5) for _ in range(64)]
    with socket.create_connection(door, timeout=5) as one_more:
        assert ended(one_more)
    for connection in held:
        connection.close()
    time.sleep(0.2)

    assert request(door, "POST", "/GetSamplingRules", "{}")[0] == 200


def test_a_request_that_drips_in_is_ended(monkeypatch, collector):
    monkeypatch.setattr(sampling, "_CONNECTION_S", 0.5)
    with socket.create_connection(collector.address, timeout=5) as dripping:
        for _ in range(3):
            dripping.sendall(b"P")
            time.sleep(0.1)
        began = time.monotonic()

        assert ended(dripping)
        assert time.monotonic() - began < 2.0


def test_a_waiting_connection_does_not_keep_it_from_stopping(collector):
    with socket.create_connection(collector.address, timeout=5) as waiting:
        waiting.sendall(b"POST /GetSamplingRules HTTP/1.1\r\nContent-Length: 10\r\n\r\n")
        began = time.monotonic()
        collector.stop()

        assert time.monotonic() - began < 1.5
        assert ended(waiting)


# The real SDK

TRACED = """
import time
from aws_xray_sdk.core import xray_recorder

xray_recorder.configure(service="traced")
xray_recorder.begin_segment("first")  # its sampling decision starts the SDK's poller
xray_recorder.end_segment()
time.sleep(0.5)
sampled = 0
for _ in range(200):
    sampled += xray_recorder.begin_segment("traced").sampled
    xray_recorder.end_segment()
print(sampled)
"""


@pytest.mark.parametrize(("rate", "expected"), [(1.0, 200), (0.0, 0)])
def test_the_xray_sdk_with_its_own_poller_samples_at_the_configured_rate(store, rate, expected):
    collector = Collector(Settings(udp_port=0, sampling_rate=rate), store)
    collector.start()
    host, port = collector.address
    environment = {**os.environ, "AWS_XRAY_DAEMON_ADDRESS": f"{host}:{port}", "AWS_REGION": "eu-west-1"}
    ran = subprocess.run(
        [sys.executable, "-c", TRACED], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    collector.stop()

    assert int(ran.stdout) == expected
    assert len(store.query("SELECT 1 FROM spans WHERE name = 'traced'")) == expected
    assert facts()["refused"] == {}


# The address


@pytest.mark.parametrize("taken", ["UDP", "TCP"])
def test_a_taken_port_is_reported_with_the_half_that_is_taken_and_nothing_else_stops(store, taken):
    kind = socket.SOCK_DGRAM if taken == "UDP" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if taken == "TCP":
            holder.listen()
        port = holder.getsockname()[1]
        collector = Collector(Settings(udp_port=port), store)
        collector.start()
        known = state()
        collector.stop()

    fates = {"UDP": "free", "TCP": "free", taken: "Address already in use"}
    assert (known["state"], known["address"]) == ("off", f"127.0.0.1:{port}")
    assert known["last_error"] == (
        f"TRACECAST_UDP_ADDRESS is 127.0.0.1:{port}, which can't be had (UDP: {fates['UDP']}; TCP: {fates['TCP']}): "
        "stop the program that holds it, or set another address, for example 127.0.0.1:2001."
    )


@pytest.mark.parametrize(
    "host", [pytest.param("192.0.2.1", id="another machine"), pytest.param("a" * 300, id="no host")]
)
def test_an_address_that_is_not_ours_is_reported(store, host):
    collector = Collector(Settings(udp_host=host, udp_port=0), store)
    collector.start()

    assert state()["state"] == "off"
    assert state()["last_error"].startswith(f"TRACECAST_UDP_ADDRESS is {host}:0")


def test_segments_and_rules_come_by_ipv6_too(store):
    collector = Collector(Settings(udp_host="[::1]", udp_port=0), store)
    collector.start()
    if state()["state"] == "off":
        pytest.skip("this machine has no IPv6")
    send(collector.address, packet(segment(1)))
    known = settled(1)
    status, _ = request(collector.address, "POST", "/GetSamplingRules", "{}")
    shown = state()["address"]
    port = collector.address[1]
    collector.stop()

    assert (known["counts"]["stored"], status, shown) == (1, 200, f"[::1]:{port}")


def test_a_small_buffer_is_told_with_the_line_that_mends_it(collector):
    known = state()
    small = known["buffer_bytes"] < udp.WANTED_BUFFER_BYTES and sys.platform == "linux"

    assert known["buffer_hint"] == ("sysctl -w net.core.rmem_max=8388608" if small else None)
