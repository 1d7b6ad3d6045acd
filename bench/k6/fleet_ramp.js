// A server that comes back: RATE players a second open sockets, which they hold
// for some 20 s. One of four servers is killed and started again. Fails unless
// it then gets new sockets along the ramp of slow_start (SLOW seconds), as far
// from it as chance explains, and each of the others never less than half of
// its part; nor behind the ramp, while the server catches up, less than a tenth
// of all.
//
// `go run ./bench/cmd/fleet ramp` starts what is around it, which has TARGET,
// ADMIN and STEER: bench/k6/fleet_ramp.js -e RATE=150 -e SLOW=20.
import http from 'k6/http';
import { Counter, Gauge } from 'k6/metrics';
import { Player, pause, until } from './lib/players.js';

const target = __ENV.TARGET;
const admin = __ENV.ADMIN;
const rate = Number(__ENV.RATE || 150);
const slow = Number(__ENV.SLOW || 20);
const warm = Number(__ENV.WARM || 25) * 1000;
const life = Number(__ENV.LIFE || 20) * 1000;

const off = new Gauge('off_the_ramp'); // of all new sockets
const starved = new Counter('starved');
const lost = new Counter('lost');

export const options = {
  scenarios: { ramp: { executor: 'per-vu-iterations', vus: 1, iterations: 1, maxDuration: '5m' } },
  thresholds: {
    off_the_ramp: ['value<=0.06'],
    starved: ['count==0'],
    lost: ['count==0'], // of those on servers that nobody killed
  },
};

// part is how much of its weight the server has, so many seconds after it is up.
const part = (s) => Math.min(1, Math.max(0.1, s / slow));

export default async function () {
  const opened = []; // {at, home}
  const players = new Set();
  let killed = 0;
  const seen = {
    onIn: (p) => opened.push({ at: Date.now(), home: p.home }),
    onOut: (p, home) => {
      players.delete(p);
      if (!p.leaving && home && !(home === 'b1' && killed)) lost.add(1);
    },
  };
  const began = Date.now();
  let made = 0;
  const join = setInterval(() => {
    for (const due = ((Date.now() - began) * rate) / 1000; made < due; made++) {
      const p = new Player(target, seen);
      players.add(p);
      p.connect();
      setTimeout(() => p.leave(), life * (0.5 + Math.random()));
    }
  }, 20);

  const state = () => JSON.parse(http.get(`${admin}/api/v1/pools/web/backends/b1`).body).state;
  await pause(warm);
  killed = Date.now();
  http.post(`${__ENV.STEER}/kill`);
  await until(() => state() === 'down', 10000);
  await pause(3000);
  http.post(`${__ENV.STEER}/start`);
  await until(() => state() === 'up', 10000);
  const up = Date.now();
  await pause((slow + 15) * 1000);
  clearInterval(join);

  // The ramp, in pieces in which chance counts little.
  const piece = slow / 5;
  let worst = 0;
  for (let from = 0; from < slow + 12; from += piece) {
    const here = opened.filter((o) => o.at >= up + from * 1000 && o.at < up + (from + piece) * 1000);
    const share = (home) => here.filter((o) => o.home === home).length / Math.max(1, here.length);
    const p = part(from + piece / 2);
    const ramp = from < slow;
    if (ramp) worst = Math.max(worst, Math.abs(share('b1') - p / (3 + p)));
    for (const b of ['b2', 'b3', 'b4']) {
      if (share(b) < (ramp ? 0.5 / (3 + p) : 0.1)) starved.add(1);
    }
  }
  off.add(worst);
  console.log(`DATA ${JSON.stringify({ rate, slow, began, killed, up, off: worst, opened })}`);
  for (const p of players) p.leave();
}
