// Storm: sockets are opened and held; then all sockets of one backend end, and
// come back at once. Fails when a player is not in again in time, when one of
// another backend is disturbed, or when those who are in are not spread as
// least connections does: within TOLERANCE of each other.
//
//   k6 run -e TARGET=ws://127.0.0.1:8080/hello -e KILL=http://127.0.0.1:9001/die bench/k6/storm.js
//
// The server behind TARGET says its name in the first message and echoes the
// others; a GET of KILL makes one of them drop all its sockets. The bench
// backend does both. SOCKETS (600), BACKENDS (3), BACK_WITHIN (10s of
// milliseconds, 5000), TOLERANCE (0.1).
import http from 'k6/http';
import { WebSocket } from 'k6/websockets';
import { Counter, Gauge, Rate, Trend } from 'k6/metrics';
import exec from 'k6/execution';

const target = __ENV.TARGET || 'ws://127.0.0.1:8080/hello';
const kill = __ENV.KILL;
const sockets = Number(__ENV.SOCKETS || 600);
const backends = Number(__ENV.BACKENDS || 3);
const backWithin = Number(__ENV.BACK_WITHIN || 5000);
const tolerance = Number(__ENV.TOLERANCE || 0.1);

const back = new Trend('back_after', true);
const returned = new Rate('returned');
const disturbed = new Counter('disturbed');
const spread = new Gauge('spread_before');

export const options = {
  scenarios: {
    storm: { executor: 'per-vu-iterations', vus: 1, iterations: 1, maxDuration: '60s' },
  },
  thresholds: {
    returned: ['rate==1'],
    back_after: [`p(99)<${backWithin}`],
    disturbed: ['count==0'],
    spread_before: [`value<=${tolerance}`],
  },
};

// All sockets belong to one virtual user, so that it can count them.
export default function () {
  if (!kill) exec.test.abort('KILL is missing: the URL that ends the sockets of one backend');
  const homes = {}; // backend to sockets
  let victim = null;
  let killed = 0;
  let open = 0;
  let due = 0;
  const all = [];

  const connect = (player) => {
    const ws = new WebSocket(target);
    player.ws = ws;
    ws.onmessage = (m) => {
      if (player.home === null) {
        player.home = m.data;
        homes[m.data] = (homes[m.data] || 0) + 1;
        ws.send('here');
        return;
      }
      // The echo: this player is in.
      open++;
      if (player.ended) {
        back.add(Date.now() - player.ended);
        returned.add(true);
        due--;
        if (due === 0 && killed) finish();
      }
    };
    ws.onclose = () => {
      if (player.leaving) return;
      if (!killed) {
        disturbed.add(1);
        return;
      }
      if (!player.ended) {
        if (victim === null) victim = player.home;
        if (player.home !== victim) disturbed.add(1);
        player.ended = Date.now();
        due++;
      }
      player.home = null;
      setTimeout(() => connect(player), 0); // also after a refusal
    };
    ws.onerror = () => {};
  };
  const finish = () => {
    clearTimeout(limit);
    for (const p of all) {
      p.leaving = true;
      p.ws.close(1000);
    }
  };
  let limit = setTimeout(() => {}, 0);

  for (let i = 0; i < sockets; i++) {
    const player = { home: null, ended: 0, leaving: false, ws: null };
    all.push(player);
    connect(player);
  }
  const begun = Date.now();
  const wait = setInterval(() => {
    if (open < sockets) {
      if (Date.now() - begun > 20000) {
        clearInterval(wait);
        returned.add(false); // not even once
        finish();
      }
      return;
    }
    clearInterval(wait);
    const counts = Object.values(homes);
    while (counts.length < backends) counts.push(0);
    spread.add((Math.max(...counts) - Math.min(...counts)) / (sockets / backends));
    killed = Date.now();
    limit = setTimeout(() => {
      if (!all.some((p) => p.ended)) returned.add(false); // KILL has ended none
      for (const p of all) if (p.ended && p.home === null) returned.add(false);
      finish();
    }, backWithin + 5000);
    http.get(kill, { headers: { Connection: 'close' } });
  }, 100);
}
