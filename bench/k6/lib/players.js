// What the scripts of a fleet have in common: players who hold sockets, and the
// operator at the admin API.
import http from 'k6/http';
import { WebSocket } from 'k6/websockets';

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// until waits until done() or the time is up, and tells which it was.
export async function until(done, ms) {
  for (const end = Date.now() + ms; !done(); await pause(20)) {
    if (Date.now() > end) return false;
  }
  return true;
}

// Player is one client. It asks its server's name when it is connected: k6 loses
// a message that comes before it has noticed that. in(player) is called when its server has said its name,
// which is its home from then on; out(player, home, code) when the socket has
// ended, with no home if it never came about.
export class Player {
  constructor(target, { onIn, onOut }) {
    this.target = target;
    this.home = null;
    this.onIn = onIn;
    this.onOut = onOut;
  }

  connect() {
    const ws = new WebSocket(this.target);
    let ended = false;
    this.ws = ws;
    ws.onopen = () => ws.send('who');
    ws.onmessage = (m) => {
      if (this.home !== null) return;
      this.home = m.data;
      this.onIn(this);
    };
    ws.onclose = (e) => {
      if (ended) return;
      ended = true;
      const home = this.home;
      this.home = null;
      this.onOut(this, home, e.code);
    };
    ws.onerror = () => {};
  }

  leave() {
    this.leaving = true;
    this.ws.close(1000);
  }
}

// connectAll connects players, few at a time, and returns when all are in.
export async function connectAll(players, ms = 60000) {
  const end = Date.now() + ms;
  for (let i = 0; i < players.length; i++) {
    players[i].connect();
    while (i % 100 === 99 && players.slice(Math.max(0, i - 199), i - 99).some((p) => p.home === null)) {
      if (Date.now() > end) return false;
      await pause(5);
    }
  }
  return until(() => players.every((p) => p.home !== null), Math.max(0, end - Date.now()));
}

// order has the admin API do something with a backend.
export function order(admin, backend, what) {
  const resp = http.post(`${admin}/api/v1/pools/web/backends/${backend}/${what}`);
  if (resp.status !== 200) throw new Error(`${what} of ${backend}: ${resp.status} ${resp.body}`);
}

// most is how many of times, in milliseconds and sorted, fall into one second.
export function most(times) {
  let best = 0;
  for (let first = 0, i = 0; i < times.length; i++) {
    while (times[i] - times[first] >= 1000) first++;
    best = Math.max(best, i - first + 1);
  }
  return best;
}
