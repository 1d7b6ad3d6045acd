// Echo servers with Node's ws, one a port: node servers.mjs 8081 8083
import { WebSocketServer } from 'ws';

for (const port of process.argv.slice(2)) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: Number(port) });
  server.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    socket.on('error', () => {});
  });
}
