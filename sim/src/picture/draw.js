// Draws the part of the run that is in view, and nothing else. Of things that are narrower than a
// pixel, only one is drawn in each column.

const css = {};
function colours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["paper", "lane", "lane2", "ink", "soft", "rule", "accent", "valid", "foreign",
    "pause", "crash", "trouble", "no", "broken", "fine", "push", ...STATES, ...ASKS];
  for (const name of names) css[name] = style.getPropertyValue("--" + name).trim();
}
const FONT = 'system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif';

const canvas = document.getElementById("lanes");
const g = canvas.getContext("2d");
const wanted = (key) => view.key < 0 || key < 0 || key === view.key;
const dimmed = (lease) => view.lease >= 0 && lease !== view.lease;

function draw() {
  const { width, height } = view;
  g.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  g.fillStyle = css.paper;
  g.fillRect(0, 0, width, height);
  for (const lane of lanes) {
    g.fillStyle = css.lane;
    g.fillRect(GUTTER, lane.y, width - GUTTER, lane.height);
  }
  axis();
  g.save();
  g.beginPath();
  g.rect(GUTTER, AXIS - 4, width - GUTTER, height);
  g.clip();
  drawShades();
  drawCuts();
  drawHolds();
  drawPlaces();
  drawLeases();
  if (view.messages) { drawMessages(); drawPushes(); }
  drawPoints();
  drawViolation();
  g.restore();
  names();
}

function axis() {
  const room = view.to - view.from, most = (view.width - GUTTER) / 90;
  let step = Math.pow(10, Math.floor(Math.log10(room / most)));
  for (const factor of [1, 2, 5, 10]) if (room / (step * factor) <= most) { step *= factor; break; }
  g.font = "11px " + FONT;
  g.textBaseline = "middle";
  g.textAlign = "left";
  g.lineWidth = 1;
  const n = Math.max(0, Math.min(9, Math.ceil(-Math.log10(step / 1e9) - 1e-9)));
  for (let k = Math.ceil(view.from / step); k * step <= view.to; k++) {
    const px = Math.round(x(k * step)) + 0.5;
    g.strokeStyle = css.rule;
    g.beginPath();
    g.moveTo(px, AXIS - 8);
    g.lineTo(px, view.height);
    g.stroke();
    g.fillStyle = css.soft;
    g.fillText(seconds(k * step, n), px + 4, 11);
  }
}

function names() {
  g.fillStyle = css.paper;
  g.fillRect(0, 0, GUTTER, view.height);
  g.textBaseline = "middle";
  g.textAlign = "left";
  for (const lane of lanes) {
    const middle = lane.y + lane.height / 2;
    g.fillStyle = css.lane2;
    g.fillRect(0, lane.y, GUTTER - 2, lane.height);
    g.fillStyle = css.ink;
    g.font = "600 12px " + FONT;
    g.fillText((lane.client >= 0 ? "client " + lane.client : "node " + lane.node), 12, middle);
    if (lane.client >= 0) {
      g.fillStyle = hold(lane.client);
      g.fillRect(GUTTER - 17, middle - 5, 10, 10);
    }
    if (lane.node >= 0 && lane.row >= 9) {
      g.font = "10px " + FONT;
      g.fillStyle = css.soft;
      g.textAlign = "right";
      D.keys.forEach((name, k) => {
        if (!wanted(k)) return;
        const short = name.length > 4 ? name.slice(0, 3) + "…" : name;
        g.fillText(short, GUTTER - 7, rowY(lane, k) + lane.row / 2);
      });
      g.textAlign = "left";
    }
  }
}

function shadeColour(fault) {
  if (fault.includes("Crash")) return css.crash;
  return fault === "Pause" || fault === "Freeze" ? css.pause : css.trouble;
}
const FAULT_WORDS = {
  Pause: "paused", Freeze: "frozen", ClientCrash: "crashed", CrashKept: "down",
  CrashEmpty: "down, comes back empty", CrashStale: "down, comes back stale", Slow: "slow",
  Loading: "loading", ReadOnly: "read-only", OutOfMemory: "out of memory", Refusal: "refuses us",
  Cut: "cut", CutOut: "requests cut", CutIn: "replies cut",
};
const faultWords = (fault) =>
  FAULT_WORDS[fault] || fault.replace(/(?!^)([A-Z])/g, " $1").toLowerCase();

