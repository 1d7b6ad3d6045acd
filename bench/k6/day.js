// A day in a game's life, in a minute: players join over a ramp, move twenty
// times a second and hear each move come back, and leave; others take their
// place. Fails when a socket is lost, a move is lost or out of order, or moves
// take too long.
//
//   k6 run -e TARGET=ws://127.0.0.1:8080/ bench/k6/day.js
//
// PLAYERS (100), RAMP (10s), PLAY (30s), SESSION (8000 milliseconds), P99
// (250 milliseconds). Behind TARGET is an echo server.
import { WebSocket } from 'k6/websockets';
import { Counter, Rate, Trend } from 'k6/metrics';

const target = __ENV.TARGET || 'ws://127.0.0.1:8080/';
const session = Number(__ENV.SESSION || 8000);
const every = 50; // milliseconds between moves: 20 Hz

const trip = new Trend('move_trip', true);
const kept = new Rate('session_kept'); // ended when the player left, not before
const orderly = new Rate('moves_in_order');
const moves = new Counter('moves');

export const options = {
  scenarios: {
    day: {
      executor: 'ramping-vus',
      startVUs: 0,
      stages: [
        { duration: __ENV.RAMP || '10s', target: Number(__ENV.PLAYERS || 100) },
        { duration: __ENV.PLAY || '30s', target: Number(__ENV.PLAYERS || 100) },
        { duration: '5s', target: 0 },
      ],
      gracefulRampDown: '20s',
      gracefulStop: '20s',
    },
  },
  thresholds: {
    session_kept: ['rate==1'],
    moves_in_order: ['rate==1'],
    move_trip: [`p(99)<${Number(__ENV.P99 || 250)}`],
    moves: ['count>100'],
  },
};

export default function () {
  const ws = new WebSocket(target);
  let sent = 0;
  let heard = 0;
  let leaving = false;
  let timer = null;
  let ended = false;
  const end = (ok) => {
    if (ended) return;
    ended = true;
    if (timer !== null) clearInterval(timer);
    clearTimeout(patience);
    kept.add(ok);
  };
  const patience = setTimeout(() => {
    end(false);
    ws.close();
  }, session + 10000);
  const leave = () => {
    leaving = true;
    clearInterval(timer);
    // What is still on its way comes first.
    const wait = setInterval(() => {
      if (heard < sent && !ended) return;
      clearInterval(wait);
      ws.close(1000);
    }, 20);
  };
  ws.onopen = () => {
    timer = setInterval(() => {
      ws.send(`${sent++} ${Date.now()}`);
      moves.add(1);
    }, every);
    setTimeout(leave, session * (0.5 + Math.random()));
  };
  ws.onmessage = (m) => {
    const [number, at] = m.data.split(' ');
    orderly.add(Number(number) === heard);
    heard++;
    trip.add(Date.now() - Number(at));
  };
  ws.onclose = () => end(leaving && heard === sent);
  ws.onerror = () => end(false);
}
