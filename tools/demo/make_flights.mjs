// Makes flights.jsonl, the demonstration input of tools/quickstart, from the flights of the npm package
// vega-datasets:
//   npm pack vega-datasets@3.2.1 && tar xzf vega-datasets-3.2.1.tgz
//   node tools/demo/make_flights.mjs package/data/flights-20k.json > tools/demo/flights.jsonl
// The same input always gives the same bytes, so that event ids are stable and a second import is deduplicated.

import { readFileSync } from "node:fs";

const kDatePattern = /^(2001)\/(\d\d)\/(\d\d) (\d\d):(\d\d)$/;
const kAirportPattern = /^[A-Z]{3}$/;

// The record's "2001/01/31 06:02" carries no zone and no seconds; it is taken as UTC.
function to_time(date) {
  const match = kDatePattern.exec(date);
  if (!match) throw new Error(`not a date of the expected form: ${date}`);
  const [, year, month, day, hour, minute] = match;
  const time = `${year}-${month}-${day}T${hour}:${minute}:00Z`;
  if (Number.isNaN(Date.parse(time))) throw new Error(`no such time: ${date}`);
  return time;
}

function to_flight(record) {
  for (const airport of [record.origin, record.destination]) {
    if (!kAirportPattern.test(airport)) throw new Error(`not an airport code: ${airport}`);
  }
  for (const number of [record.delay, record.distance]) {
    if (!Number.isInteger(number)) throw new Error(`not a whole number: ${number}`);
  }
  return { ...record, time: to_time(record.date) };
}

// A total order, so that the output does not depend on the order of the input.
function compare(a, b) {
  const key = (flight) => `${flight.time} ${flight.origin} ${flight.destination}`;
  if (key(a) !== key(b)) return key(a) < key(b) ? -1 : 1;
  return a.delay - b.delay || a.distance - b.distance;
}

function to_line(flight, id) {
  return JSON.stringify({
    stream: `flights.${flight.origin}.${flight.destination}`,
    event: {
      specversion: "1.0",
      id,
      source: "/us-dot/on-time",
      type: "flight.departed",
      time: flight.time,
      datacontenttype: "application/json",
      data: {
        origin: flight.origin,
        destination: flight.destination,
        delay_minutes: flight.delay,
        distance_miles: flight.distance,
      },
    },
  });
}

if (process.argv.length !== 3) {
  console.error("usage: make_flights.mjs FLIGHTS_20K_JSON > flights.jsonl");
  process.exit(2);
}
const flights = JSON.parse(readFileSync(process.argv[2], "utf8")).map(to_flight).sort(compare);
const used = new Map();
for (const flight of flights) {
  // Two flights between the same airports may leave in the same minute: the later ones are numbered.
  const base = `${flight.time.slice(0, 16)}-${flight.origin}-${flight.destination}`;
  const count = (used.get(base) ?? 0) + 1;
  used.set(base, count);
  process.stdout.write(to_line(flight, count === 1 ? base : `${base}-${count}`) + "\n");
}
