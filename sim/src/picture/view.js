"use strict";
// The data of the run, the layout of the lanes, and which part of the run is in view.

const D = JSON.parse(document.getElementById("data").textContent);

// Each item is a list of values. These name the places in it. Every item begins with its time, or
// with when it begins and ends. L: lease, H: what a key holds, Q: place in a queue, M: message,
// U: push, S: fault that lasts, P: what takes no time, F: fact.
const L = {
  from: 0, to: 1, lease: 2, client: 3, key: 4, row: 5, states: 6, valid: 7, fence: 8, loss: 9,
  dead: 10,
};
const H = { from: 0, to: 1, node: 2, key: 3, lease: 4 };
const M = {
  from: 0, to: 1, lease: 2, client: 3, node: 4, key: 5, ask: 6, did: 7, heard: 8, answered: 9,
  yes: 10, text: 11,
};
const Q = { from: 0, to: 1, node: 2, key: 3, lease: 4, ahead: 5 };
const U = { from: 0, to: 1, lease: 2, client: 3, node: 4, key: 5, heard: 6, text: 7 };
const S = { from: 0, to: 1, client: 2, node: 3, fault: 4 };
const P = { at: 0, kind: 1, client: 2, node: 3, key: 4, lease: 5, text: 6 };
const F = { at: 0, client: 1, node: 2, key: 3, lease: 4, text: 5 };
const STATES = ["acquiring", "waiting", "held", "suspect", "lost", "releasing", "failed",
  "queued"];
const ASKS = ["acquire", "confirm", "renew", "repair", "release", "stay", "take", "wait",
  "watch", "acknowledge"];

const GUTTER = 92, AXIS = 26, LABEL = 12;
// A broken law ends the run. Leases that were valid then are shown until the end of their validity.
const validUntil = D.leases.flatMap((lease) => lease[L.valid].slice(-1));
const after = D.violation ? Math.max(...validUntil, D.end) : D.end;
const END = Math.max(D.end, Math.min(after, D.end + 2e9), 1);

// Sorts items by their beginning, and notes the latest end so far at each. So the items in view are
// found by a binary search.
function index(items, to = 1) {
  items.sort((a, b) => a[0] - b[0]);
  const ends = new Float64Array(items.length);
  let last = 0;
  items.forEach((item, i) => { last = Math.max(last, item[to]); ends[i] = last; });
  return { items, ends };
}
// The first number below `count` for which `holds` is true. It is true for all after it.
function first(count, holds) {
  let low = 0, high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(middle)) high = middle; else low = middle + 1;
  }
  return low;
}
// The places of the first item that may reach into the window, and of the first after it.
function range(indexed, from, to) {
  const n = indexed.items.length;
  return [first(n, (i) => indexed.ends[i] >= from), first(n, (i) => indexed.items[i][0] > to)];
}

const leases = index(D.leases), holds = index(D.holds), messages = index(D.messages);
const places = index(D.places), pushes = index(D.pushes);
const shades = index(D.shades), cuts = index(D.cuts), points = index(D.points, 0);
const byLease = new Map(D.leases.map((lease) => [lease[L.lease], lease]));

// How long a message travels in most cases. A lost one is drawn as if it travelled that long.
const USUAL = (() => {
  const arrived = D.messages.filter((m) => m[M.did] >= 0);
  const trips = arrived.map((m) => m[M.did] - m[M.from]).sort((a, b) => a - b);
  return trips.length ? Math.max(trips[trips.length >> 1], 1) : 1e6;
})();

// What the clock of each lane shows, in pieces: since when, the microseconds that it showed then,
// and by how much it is fast, in parts per million.
const clocks = new Map();
for (const [client, node, since, shows, ppm] of D.clocks) {
  const lane = client >= 0 ? "c" + client : "n" + node;
  if (!clocks.has(lane)) clocks.set(lane, []);
  clocks.get(lane).push([since, shows, ppm]);
}
function clockOf(name, at) {
  const lines = clocks.get(name);
  if (!lines) return null;
  const i = first(lines.length, (k) => lines[k][0] > at) - 1;
  if (i < 0) return null;
  const [since, shows, ppm] = lines[i];
  return { shows: shows + (at - since) / 1e3 * (1 + ppm / 1e6), ppm };
}

// The part of the run that is in view, and what is chosen in it. -1 means all keys, or no lease.
const view = { from: 0, to: END, key: -1, lease: -1, messages: true, width: 800, height: 400 };
const x = (at) => GUTTER + (at - view.from) / (view.to - view.from) * (view.width - GUTTER);
const at = (px) => view.from + (px - GUTTER) / (view.width - GUTTER) * (view.to - view.from);

// The lanes, from top to bottom: the clients, each with rows for leases and a line for each link; a
// gap, through which the messages go; the nodes, each with a row for each key.
const lanes = [];
let laneAt = new Map();
function layout(room) {
  const rows = new Array(D.clients).fill(1);
  for (const lease of D.leases) {
    rows[lease[L.client]] = Math.max(rows[lease[L.client]], lease[L.row] + 1);
  }
  const keys = Math.max(D.keys.length, 1);
  const total = rows.reduce((sum, n) => sum + n, 0) + 0.85 * keys * D.nodes;
  const fixed = AXIS + D.clients * (LABEL + 12 + 3 * D.nodes) + D.nodes * (LABEL + 12) + 10;
  const least = Math.max(46, Math.min(120, room * 0.16));
  const row = Math.max(9, Math.min(30, Math.floor((room - fixed - least) / total)));
  const gap = Math.max(least, Math.min(220, room - fixed - total * row));
  lanes.length = 0;
  laneAt = new Map();
  let y = AXIS;
  const add = (name, height, more) => {
    const lane = { name, y, height, row, ...more };
    lanes.push(lane);
    laneAt.set(name, lane);
    y += height + 4;
  };
  for (let c = 0; c < D.clients; c++) {
    const height = rows[c] * row + LABEL + 8 + 3 * D.nodes;
    add("c" + c, height, { client: c, node: -1, rows: rows[c] });
  }
  y += gap;
  const low = Math.round(row * 0.85);
  for (let n = 0; n < D.nodes; n++) {
    add("n" + n, keys * low + LABEL + 8, { client: -1, node: n, rows: keys, row: low });
  }
  return y + 4;
}
const rowY = (lane, row) => lane.y + 4 + row * lane.row;
const labelY = (lane) => rowY(lane, lane.rows) + LABEL / 2;
const linkY = (lane, node) => lane.y + lane.height - 3 * (D.nodes - node) - 2;

// Seconds, with as many digits as the window needs.
function digits() {
  return Math.max(0, Math.min(9, Math.ceil(-Math.log10((view.to - view.from) / 1e9)) + 3));
}
const seconds = (t, n = digits()) => (t / 1e9).toFixed(n) + " s";
function span(t) {
  if (t < 1e3) return t + " ns";
  if (t < 1e6) return (t / 1e3).toPrecision(3) + " µs";
  if (t < 1e9) return (t / 1e6).toPrecision(3) + " ms";
  return (t / 1e9).toPrecision(4) + " s";
}
