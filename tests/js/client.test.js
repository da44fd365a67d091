import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { RealtimeClient, backoff, isFinal, socketUrl } from "../../static/realtime/client.js";
import { FakeClock, FakeHost, fakeSocketClass } from "./fakes.js";

function setUp(options = {}) {
  const clock = new FakeClock();
  const Socket = fakeSocketClass();
  const host = new FakeHost();
  const reports = [];
  const client = new RealtimeClient("ws://test/ws/realtime/", {
    WebSocket: Socket,
    clock,
    host,
    random: () => 1,
    logger: { error: (error) => reports.push(error) },
    ...options,
  });
  const states = [];
  client.on("state", ({ state }) => states.push(state));
  return { client, clock, Socket, host, reports, states };
}

function connected(options) {
  const world = setUp(options);
  world.client.connect();
  world.Socket.last.accept();
  return world;
}

describe("the address", () => {
  test("follows http and https", () => {
    assert.equal(socketUrl("http://a:8000/ws/realtime/"), "ws://a:8000/ws/realtime/");
    assert.equal(socketUrl("https://a/ws/realtime/"), "wss://a/ws/realtime/");
  });

  test("carries the options of the connection as query parameters", () => {
    const url = socketUrl("wss://a/ws/realtime/", { batch: true, acks: true, maxRate: 5, numbers: "string" });
    assert.equal(url, "wss://a/ws/realtime/?batch=1&acks=1&max_rate=5&numbers=string");
  });

  test("that is nonsense closes the client and throws nothing", () => {
    class Refusing {
      constructor() {
        throw new SyntaxError("bad address");
      }
    }
    const { client } = setUp({ WebSocket: Refusing });
    client.connect();
    assert.equal(client.state, "closed");
  });
});

describe("before the socket is open", () => {
  test("nothing that is called throws", async () => {
    const { client } = setUp();
    client.subscribeAsset(["aapl", "msft"]);
    client.subscribePortfolio(1);
    client.unsubscribeAsset("msft");
    client.unsubscribePortfolio(2);
    client.clearSubscriptions();
    client.retryNow();
    client.close();
    assert.equal(client.send("ping", {}), null);
    assert.equal(await client.ping(), null);
    client.connect();
    client.subscribeAsset("AAPL");
    assert.equal(client.send("ping", {}), null);
  });

  test("subscriptions wait for the connection frame", () => {
    const { client, Socket } = setUp();
    client.subscribeAsset(["aapl", "MSFT"]);
    client.subscribeAsset("BTC-USD", { mode: "full" });
    client.subscribePortfolio(7);
    client.connect();
    const socket = Socket.last;
    socket.readyState = 1;
    socket.onopen({});
    assert.deepEqual(socket.sent, []);
    socket.accept();
    assert.deepEqual(
      socket.of("subscribe_asset").map((message) => message.data),
      [{ symbols: ["AAPL", "MSFT"] }, { symbols: ["BTC-USD"], mode: "full" }],
    );
    assert.deepEqual(socket.of("subscribe_portfolio")[0].data, { portfolio_id: 7 });
  });
});

describe("subscriptions", () => {
  test("are asked for again after each reconnect, less what was given up", () => {
    const { client, clock, Socket } = connected();
    client.subscribeAsset(["A", "B"]);
    client.subscribePortfolio(1);
    client.unsubscribeAsset("B");
    Socket.last.drop(1006);
    client.subscribeAsset("C");
    clock.advance(500);
    Socket.last.accept();
    assert.equal(Socket.all.length, 2);
    assert.deepEqual(Socket.last.of("subscribe_asset")[0].data, { symbols: ["A", "C"] });
    assert.equal(Socket.last.of("subscribe_portfolio").length, 1);
  });

  test("with channels are asked for as they were after a reconnect, those alike together", () => {
    const { client, clock, Socket } = connected();
    client.subscribeAsset(["A", "B"], { channels: ["trades", "book"] });
    client.subscribeAsset("C", { mode: "full", channels: [] });
    client.subscribeAsset("D", { channels: ["trades", "book"] });
    Socket.last.drop(1006);
    clock.advance(500);
    Socket.last.accept();
    assert.deepEqual(
      Socket.last.of("subscribe_asset").map(({ data }) => data),
      [{ symbols: ["A", "B", "D"], channels: ["trades", "book"] }, { symbols: ["C"], mode: "full" }],
    );
  });

  test("are asked for again with mode and channels after a hole, if they are wanted", () => {
    const { client, Socket } = connected();
    client.subscribeAsset("A", { mode: "full", channels: ["book"] });
    client.refreshAsset(["a", "B"]);
    assert.deepEqual(
      Socket.last.of("subscribe_asset").map(({ data }) => data),
      Array(2).fill({ symbols: ["A"], mode: "full", channels: ["book"] }),
    );
    client.close();
    client.refreshAsset("A");
    assert.equal(Socket.last.of("subscribe_asset").length, 2);
  });

  test("of many symbols go out in few messages", () => {
    const { client, Socket } = setUp();
    client.subscribeAsset(Array.from({ length: 450 }, (_, i) => `S${i}`));
    client.connect();
    Socket.last.accept();
    assert.deepEqual(Socket.last.of("subscribe_asset").map(({ data }) => data.symbols.length), [200, 200, 50]);
  });

  test("that the server refuses for good are not asked for again", () => {
    const { client, clock, Socket } = connected();
    client.subscribeAsset(["A", "NOPE"]);
    const { id } = Socket.last.of("subscribe_asset")[0];
    const results = [
      { symbol: "A", status: "ok" },
      { symbol: "NOPE", status: "error", code: "unknown_symbol", message: "…" },
    ];
    Socket.last.say("subscribed", { results }, { id });
    Socket.last.drop(1012);
    clock.advance(500);
    Socket.last.accept();
    assert.deepEqual(Socket.last.of("subscribe_asset")[0].data, { symbols: ["A"] });
  });

  test("that the server refuses for now are asked for again a little later", () => {
    const { client, clock, Socket } = connected();
    client.subscribeAsset(["A", "B"]);
    client.unsubscribeAsset("B");
    const { id } = Socket.last.of("subscribe_asset")[0];
    Socket.last.say("error", { code: "rate_limited", message: "…", request_type: "subscribe_asset" }, { id });
    clock.advance(3000);
    assert.deepEqual(Socket.last.of("subscribe_asset")[1].data, { symbols: ["A"] });
  });
});