function drawShades() {
  const [a, b] = range(shades, view.from, view.to);
  for (let i = a; i < b; i++) {
    const s = shades.items[i];
    if (s[S.to] < view.from) continue;
    const lane = laneAt.get(s[S.client] >= 0 ? "c" + s[S.client] : "n" + s[S.node]);
    if (!lane) continue;
    const left = Math.max(x(s[S.from]), GUTTER), right = Math.min(x(s[S.to]), view.width);
    const colour = shadeColour(s[S.fault]), wide = Math.max(right - left, 1);
    g.fillStyle = colour;
    g.globalAlpha = 0.2;
    g.fillRect(left, lane.y, wide, lane.height);
    if (wide > 6) {
      // Slanted lines, so that it looks different from a bar without colours, too.
      g.globalAlpha = 0.32;
      g.strokeStyle = colour;
      g.lineWidth = 1;
      g.save();
      g.beginPath();
      g.rect(left, lane.y, wide, lane.height);
      g.clip();
      g.beginPath();
      for (let p = left - lane.height; p < right; p += 7) {
        g.moveTo(p, lane.y + lane.height);
        g.lineTo(p + lane.height, lane.y);
      }
      g.stroke();
      g.restore();
    }
    g.globalAlpha = 1;
    if (wide > 50) {
      const words = faultWords(s[S.fault]);
      g.font = "600 10px " + FONT;
      if (g.measureText(words).width < wide - 8) {
        g.fillStyle = colour;
        g.fillText(words, left + 4, labelY(lane));
      }
    }
  }
}

function drawCuts() {
  const [a, b] = range(cuts, view.from, view.to);
  for (let i = a; i < b; i++) {
    const cut = cuts.items[i];
    const lane = laneAt.get("c" + cut[S.client]);
    if (!lane || cut[S.to] < view.from) continue;
    const left = Math.max(x(cut[S.from]), GUTTER);
    const wide = Math.max(Math.min(x(cut[S.to]), view.width) - left, 1);
    g.fillStyle = css.crash;
    g.globalAlpha = cut[S.fault] === "Cut" ? 0.95 : 0.55;
    g.fillRect(left, linkY(lane, cut[S.node]), wide, 2);
    const node = laneAt.get("n" + cut[S.node]);
    if (node) {
      g.globalAlpha = 0.1;
      g.fillRect(left, node.y, wide, node.height);
    }
    g.globalAlpha = 1;
  }
}

// Each client has its own hue, so that a key at a node shows whose it is.
const darkness = matchMedia("(prefers-color-scheme: dark)");
const hold = (client) =>
  `hsl(${(212 + client * 137.5) % 360} ${darkness.matches ? "32% 40%" : "48% 74%"})`;
function drawHolds() {
  const [a, b] = range(holds, view.from, view.to);
  const drawn = new Map();
  for (let i = a; i < b; i++) {
    const h = holds.items[i];
    if (h[H.to] < view.from || !wanted(h[H.key])) continue;
    const lane = laneAt.get("n" + h[H.node]);
    const left = Math.max(x(h[H.from]), GUTTER - 1);
    const right = Math.min(x(h[H.to]), view.width + 1);
    const slot = h[H.node] * 256 + h[H.key], column = Math.floor(right);
    if (right - left < 1 && drawn.get(slot) === column) continue;
    drawn.set(slot, column);
    const lease = byLease.get(h[H.lease]);
    const y = rowY(lane, h[H.key]) + 1, tall = lane.row - 2;
    const wide = Math.max(right - left - 0.5, 0.7);
    g.globalAlpha = dimmed(h[H.lease]) ? 0.2 : 1;
    g.fillStyle = lease ? hold(lease[L.client]) : css.foreign;
    g.fillRect(left, y, wide, tall);
    if (wide > 34 && tall > 8) {
      g.fillStyle = lease ? css.ink : css.paper;
      g.font = "10px " + FONT;
      const other = h[H.lease] < 0 ? "foreign" : `lease ${h[H.lease]}`;
      const words = lease ? `c${lease[L.client]} · ${h[H.lease]}` : other;
      if (g.measureText(words).width < wide - 6) g.fillText(words, left + 4, y + tall / 2 + 0.5);
    }
    g.globalAlpha = 1;
  }
}

