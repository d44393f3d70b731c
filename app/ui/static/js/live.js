/**
 * What the service tells of jobs while they are made: Socket.IO over one WebSocket, as far as hearing needs it.
 *
 * The protocol (socket.io-protocol 5 inside of engine.io-protocol 4): a digit for the packet, one more for the message, then JSON. Nothing
 * else is spoken here, so the library's 40 kB would carry little. What is missed is asked for with `since`; without a connection the jobs
 * are polled by whoever watches them.
 */

const WAITS_MS = [500, 1000, 2000, 5000, 10_000];
const OPEN = "0", PING = "2", PONG = "3", CONNECT = "40", LET_IN = "40", EVENT = "42", REFUSED = "44";

/**
 * Listen until the returned function is called.
 * @param {{auth: () => object, onEvent: (name: string, data: object) => void, onState?: (isConnected: boolean) => void}} options
 *   `auth` is asked at each connection, and holds `since`
 */
export function listen({ auth, onEvent, onState = () => {} }) {
  let socket = null;
  let timer = null;
  let tries = 0;
  let isOver = false;

  function connect() {
    socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/socket.io/?EIO=4&transport=websocket`);
    socket.onmessage = ({ data }) => heard(String(data));
    socket.onclose = () => {
      onState(false);
      if (isOver) return;
      timer = setTimeout(connect, WAITS_MS[Math.min(tries, WAITS_MS.length - 1)]);
      tries += 1;
    };
  }

  function heard(packet) {
    if (packet === PING) return socket.send(PONG);
    if (packet.startsWith(OPEN)) return socket.send(CONNECT + JSON.stringify(auth()));
    if (packet.startsWith(LET_IN)) {
      tries = 0;
      return onState(true);
    }
    if (packet.startsWith(REFUSED)) return stop(); // A credential that is not good now will not be: polling tells of it.
    if (packet.startsWith(EVENT)) {
      const [name, data] = JSON.parse(packet.slice(EVENT.length));
      onEvent(name, data);
    }
    return undefined;
  }

  function stop() {
    isOver = true;
    clearTimeout(timer);
    socket?.close();
    removeEventListener("online", hurry);
  }

  /** The network is back: why wait longer? */
  function hurry() {
    if (socket?.readyState !== WebSocket.CLOSED || isOver) return;
    clearTimeout(timer);
    connect();
  }

  addEventListener("online", hurry);
  connect();
  return stop;
}
