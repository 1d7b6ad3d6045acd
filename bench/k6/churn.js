// Churn: every virtual user opens a WebSocket, has one message echoed, closes
// it with 1000 and starts again. Fails when one socket in a hundred thousand
// is lost, answered wrongly, or not closed as it asked.
//
//   k6 run -e TARGET=ws://127.0.0.1:8080/ bench/k6/churn.js
//
// VUS (50) and DURATION (20s) say how much; behind TARGET is an echo server,
// such as `go run ./bench/cmd/bench backend`.
import { WebSocket } from 'k6/websockets';
import { Counter, Rate, Trend } from 'k6/metrics';

const target = __ENV.TARGET || 'ws://127.0.0.1:8080/';

const good = new Rate('socket_good');
const opened = new Counter('sockets_opened');
const life = new Trend('socket_life', true);

export const options = {
  scenarios: {
    churn: {
      executor: 'constant-vus',
      vus: Number(__ENV.VUS || 50),
      duration: __ENV.DURATION || '20s',
      gracefulStop: '10s',
    },
  },
  thresholds: {
    socket_good: ['rate>0.99999'],
    sockets_opened: ['count>100'],
  },
};

// One iteration is one socket; the next begins when it has ended.
export default function () {
  const begun = Date.now();
  const text = `${__VU}.${__ITER}.${begun}`;
  const ws = new WebSocket(target);
  let echoed = false;
  let done = false;
  const end = (ok) => {
    if (done) return;
    done = true;
    clearTimeout(patience);
    good.add(ok);
    life.add(Date.now() - begun);
  };
  const patience = setTimeout(() => {
    end(false);
    ws.close();
  }, 8000);
  ws.onopen = () => {
    opened.add(1);
    ws.send(text);
  };
  ws.onmessage = (m) => {
    if (m.data !== text || echoed) {
      end(false);
    }
    echoed = true;
    ws.close(1000);
  };
  ws.onclose = () => end(echoed);
  ws.onerror = () => end(false);
}