// The places in a queue: lines at the lower edge of the key, the first in line at the bottom.
function drawPlaces() {
  const [a, b] = range(places, view.from, view.to);
  for (let i = a; i < b; i++) {
    const q = places.items[i], lease = byLease.get(q[Q.lease]);
    if (q[Q.to] < view.from || !wanted(q[Q.key]) || !lease) continue;
    const lane = laneAt.get("n" + q[Q.node]);
    const left = Math.max(x(q[Q.from]), GUTTER - 1);
    const right = Math.min(x(q[Q.to]), view.width + 1);
    const up = 2 * Math.min(q[Q.ahead], Math.max(Math.floor(lane.row / 2) - 3, 0));
    g.globalAlpha = dimmed(q[Q.lease]) ? 0.2 : 1;
    g.fillStyle = css.queued;
    g.fillRect(left, rowY(lane, q[Q.key]) + lane.row - 2.5 - up, Math.max(right - left, 0.7), 1.2);
  }
  g.globalAlpha = 1;
}

// The leases on the key of the broken law that were valid when it was broken.
const guilty = new Set(D.violation && D.violation[3] >= 0 ? D.leases.filter((lease) => {
  const last = lease[L.valid].slice(-2);
  return lease[L.key] === D.violation[3] && last[0] <= D.violation[0] && last[1] > D.violation[0];
}).map((lease) => lease[L.lease]) : []);

function drawLeases() {
  const [a, b] = range(leases, view.from, view.to);
  const drawn = new Map();
  for (let i = a; i < b; i++) {
    const lease = leases.items[i];
    if (lease[L.to] < view.from || !wanted(lease[L.key])) continue;
    const lane = laneAt.get("c" + lease[L.client]);
    const y = rowY(lane, lease[L.row]) + 1, tall = lane.row - 3;
    g.globalAlpha = dimmed(lease[L.lease]) ? 0.18 : 1;
    const states = lease[L.states];
    let held = null;
    for (let k = 0; k < states.length; k += 2) {
      const from = states[k], to = k + 2 < states.length ? states[k + 2] : lease[L.to];
      const state = states[k + 1];
      if (to < view.from || from > view.to) continue;
      const left = Math.max(x(from), GUTTER - 2), right = Math.min(x(to), view.width + 2);
      // A loss is wide enough to be seen, however short it is.
      const least = state === 4 ? 2.5 : 0.8;
      const slot = (lane.client * 64 + lease[L.row]) * 8 + state, column = Math.floor(right);
      if (right - left < 1 && drawn.get(slot) === column) continue;
      drawn.set(slot, column);
      const thin = state < 2 || state > 4;
      const inset = thin ? Math.round(tall * 0.22) : 0;
      g.fillStyle = css[STATES[state]];
      g.fillRect(left, y + inset, Math.max(right - left, least), tall - 2 * inset);
      if (state === 2 && (!held || right - left > held[1] - held[0])) held = [left, right];
    }
    const valid = lease[L.valid];
    g.fillStyle = css.valid;
    let reach = -1;
    for (let k = 0; k < valid.length; k += 2) {
      if (valid[k + 1] < view.from || valid[k] > view.to) continue;
      const left = Math.max(x(valid[k]), GUTTER - 2, reach);
      const right = Math.min(x(valid[k + 1]), view.width + 2);
      if (right - left < 0.5) continue;
      reach = right;
      g.fillRect(left, y + tall - 2, right - left, 2);
    }
    if (held && held[1] - held[0] > 26 && tall > 8) {
      g.font = "600 10px " + FONT;
      g.fillStyle = "#fff";
      const whole = `${lease[L.lease]} · ${D.keys[lease[L.key]]}`;
      const wide = held[1] - held[0];
      const words = g.measureText(whole).width < wide - 8 ? whole : String(lease[L.lease]);
      if (g.measureText(words).width < wide - 6) g.fillText(words, held[0] + 4, y + tall / 2);
    }
    if (view.lease === lease[L.lease] || guilty.has(lease[L.lease])) {
      const left = Math.max(x(lease[L.from]), GUTTER - 4);
      const right = Math.min(x(lease[L.to]), view.width + 4);
      g.strokeStyle = view.lease === lease[L.lease] ? css.ink : css.broken;
      g.lineWidth = 2;
      g.strokeRect(left - 1, y - 1, Math.max(right - left, 1) + 2, tall + 2);
    }
    g.globalAlpha = 1;
  }
}

