// Connects as a web app does and prints one JSON line for each thing that happens. Arguments: address, auth (JSON), transports (JSON, optional).
import { io } from "socket.io-client";

const [address, auth, transports] = process.argv.slice(2);
const socket = io(address, {
  auth: JSON.parse(auth),
  reconnection: false,
  forceNew: true,
  ...(transports ? { transports: JSON.parse(transports) } : {}),
});

const say = (name, data) => process.stdout.write(`${JSON.stringify([name, data])}\n`);

socket.on("connect", () => say("connect", socket.io.engine.transport.name));
socket.on("connect_error", (error) => {
  say("connect_error", { message: error.message, data: error.data ?? null });
  process.exit(0);
});
socket.onAny((name, data) => say(name, data));
socket.on("disconnect", (reason) => {
  say("disconnect", reason);
  process.exit(0);
});

// Ends with whoever started it.
process.stdin.on("end", () => socket.close());
process.stdin.resume();
