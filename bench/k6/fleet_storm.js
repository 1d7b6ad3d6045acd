// A crash: SOCKETS players on one of four servers, others elsewhere; its
// process is killed, and all its players come back at once. Fails unless each
// is in again within WITHIN milliseconds, and no other player is disturbed.
//
// `go run ./bench/cmd/fleet storm` starts what is around it, which has TARGET,
// ADMIN and STEER, and looks at what the servers saw:
// bench/k6/fleet_storm.js -e SOCKETS=6000 -e WITHIN=10000.
import http from 'k6/http';
import { Counter, Rate, Trend } from 'k6/metrics';
import { Player, connectAll, order, until } from './lib/players.js';

const target = __ENV.TARGET;
const admin = __ENV.ADMIN;
const sockets = Number(__ENV.SOCKETS || 6000);
const within = Number(__ENV.WITHIN || 10000);

const returned = new Rate('returned');
const after = new Trend('back_after', true);
const disturbed = new Counter('disturbed');
const refused = new Counter('refused');

export const options = {
  scenarios: { storm: { executor: 'per-vu-iterations', vus: 1, iterations: 1, maxDuration: '5m' } },
  thresholds: {
    returned: ['rate==1'],
    back_after: [`max<${within}`],
    disturbed: ['count==0'],
  },
};

export default async function () {
  const homes = { b1: 0, b2: 0, b3: 0, b4: 0 };
  const back = []; // when, after the server was killed
  let killed = 0;
  let refusals = 0;
  const seen = {
    onIn: (p) => {
      homes[p.home]++;
      if (!p.ended || p.returned) return;
      p.returned = true;
      back.push(Date.now() - killed);
      after.add(Date.now() - killed);
    },
    onOut: (p, home) => {
      if (home) homes[home]--;
      if (p.leaving) return;
      if (home && !(p.subject && killed && !p.ended)) disturbed.add(1);
      if (home) p.ended = true;
      else if (killed) {
        refusals++;
        refused.add(1);
      }
      if (home) p.connect();
      else setTimeout(() => p.connect(), 1000 + 1000 * Math.random());
    },
  };
  const make = (n, subject) => Array.from({ length: n }, () => Object.assign(new Player(target, seen), { subject }));
  const bystanders = make(Math.round(sockets / 10), false);
  const subjects = make(sockets, true);

  order(admin, 'b1', 'maintenance');
  let ready = await connectAll(bystanders);
  order(admin, 'b1', 'undrain');
  for (const b of ['b2', 'b3', 'b4']) order(admin, b, 'maintenance');
  ready = ready && (await connectAll(subjects, 120000));
  for (const b of ['b2', 'b3', 'b4']) order(admin, b, 'undrain');
  await until(() => JSON.parse(http.get(`${admin}/api/v1/pools/web`).body).usable === 4, 10000);
  const before = { ...homes };

  killed = Date.now();
  http.post(`${__ENV.STEER}/kill`);
  await until(() => back.length === sockets, within + 30000);
  for (const p of subjects) returned.add(ready && p.returned === true && p.home !== null);
  console.log(`DATA ${JSON.stringify({ sockets, killed, before, after: homes, refusals, back })}`);
  for (const p of bystanders.concat(subjects)) p.leave();
}
