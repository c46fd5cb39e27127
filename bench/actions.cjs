// Sends events to a URL with Segment's own engine: its webhook destination maps, validates and posts each one.
// node actions.cjs FILE URL COUNT CALLERS: FILE has an event a line; prints requests a second, and CPU microseconds each.
"use strict";
const { readFileSync } = require("node:fs");
const { Destination } = require("@segment/actions-core");
const { default: webhook } = require("@segment/action-destinations/dist/destinations/webhook");

const [file, url, count, callers] = process.argv.slice(2);
const lines = readFileSync(file, "utf8").trimEnd().split("\n");
const events = lines.map((line) => JSON.parse(line));
const settings = {
  subscription: {
    name: "Everything",
    partnerAction: "send",
    subscribe: 'type = "identify" or type = "page" or type = "track"',
    mapping: { url, method: "POST", data: { "@path": "$." } },
  },
};

async function main() {
  const destination = new Destination(webhook);
  const send = async (event) => {
    const { output } = (await destination.onEvent(event, settings)).at(-1);
    if (output !== "Action Executed") throw new Error(output);
  };
  await send(events[0]); // It connects before the clock starts.
  let next = 0;
  const caller = async () => {
    while (next < Number(count)) await send(events[next++ % events.length]);
  };
  const used = process.cpuUsage();
  const begun = process.hrtime.bigint();
  await Promise.all(Array.from({ length: Number(callers) }, caller));
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
  const { user, system } = process.cpuUsage(used);
  console.log(JSON.stringify({ rate: count / seconds, cpu: (user + system) / count }));
}

main();