// Where a message leaves its client and reaches its node.
function ends(m) {
  const lease = byLease.get(m[M.lease]);
  const client = laneAt.get("c" + m[M.client]), node = laneAt.get("n" + m[M.node]);
  if (!lease || !client || !node) return null;
  return [rowY(client, lease[L.row]) + client.row - 3, rowY(node, m[M.key]) + 1];
}
function cross(px, py, size) {
  g.moveTo(px - size, py - size);
  g.lineTo(px + size, py + size);
  g.moveTo(px - size, py + size);
  g.lineTo(px + size, py - size);
}
// The lines of a message, for the request and the reply: its start and its end (each a time and a
// height), whether it arrived, and whether it is the reply.
function ways(m) {
  const [top, bottom] = ends(m) || [0, 0];
  if (!bottom) return [];
  const did = m[M.did], heard = m[M.heard];
  if (did < 0) {
    const early = heard >= 0 && m[M.answered] ? heard : m[M.from] + USUAL;
    return [[m[M.from], top, early, bottom, false, false]];
  }
  const there = [m[M.from], top, did, bottom, true, false];
  if (heard >= did && m[M.answered]) return [there, [did, bottom, heard, top, true, true]];
  return [there, [did, bottom, did + USUAL, top, false, true]];
}

// The messages to draw, and whether they are so many that they would cover each other. Of a crowd,
// one message is kept for each link and each four pixels, and a lost one before others.
function seenMessages() {
  const [a, b] = range(messages, view.from, view.to);
  const seen = [];
  const columns = new Map();
  const crowded = b - a > 1500;
  for (let i = a; i < b; i++) {
    const m = messages.items[i];
    if (!wanted(m[M.key])) continue;
    if (crowded && !dimmed(m[M.lease])) {
      const slot = Math.floor(x(m[M.from]) / 4) * 4096 + m[M.client] * 64 + m[M.node];
      const lost = m[M.did] < 0 || (m[M.heard] >= 0 && !m[M.answered]);
      const before = columns.get(slot);
      if (before === 2 || (before === 1 && !lost)) continue;
      columns.set(slot, lost ? 2 : 1);
    }
    seen.push(m);
  }
  return { seen, crowded };
}

function drawMessages() {
  const { seen, crowded } = seenMessages();
  const close = (view.width - GUTTER) / (view.to - view.from) * USUAL;
  const thin = Math.max(crowded ? 0.14 : 0.1, Math.min(0.85, 160 / (seen.length + 1)));
  // A crowd is drawn only between the clients and the nodes, where it covers nothing else.
  g.save();
  const last = lanes[D.clients - 1], next = lanes[D.clients];
  if (crowded && view.lease < 0 && last && next) {
    g.beginPath();
    g.rect(GUTTER, last.y + last.height, view.width, next.y - last.y - last.height);
    g.clip();
  }
  const heads = close > 6 && seen.length < 1500;
  // One path for each colour.
  const groups = new Map();
  const lost = [];
  for (const m of seen) {
    const dim = dimmed(m[M.lease]);
    for (const way of ways(m)) {
      const no = way[5] && !m[M.yes];
      const group = (no ? "no" : ASKS[m[M.ask]]) + (dim ? "-" : "+");
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push(way);
      if (!way[4] && !dim) lost.push(way);
    }
  }
  g.lineWidth = heads ? 1.2 : 1;
  for (const [group, all] of groups) {
    const dim = group.endsWith("-");
    g.strokeStyle = g.fillStyle = css[group.slice(0, -1)];
    g.globalAlpha = dim ? 0.05 : view.lease >= 0 ? 0.9 : thin;
    drawWays(all);
    if (heads && !dim) drawHeads(all);
  }
  drawLost(lost, seen.length);
  g.restore();
}

// The pushes that hand a lock on, or hint that it is free, from the node to the client. One that
// was not heard is crossed.
function drawPushes() {
  const [a, b] = range(pushes, view.from, view.to);
  const ways = [], lost = [];
  for (let i = a; i < b && b - a < 1500; i++) {
    const push = pushes.items[i];
    if (!wanted(push[U.key]) || dimmed(push[U.lease])) continue;
    // A push has its lease, client, node and key where a message has them.
    const [top, bottom] = ends(push) || [0, 0];
    if (!bottom) continue;
    const heard = push[U.heard] >= 0;
    const way = [push[U.from], bottom, heard ? push[U.heard] : push[U.from] + USUAL, top, heard];
    ways.push(way);
    if (!heard) lost.push(way);
  }
  g.strokeStyle = g.fillStyle = css.push;
  g.globalAlpha = 0.9;
  g.lineWidth = 1.4;
  g.setLineDash([5, 3]);
  drawWays(ways);
  g.setLineDash([]);
  drawHeads(ways);
  drawLost(lost, lost.length);
  g.globalAlpha = 1;
}

