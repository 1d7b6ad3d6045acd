// A drain: SOCKETS players on one of four servers, others elsewhere, and that
// server is drained within 30 s. Every client that reads a Close comes back at
// once. Fails unless each of them has read 1012, in no second more than PACE
// have, no other player was disturbed, and the three others end within 5 %.
//
// `go run ./bench/cmd/fleet drain` starts what is around it, which has TARGET,
// ADMIN and STEER: bench/k6/fleet_drain.js -e SOCKETS=5000 -e PACE=250.
import { Counter, Gauge, Rate } from 'k6/metrics';
import { Player, connectAll, most, order, pause, until } from './lib/players.js';

const target = __ENV.TARGET;
const admin = __ENV.ADMIN;
const sockets = Number(__ENV.SOCKETS || 5000);
const pace = Number(__ENV.PACE || 250);
const others = ['b2', 'b3', 'b4'];

const told = new Rate('told_1012');
const back = new Rate('back');
const disturbed = new Counter('disturbed');
const fastest = new Gauge('closes_in_a_second');
const spread = new Gauge('spread_after');

export const options = {
  scenarios: { drain: { executor: 'per-vu-iterations', vus: 1, iterations: 1, maxDuration: '5m' } },
  thresholds: {
    told_1012: ['rate==1'],
    back: ['rate==1'],
    disturbed: ['count==0'],
    closes_in_a_second: [`value<=${pace}`],
    spread_after: ['value<=0.05'],
  },
};

export default async function () {
  const homes = { b1: 0, b2: 0, b3: 0, b4: 0 };
  const codes = {};
  const closes = []; // when, after the drain began
  let began = 0;
  const seen = {
    onIn: (p) => homes[p.home]++,
    onOut: (p, home, code) => {
      if (home) homes[home]--;
      if (p.leaving) return;
      if (!home) return setTimeout(() => p.connect(), 100); // refused
      if (!p.subject || !began || p.ended) return disturbed.add(1);
      p.ended = true;
      codes[code] = (codes[code] || 0) + 1;
      told.add(code === 1012);
      closes.push(Date.now() - began);
      p.connect();
    },
  };
  const make = (n, subject) => Array.from({ length: n }, () => Object.assign(new Player(target, seen), { subject }));
  const bystanders = make(Math.round(sockets / 10) * 3, false);
  const subjects = make(sockets, true);

  order(admin, 'b1', 'maintenance');
  let ready = await connectAll(bystanders);
  order(admin, 'b1', 'undrain');
  for (const b of others) order(admin, b, 'maintenance');
  ready = ready && (await connectAll(subjects));
  for (const b of others) order(admin, b, 'undrain');
  const before = { ...homes };
  const timeline = [];
  const sample = () => timeline.push({ at: Date.now() - began, ...homes });

  began = Date.now();
  sample();
  const watch = setInterval(sample, 250);
  order(admin, 'b1', 'drain?deadline=30s');
  await until(() => closes.length === sockets && subjects.every((p) => p.home !== null), 45000);
  await pause(1000);
  clearInterval(watch);
  sample();

  for (const p of subjects) {
    if (!p.ended) told.add(false);
    back.add(ready && p.home !== null);
  }
  const after = others.map((b) => homes[b]);
  spread.add((Math.max(...after) - Math.min(...after)) / Math.max(...after));
  fastest.add(most(closes));
  console.log(`DATA ${JSON.stringify({ sockets, pace, before, after: homes, codes, closes, timeline })}`);
  for (const p of bystanders.concat(subjects)) p.leave();
}