describe("reconnecting", () => {
  test("waits anywhere between nothing and a ceiling that doubles from 0.5 s to 30 s", () => {
    const ceilings = Array.from({ length: 10 }, (_, attempt) => backoff(attempt, () => 1));
    assert.deepEqual(ceilings, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000, 30000]);
    assert.equal(backoff(3, () => 0), 0);
    for (let i = 0; i < 200; i++) {
      const delay = backoff(i, Math.random);
      assert.ok(delay >= 0 && delay <= 30000);
    }
  });

  test("happens after standard codes and 4000 to 4499, never after 4500 to 4999", () => {
    for (const code of [1000, 1001, 1006, 1009, 1011, 1012, 4000, 4001, 4002, 4003, 4004, 4499]) {
      const { client, Socket } = connected();
      Socket.last.drop(code);
      assert.equal(client.state, "reconnecting", String(code));
      assert.equal(isFinal(code), false);
    }
    for (const code of [4500, 4501, 4502, 4503, 4504, 4999]) {
      const { client, clock, Socket } = connected();
      Socket.last.drop(code);
      clock.advance(120000);
      assert.equal(client.state, "closed", String(code));
      assert.equal(Socket.all.length, 1);
    }
  });

  test("backs off further until data flows, not merely until the server accepts", () => {
    const { client, clock, Socket } = connected();
    const delays = [];
    client.on("state", ({ state, retryAt }) => {
      if (state === "reconnecting" && retryAt !== null) delays.push(retryAt - clock.now());
    });
    for (let i = 0; i < 3; i++) {
      Socket.last.drop(4001);
      clock.advance(delays.at(-1));
      Socket.last.accept();
    }
    Socket.last.say("asset_update", { symbol: "A", price: 1 });
    Socket.last.drop(4001);
    assert.deepEqual(delays, [500, 1000, 2000, 500]);
  });

  test("passes through its states and says why and when", () => {
    const { client, clock, Socket, states } = setUp();
    const changes = [];
    client.on("state", (change) => changes.push(change));
    assert.equal(client.state, "idle");
    client.connect();
    Socket.last.accept();
    Socket.last.drop(1012, "restart");
    assert.equal(changes.at(-1).code, 1012);
    assert.equal(changes.at(-1).reason, "restart");
    assert.equal(changes.at(-1).retryAt, 500);
    clock.advance(500);
    Socket.last.accept();
    client.close();
    assert.deepEqual(states, ["connecting", "connected", "reconnecting", "reconnecting", "connected", "closed"]);
    clock.advance(60000);
    assert.equal(Socket.all.length, 2);
  });

  test("gives an attempt up that gets no connection frame", () => {
    const { client, clock, Socket } = setUp();
    client.connect();
    clock.advance(10000);
    assert.equal(client.state, "reconnecting");
    clock.advance(500);
    assert.equal(Socket.all.length, 2);
  });

  test("ends where a refused handshake turns out to be a lost session", async () => {
    const { client, Socket } = setUp({ mayRetry: async () => false });
    const ended = new Promise((resolve) => client.on("state", (c) => c.state === "closed" && resolve(c)));
    client.connect();
    Socket.last.drop(1006);
    assert.equal((await ended).code, 4500);
  });

  test("goes on where the server could not say why it refused", async () => {
    const { client, Socket } = setUp({ mayRetry: () => Promise.reject(new TypeError("no network")) });
    const planned = new Promise((resolve) => client.on("state", (c) => c.retryAt !== null && resolve(c)));
    client.connect();
    Socket.last.drop(1006);
    assert.equal((await planned).state, "reconnecting");
  });

  test("connect() after the end opens again with the same subscriptions", () => {
    const { client, Socket } = connected();
    client.subscribeAsset("A");
    Socket.last.drop(4503);
    client.connect();
    Socket.last.accept();
    assert.deepEqual(Socket.last.of("subscribe_asset")[0].data, { symbols: ["A"] });
  });
});

