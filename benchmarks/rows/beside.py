"""Servers without a target of their own: how fast others are on this machine, in this run."""

from benchmarks.baselines import nchan_module, node_ws, running_nchan, running_ws
from benchmarks.bench import Bench, Measurement, Scenario
from benchmarks.outcome import Outcome, Row, left_out
from benchmarks.report import times
from benchmarks.servers import Market

# Each socket gets everything that is sent, so nobody subscribes; as much is sent as the server takes.
EVERYTHING = Market(0.0)
NCHAN = Scenario("nchan, single frames, saturated", EVERYTHING, watched=0, options="", ages_of_one_in=61)
WS = Scenario("Node ws, single frames, saturated", EVERYTHING, watched=0, options="", ages_of_one_in=61)


def plain_channels(bench: Bench) -> Outcome:
    return compared(bench, bench.plain())


def nchan(bench: Bench) -> Outcome:
    module = nchan_module()
    if module is None:
        return left_out("nginx with nchan is not installed")
    servers = bench.servers
    start = running_nchan(servers.programs, servers.state_dir, module, bench.cores)
    return compared(bench, bench.beside(NCHAN, start))


def ws(bench: Bench) -> Outcome:
    environment = node_ws()
    if environment is None:
        return left_out("Node with ws is not installed")
    return compared(bench, bench.beside(WS, running_ws(bench.servers.programs, environment, bench.cores)))


def compared(bench: Bench, measured: Measurement) -> Outcome:
    frames = measured.reading.frames_per_second
    plain = bench.plain()
    return Outcome(
        reached=f"{frames:,.0f} frames/s ({measured.updates_per_cpu_second:,.0f} per second of its CPU)",
        ratio=f"{times(frames / plain.reading.frames_per_second)} plain Channels",
    )


ROWS = (
    Row("plain", "plain Channels with the pub/sub layer", "", plain_channels),
    Row("nchan", "nchan", "", nchan),
    Row("ws", "Node ws", "", ws),
)