function drawWays(all) {
  g.beginPath();
  for (const [from, y0, to, y1, arrived] of all) {
    const x0 = x(from), share = arrived ? 1 : 0.55;
    g.moveTo(x0, y0);
    g.lineTo(x0 + (x(to) - x0) * share, y0 + (y1 - y0) * share);
  }
  g.stroke();
}

function drawHeads(all) {
  g.beginPath();
  for (const [from, y0, to, y1, arrived] of all) {
    if (!arrived) continue;
    const x1 = x(to), angle = Math.atan2(y1 - y0, x1 - x(from));
    g.moveTo(x1, y1);
    g.lineTo(x1 - 7 * Math.cos(angle - 0.35), y1 - 7 * Math.sin(angle - 0.35));
    g.lineTo(x1 - 7 * Math.cos(angle + 0.35), y1 - 7 * Math.sin(angle + 0.35));
    g.closePath();
  }
  g.fill();
}

// Marks each message that was lost with a cross. `count`: how many messages are drawn in all.
function drawLost(lost, count) {
  g.globalAlpha = count > 1500 ? 0.5 : 0.95;
  g.strokeStyle = css.lost;
  g.lineWidth = 1.6;
  g.beginPath();
  for (const [from, y0, to, y1] of lost) {
    const x0 = x(from);
    cross(x0 + (x(to) - x0) * 0.55, y0 + (y1 - y0) * 0.55, count > 400 ? 2.2 : 3.5);
  }
  g.stroke();
}

// Draws what takes no time. The kinds: 0 access accepted, 1 access refused, 2 renewed by hand,
// 3 link up, 4 link cut, 5 link down, 6 other change of a link, 7 fault, 8 client full, 9 phase,
// 10 push that doubts.
function drawPoints() {
  const [a, b] = range(points, view.from, view.to);
  const drawn = new Set();
  for (let i = a; i < b; i++) {
    const p = points.items[i], kind = p[P.kind], px = x(p[P.at]);
    if (!wanted(p[P.key]) || dimmed(p[P.lease]) && p[P.lease] >= 0) continue;
    const slot = Math.floor(px / 3) * 65536 + kind * 4096 + (p[P.client] + 1) * 64 + p[P.node] + 1;
    if (b - a > 600) {
      if (kind === 0 || drawn.has(slot)) continue;
      drawn.add(slot);
    }
    const lane = laneAt.get(p[P.client] >= 0 ? "c" + p[P.client] : "n" + p[P.node]);
    if (kind === 9) {
      g.strokeStyle = css.fine;
      g.setLineDash([4, 4]);
      g.lineWidth = 1;
      g.beginPath();
      g.moveTo(px, AXIS - 4);
      g.lineTo(px, view.height);
      g.stroke();
      g.setLineDash([]);
      g.fillStyle = css.fine;
      g.font = "10px " + FONT;
      const last = lanes[D.clients - 1];
      const y = last ? last.y + last.height + 12 : AXIS;
      const healed = D.texts[p[P.text]] === "Healed";
      const words = healed ? "all faults healed" : "nothing is wanted any more";
      const wide = g.measureText(words).width;
      g.fillText(words, px + 8 + wide > view.width ? px - 4 - wide : px + 4, y);
    } else if (kind <= 2 && lane) {
      const lease = byLease.get(p[P.lease]);
      if (!lease || lane.row < 9) continue;
      const y = rowY(lane, lease[L.row]) + 3;
      g.fillStyle = kind === 1 ? css.lost : css.ink;
      g.beginPath();
      if (kind === 2) g.arc(px, y, 2, 0, 7);
      else {
        g.moveTo(px, y - 3);
        g.lineTo(px + 2.5, y);
        g.lineTo(px, y + 3);
        g.lineTo(px - 2.5, y);
      }
      g.fill();
    } else if (kind <= 6 && lane && p[P.node] >= 0) {
      g.fillStyle = kind === 3 ? css.fine : kind === 6 ? css.soft : css.crash;
      g.fillRect(px - 1, linkY(lane, p[P.node]) - 1, 2, 4);
    } else if (lane) {
      // A triangle for a fault that is over as soon as it strikes, and for a doubt.
      const y = lane.y + 1;
      g.fillStyle = kind === 8 ? css.soft : kind === 10 ? css.push : css.crash;
      g.beginPath();
      g.moveTo(px - 4.5, y);
      g.lineTo(px + 4.5, y);
      g.lineTo(px, y + 8);
      g.fill();
    }
  }
}

