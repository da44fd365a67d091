/** A clock that moves when told, a socket whose server is the test, and a host that goes online and offline. */

export class FakeClock {
  time = 0;
  #timers = new Map();
  #last = 0;

  now = () => this.time;

  setTimeout = (fn, ms) => {
    this.#timers.set(++this.#last, { at: this.time + ms, fn });
    return this.#last;
  };

  clearTimeout = (id) => void this.#timers.delete(id);

  advance(ms) {
    const end = this.time + ms;
    for (;;) {
      const [id, timer] = [...this.#timers].sort((a, b) => a[1].at - b[1].at)[0] ?? [];
      if (!timer || timer.at > end) break;
      this.#timers.delete(id);
      this.time = timer.at;
      timer.fn();
    }
    this.time = end;
  }
}

export function fakeSocketClass() {
  return class FakeSocket {
    static all = [];

    static get last() {
      return this.all.at(-1);
    }

    constructor(url) {
      this.url = url;
      this.readyState = 0;
      this.sent = [];
      FakeSocket.all.push(this);
    }

    send(text) {
      if (this.readyState !== 1) throw new Error("sent before open");
      this.sent.push(JSON.parse(text));
    }

    close(code) {
      this.closedWith = code;
      this.readyState = 3;
    }

    // --- what a server does -------------------------------------------------------------------------------------

    accept(data = {}) {
      this.readyState = 1;
      this.onopen?.({});
      this.say("connection", { status: "connected", connection_id: "x", heartbeat_interval: 15, ...data });
    }

    say(type, data, more = {}) {
      this.onmessage?.({ data: JSON.stringify({ type, data, timestamp: "2026-11-20T00:00:00.000000Z", ...more }) });
    }

    drop(code, reason = "") {
      this.readyState = 3;
      this.onclose?.({ code, reason });
    }

    of(type) {
      return this.sent.filter((message) => message.type === type);
    }
  };
}

export class FakeHost extends EventTarget {
  document = Object.assign(new EventTarget(), { visibilityState: "visible" });
  fire = (type) => this.dispatchEvent(new Event(type));
}