describe("signs of life", () => {
  test("silence is stale after a heartbeat and a third, and dead after two", () => {
    const { client, clock, Socket } = connected();
    const stale = [];
    client.on("stale", (change) => stale.push(change.stale));
    clock.advance(19000);
    assert.deepEqual(stale, []);
    clock.advance(3500);
    assert.deepEqual(stale, [true]);
    assert.equal(Socket.last.of("ping").length, 1);
    clock.advance(8000);
    assert.equal(client.state, "reconnecting");
  });

  test("heartbeats keep the connection, and a ping measures it now and then", () => {
    const { client, clock, Socket } = connected();
    const rtts = [];
    client.on("latency", ({ rtt }) => rtts.push(rtt));
    for (let i = 0; i < 20; i++) {
      clock.advance(15000);
      Socket.last.say("heartbeat", {});
      for (const { id } of Socket.last.of("ping")) Socket.last.say("pong", { server_time: "…" }, { id });
    }
    assert.equal(client.state, "connected");
    assert.equal(Socket.all.length, 1);
    assert.ok(rtts.length >= 8 && rtts.length <= 11, String(rtts.length));
  });

  test("ping resolves with the round trip, or with null when the connection goes", async () => {
    const { client, clock, Socket } = connected();
    const first = client.ping();
    clock.advance(12);
    Socket.last.say("pong", {}, { id: Socket.last.of("ping")[0].id });
    assert.equal(await first, 12);
    const second = client.ping();
    Socket.last.drop(1006);
    assert.equal(await second, null);
  });

  test("going offline doubts the connection; silence then drops it, an answer keeps it", () => {
    const silent = connected();
    silent.host.fire("offline");
    silent.clock.advance(3000);
    assert.equal(silent.client.state, "reconnecting");

    const local = connected();
    local.host.fire("offline");
    local.clock.advance(1000);
    local.Socket.last.say("pong", {}, { id: local.Socket.last.of("ping")[0].id });
    local.clock.advance(3000);
    assert.equal(local.client.state, "connected");
  });

  test("coming online, or back to a visible page, retries at once", () => {
    for (const wake of [(host) => host.fire("online"), (host) => host.document.dispatchEvent(new Event("visibilitychange"))]) {
      const { client, host, Socket } = connected();
      Socket.last.drop(1006);
      wake(host);
      assert.equal(Socket.all.length, 2);
      client.close();
      wake(host);
      assert.equal(Socket.all.length, 2);
    }
  });
});

describe("listeners", () => {
  test("on() returns what ends the listening", () => {
    const { client, Socket } = connected();
    const heard = [];
    const off = client.on("asset_update", ({ symbol }) => heard.push(symbol));
    Socket.last.say("asset_update", { symbol: "A" });
    off();
    off();
    Socket.last.say("asset_update", { symbol: "B" });
    assert.deepEqual(heard, ["A"]);
  });

  test("hear their type with its data, and `message` every envelope, known or not", () => {
    const { client, Socket } = connected();
    const types = [];
    client.on("message", ({ type }) => types.push(type));
    const batches = [];
    client.on("asset_updates", (data, envelope) => batches.push([data.length, envelope.type]));
    Socket.last.say("asset_updates", [{ symbol: "A" }, { symbol: "B" }]);
    Socket.last.say("something_new", {});
    assert.deepEqual(types, ["asset_updates", "something_new"]);
    assert.deepEqual(batches, [[2, "asset_updates"]]);
  });

  test("that throw are reported and harm nothing", () => {
    const { client, Socket, reports } = connected();
    const heard = [];
    client.on("asset_update", () => {
      throw new Error("mine");
    });
    client.on("asset_update", ({ symbol }) => heard.push(symbol));
    Socket.last.say("asset_update", { symbol: "A" });
    Socket.last.onmessage({ data: "{not json" });
    Socket.last.onmessage({ data: "null" });
    Socket.last.say("asset_update", { symbol: "B" });
    assert.deepEqual(heard, ["A", "B"]);
    assert.equal(reports.length, 3);
    assert.equal(client.state, "connected");
  });
});

test("with acks each data frame is confirmed after its listeners ran", () => {
  const { client, Socket } = connected({ acks: true });
  const order = [];
  client.on("asset_updates", () => order.push(Socket.last.of("ack").length));
  Socket.last.say("asset_updates", [], { frame: 1 });
  Socket.last.say("asset_updates", [], { frame: 2 });
  Socket.last.say("heartbeat", {});
  assert.deepEqual(order, [0, 1]);
  assert.deepEqual(Socket.last.of("ack").map(({ data }) => data.frame), [1, 2]);
});