function drawViolation() {
  if (!D.violation) return;
  const px = x(D.violation[0]);
  if (px < GUTTER - 4 || px > view.width + 4) return;
  g.strokeStyle = css.broken;
  g.lineWidth = 2;
  g.beginPath();
  g.moveTo(px, AXIS - 4);
  g.lineTo(px, view.height);
  g.stroke();
  g.font = "600 12px " + FONT;
  const words = D.violation[1] + " is broken", wide = g.measureText(words).width + 14;
  const left = px + wide > view.width ? px - wide : px;
  const last = lanes[D.clients - 1];
  const y = last ? last.y + last.height + 16 : AXIS;
  g.fillStyle = css.broken;
  g.fillRect(left, y, wide, 20);
  g.fillStyle = css.paper;
  g.fillText(words, left + 7, y + 10.5);
}

const overview = document.getElementById("overview");
const o = overview.getContext("2d");
const backdrop = document.createElement("canvas");
// The whole run. It is drawn once for each size of the window.
function drawBackdrop() {
  const width = view.width, tall = 34, scale = (width - GUTTER - 8) / END;
  const px = (t) => GUTTER + t * scale;
  backdrop.width = overview.width;
  backdrop.height = overview.height;
  const o = backdrop.getContext("2d");
  o.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  o.fillStyle = css.paper;
  o.fillRect(0, 0, width, tall);
  o.fillStyle = css.lane;
  o.fillRect(GUTTER, 4, width - GUTTER - 8, 24);
  // How many facts there are in each piece of three pixels.
  const pieces = Math.ceil((width - GUTTER) / 3), counts = new Float64Array(pieces + 1);
  for (const f of D.facts) counts[Math.min(pieces, Math.floor(f[F.at] * scale / 3))]++;
  const most = counts.reduce((a, b) => Math.max(a, b), 1);
  o.fillStyle = css.acquiring;
  counts.forEach((n, i) => {
    const h = Math.sqrt(n / most) * 20;
    o.fillRect(GUTTER + i * 3, 28 - h, 2, h);
  });
  o.globalAlpha = 0.55;
  for (const list of [shades.items, cuts.items]) {
    for (const s of list) {
      o.fillStyle = shadeColour(s[S.fault]);
      o.fillRect(px(s[S.from]), 4, Math.max((s[S.to] - s[S.from]) * scale, 1), 3);
    }
  }
  o.globalAlpha = 1;
  for (const lease of D.leases) {
    if (!lease[L.loss]) continue;
    const k = lease[L.states].indexOf(4);
    o.fillStyle = css.lost;
    o.fillRect(px(k > 0 ? lease[L.states][k - 1] : lease[L.to]) - 0.75, 22, 1.5, 6);
  }
  if (D.violation) {
    o.fillStyle = css.broken;
    o.fillRect(px(D.violation[0]) - 1, 1, 2, 31);
  }
}
// The whole run, with the part that is in view.
function drawOverview() {
  const width = view.width, px = (t) => GUTTER + t * (width - GUTTER - 8) / END;
  o.setTransform(1, 0, 0, 1, 0, 0);
  o.drawImage(backdrop, 0, 0);
  o.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  const left = Math.max(px(view.from), GUTTER - 2);
  const wide = Math.max(Math.min(px(view.to), width - 6) - left, 3);
  o.fillStyle = css.paper;
  o.globalAlpha = 0.62;
  o.fillRect(GUTTER, 4, left - GUTTER, 24);
  o.fillRect(left + wide, 4, width - 8 - left - wide, 24);
  o.globalAlpha = 1;
  o.strokeStyle = css.accent;
  o.lineWidth = 1.5;
  o.strokeRect(left, 3, wide, 26);
  o.fillStyle = css.soft;
  o.font = "11px " + FONT;
  o.textBaseline = "middle";
  o.fillText("the run", 12, 16);
}
