#!/usr/bin/env node
// Queues a command on a mesh of scitq, prints its output as it is written, and exits with its code.

import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { parse } from "smol-toml";
import { Broker, BrokerError } from "./broker.js";

const USAGE = "usage: run.js --access FILE [--batch NAME] -- COMMAND…";

async function main() {
  let options, command;
  try {
    ({ values: options, positionals: command } = parseArgs({
      allowPositionals: true,
      options: { access: { type: "string" }, batch: { type: "string", default: "Default" } },
    }));
  } catch (problem) {
    throw new BrokerError("usage", `${problem.message}; ${USAGE}`);
  }
  if (!options.access || command.length === 0) throw new BrokerError("usage", USAGE);

  const broker = await Broker.connect(readAccess(options.access));
  try {
    const task = await submit(broker, { command, batch: options.batch });
    console.error(`Task queued with task id: ${task}`);
    const end = await printOutput(broker, task);
    if (end.status !== "succeeded") console.error(`task ${task} ${end.status}: ${end.reason}`);
    return end.status === "succeeded" ? 0 : (end.exit_code ?? 1);
  } finally {
    broker.close();
  }
}

function readAccess(path) {
  try {
    return parse(readFileSync(path, "utf8"));
  } catch (problem) {
    throw new BrokerError("usage", `${path}: ${problem.message.split("\n")[0]}`);
  }
}

async function submit(broker, spec) {
  // The request's name is what makes it safe to send the same submit again.
  const { first, warnings = [] } = await broker.ask({ type: "submit", request: randomUUID(), specs: [spec] });
  for (const line of warnings) console.error(line);
  return first;
}

// The output of each attempt, until the task has ended; resolves to how.
async function printOutput(broker, task) {
  let printed = 0; // the last attempt whose output was printed
  for await (const { type, changes } of broker.open({ type: "follow", tasks: [task] })) {
    if (type !== "changed") continue;
    for (const [, attempt, status, , exit_code, reason] of changes) {
      if (attempt > printed) {
        await printAttempt(broker, task, attempt);
        printed = attempt;
      }
      if (["succeeded", "failed", "cancelled", "deleted"].includes(status)) return { status, exit_code, reason };
    }
  }
}

async function printAttempt(broker, task, attempt) {
  for await (const part of broker.open({ type: "follow_output", task, attempt })) {
    if (part.type !== "output_part") continue;
    if (part.gap) console.error(`[${part.gap} bytes of ${part.stream} are not kept]`);
    const stream = part.stream === "stdout" ? process.stdout : process.stderr;
    if (!stream.write(part.data)) await once(stream, "drain");
  }
}

let code;
try {
  code = await main();
} catch (problem) {
  console.error(problem.message);
  code = problem.code === "usage" ? 2 : 1;
}
process.exit(code); // all is written; libzmq's threads, which may still dial a broker that refused us, are not waited for
