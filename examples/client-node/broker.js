// A connection to a broker of scitq: requests with one answer, subscriptions with many. See docs/protocol.md.

import { decode, encode } from "@msgpack/msgpack";
import { Dealer } from "zeromq";

const PROTOCOL = 1;
const TIMEOUT_MS = 2500;

export class BrokerError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export class Broker {
  #address;
  #socket;
  #inboxes = new Map(); // id of a request -> its Inbox
  #next = 1;
  #welcomed = false;
  #failed;

  // `access` is what an access file holds: address, server_key, public_key, secret_key.
  static async connect(access) {
    const broker = new Broker(access);
    const silence = new BrokerError("no_server", `nothing answers at ${access.address}`);
    const timer = setTimeout(() => broker.#fail(silence), TIMEOUT_MS);
    try {
      const hello = { type: "hello", protocol: PROTOCOL, version: "client-node" };
      const { protocol } = await broker.ask(hello); // another version is answered with an error
      if (protocol !== PROTOCOL) throw new BrokerError("wrong_version", `the broker speaks protocol ${protocol}`);
      broker.#welcomed = true;
      return broker;
    } catch (problem) {
      broker.close();
      throw problem;
    } finally {
      clearTimeout(timer);
    }
  }

  constructor(access) {
    this.#address = access.address;
    this.#socket = new Dealer({
      linger: 0,
      curveServerKey: access.server_key,
      curvePublicKey: access.public_key,
      curveSecretKey: access.secret_key,
    });
    this.#socket.events.on("handshake:error:auth", () =>
      this.#fail(new BrokerError("wrong_key", `the broker at ${this.#address} does not accept this key`)),
    );
    this.#socket.events.on("disconnect", () => this.#fail(this.#lost()));
    this.#socket.connect(access.address);
    this.#read();
  }

  close() {
    this.#socket.close();
  }

  // One request, one answer; rejects with what an `error` answer says.
  async ask(message) {
    const answers = this.open(message);
    try {
      const { value } = await answers.next();
      return value;
    } finally {
      await answers.return();
    }
  }

  // One request, its answers one after the other, until the caller stops asking or `follow_end` has come.
  async *open(message) {
    const id = this.#next++;
    const inbox = new Inbox();
    if (this.#failed) throw this.#failed;
    this.#inboxes.set(id, inbox);
    try {
      await this.#send({ ...message, id });
      for (;;) {
        const answer = await inbox.take();
        if (answer.type === "error") throw new BrokerError(answer.error.code, answer.error.message);
        yield answer;
        if (answer.type === "follow_end") return;
        // Output is paced by credit: what the caller has consumed is granted anew.
        if (answer.type === "output_part" && message.type === "follow_output" && answer.data.length > 0) {
          await this.#send({ type: "credit", follow: id, bytes: answer.data.length });
        }
      }
    } finally {
      this.#inboxes.delete(id);
    }
  }

  #send(message) {
    return this.#socket.send(encode(message));
  }

  async #read() {
    try {
      for await (const [frame] of this.#socket) {
        const answer = decode(frame);
        this.#inboxes.get(answer.id)?.put(answer);
      }
    } catch (problem) {
      this.#fail(problem);
    }
  }

  #lost() {
    return this.#welcomed
      ? new BrokerError("no_server", `the connection to ${this.#address} is lost`)
      : new BrokerError("wrong_key", `what answers at ${this.#address} has not the server key of this access file`);
  }

  #fail(problem) {
    this.#failed ??= problem;
    for (const inbox of this.#inboxes.values()) inbox.fail(this.#failed);
  }
}

class Inbox {
  #answers = [];
  #waiting;
  #failed;

  put(answer) {
    this.#answers.push(answer);
    this.#waiting?.();
  }

  fail(problem) {
    this.#failed = problem;
    this.#waiting?.();
  }

  async take() {
    while (this.#answers.length === 0) {
      if (this.#failed) throw this.#failed;
      await new Promise((resolve) => (this.#waiting = resolve));
    }
    return this.#answers.shift();
  }
}
