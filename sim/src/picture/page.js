// What the reader can do: zoom, drag, see what a thing is, and follow one lease.

const $ = (id) => document.getElementById(id);
const element = (name, text, kind) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
};

let planned = false;
function plan() {
  if (planned) return;
  planned = true;
  requestAnimationFrame(() => { planned = false; draw(); drawOverview(); });
}
function resize() {
  const main = document.querySelector("main");
  view.width = main.clientWidth;
  view.height = Math.max(layout(main.clientHeight), main.clientHeight);
  for (const [c, height] of [[canvas, view.height], [overview, 34]]) {
    c.style.height = height + "px";
    c.width = Math.round(view.width * devicePixelRatio);
    c.height = Math.round(height * devicePixelRatio);
  }
  colours();
  drawBackdrop();
  draw();
  drawOverview();
}
// Shows a window of true time, which stays within the run.
function look(from, to) {
  const wide = Math.max(Math.min(to - from, END * 1.02), 2e4);
  const start = Math.max(Math.min(from, END * 1.01 - wide), -END * 0.01);
  view.from = start;
  view.to = start + wide;
  plan();
}
function zoom(factor, px = (GUTTER + view.width) / 2) {
  const t = at(Math.max(px, GUTTER));
  look(t - (t - view.from) * factor, t + (view.to - t) * factor);
}
const around = (t, wide = view.to - view.from) => look(t - wide * 0.6, t + wide * 0.4);

// What is under the pointer.
function find(px, py) {
  const t = at(px), slack = (view.to - view.from) / (view.width - GUTTER) * 4;
  const lane = lanes.find((lane) => py >= lane.y && py < lane.y + lane.height);
  const found = { t, lane };
  if (D.violation && Math.abs(D.violation[0] - t) < slack) found.violation = D.violation;
  const near = (indexed, test) => {
    const [a, b] = range(indexed, t - slack, t + slack);
    let best = null;
    for (let i = a; i < b; i++) {
      const item = indexed.items[i];
      const end = indexed === points ? item[0] : item[1];
      if (end >= t - slack && test(item) && (!best || item[0] > best[0])) best = item;
    }
    return best;
  };
  if (lane) {
    const row = Math.floor((py - lane.y - 4) / lane.row);
    const mine = (s) => s[S.client] === lane.client && s[S.node] === lane.node;
    found.shade = near(shades, mine);
    const meets = (c) => c[S.client] === lane.client || c[S.node] === lane.node;
    found.cuts = cuts.items.filter((c) => c[S.from] <= t && c[S.to] >= t && meets(c));
    const here = (p) =>
      p[P.client] === lane.client && (lane.client >= 0 || p[P.node] === lane.node);
    found.point = near(points, (p) => here(p) && wanted(p[P.key]));
    if (lane.client >= 0) {
      const inRow = (l) => l[L.client] === lane.client && l[L.row] === row;
      found.lease = near(leases, (l) => inRow(l) && wanted(l[L.key]));
    } else {
      const inRow = (h) => h[H.node] === lane.node && h[H.key] === row;
      found.hold = near(holds, (h) => inRow(h) && wanted(h[H.key]));
    }
  }
  if (view.messages && !found.lease && !found.hold) found.message = findMessage(px, py, slack);
  return found;
}
// The message whose line is nearest to the pointer, if one is near.
function findMessage(px, py, slack) {
  let best = 6, message;
  const t = at(px), wide = slack * 2 + USUAL;
  const [a, b] = range(messages, t - wide, t + wide);
  for (let i = a; i < b && b - a < 4000; i++) {
    const m = messages.items[i];
    if (!wanted(m[M.key]) || dimmed(m[M.lease])) continue;
    for (const [from, y0, to, y1, arrived] of ways(m)) {
      const share = (py - y0) / (y1 - y0);
      if (!(share >= 0 && share <= (arrived ? 1 : 0.6))) continue;
      const far = Math.abs(x(from) + (x(to) - x(from)) * share - px);
      if (far < best) { best = far; message = m; }
    }
  }
  return message;
}

const tip = $("tip");
function hover(event) {
  const box = canvas.getBoundingClientRect();
  const found = find(event.clientX - box.left, event.clientY - box.top);
  if (event.clientX - box.left < GUTTER) { tip.hidden = true; return; }
  const lines = [];
  const name = (text) => lines.push(element("b", text));
  const say = (text, kind) => lines.push(element("div", text, kind));
  if (found.violation) name(`${found.violation[1]}: ${found.violation[2]}`);
  if (found.lease) tellLease(found.lease, found.t, name, say);
  if (found.hold) tellHold(found.hold, name, say);
  if (found.message) tellMessage(found.message, name, say);
  if (found.point) say(D.texts[found.point[P.text]]);
  if (found.shade) {
    const shade = found.shade;
    say(`${faultWords(shade[S.fault])} for ${span(shade[S.to] - shade[S.from])}`);
  }
  for (const cut of (found.cuts || []).slice(0, 6)) {
    say(`client ${cut[S.client]} – node ${cut[S.node]}: ${faultWords(cut[S.fault])}`);
  }
  say("true time " + seconds(found.t), "soft");
  const clock = found.lane && clockOf(found.lane.name, found.t);
  if (clock) {
    const rate = `${clock.ppm > 0 ? "fast" : "slow"} by ${Math.abs(clock.ppm)} ppm`;
    say(`its own clock ${(clock.shows / 1e6).toFixed(6)} s${clock.ppm ? ", " + rate : ""}`, "soft");
  }
  tip.replaceChildren(...lines);
  tip.hidden = false;
  const w = tip.offsetWidth, h = tip.offsetHeight;
  const below = event.clientY + 16 + h <= innerHeight;
  tip.style.left = Math.min(event.clientX + 14, innerWidth - w - 6) + "px";
  tip.style.top = (below ? event.clientY + 16 : event.clientY - h - 10) + "px";
}
function tellLease(lease, t, name, say) {
  const states = lease[L.states];
  let k = 0;
  while (k + 2 < states.length && states[k + 2] <= t) k += 2;
  name(`lease ${lease[L.lease]} on ${D.keys[lease[L.key]]}: ${STATES[states[k + 1]]}`);
  if (states[k + 1] === 4 && lease[L.loss]) say("loss: " + lease[L.loss].toLowerCase());
  if (lease[L.fence]) say("fence " + lease[L.fence]);
  const valid = lease[L.valid];
  for (let v = 0; v < valid.length; v += 2) {
    if (valid[v] <= t && valid[v + 1] >= t) { say("valid until " + seconds(valid[v + 1])); break; }
  }
  if (lease[L.dead] && t >= lease[L.to] - 1) say("its process died");
}
function tellHold(hold, name, say) {
  const lease = byLease.get(hold[H.lease]);
  const whose = lease && `lease ${lease[L.lease]} of client ${lease[L.client]}`;
  name(`${D.keys[hold[H.key]]} holds ${whose || "something foreign"}`);
  const from = hold[H.from], to = hold[H.to];
  say(`${seconds(from)} to ${seconds(to)} (${span(to - from)})`);
}
function tellMessage(m, name, say) {
  name(`${ASKS[m[M.ask]]}: client ${m[M.client]} → node ${m[M.node]}, lease ${m[M.lease]}`);
  say(D.texts[m[M.text]]);
  const did = m[M.did], heard = m[M.heard];
  if (did >= 0) say(`arrived after ${span(did - m[M.from])}`); else say("it never arrived");
  if (did >= 0 && heard >= did && m[M.answered]) say(`answered after ${span(heard - did)} more`);
}

// Shows the facts of one lease. -1 hides them.
function follow(lease) {
  view.lease = lease;
  const story = $("story");
  story.hidden = lease < 0;
  if (lease >= 0) {
    const bar = byLease.get(lease);
    const title = `Lease ${lease} of client ${bar[L.client]} on ${D.keys[bar[L.key]]}`;
    story.querySelector("h2 span").textContent = title;
    const about = D.facts.filter((f) => f[F.lease] === lease).slice(0, 2000);
    story.querySelector("ol").replaceChildren(...about.map((f) => {
      const where = f[F.node] >= 0 ? "n" + f[F.node] : "  ";
      const time = (f[F.at] / 1e9).toFixed(6).padStart(11);
      const item = element("li", `${time}  ${where}  ${D.texts[f[F.text]]}`);
      item.onclick = () => around(f[F.at]);
      return item;
    }));
  }
  resize();
}

let drag = null;
canvas.addEventListener("pointerdown", (event) => {
  drag = { px: event.clientX, from: view.from, to: view.to, moved: false };
  canvas.setPointerCapture(event.pointerId);
  canvas.classList.add("drag");
});
canvas.addEventListener("pointermove", (event) => {
  if (!drag) return hover(event);
  const by = event.clientX - drag.px;
  if (Math.abs(by) > 3) drag.moved = true;
  const t = by / (view.width - GUTTER) * (drag.to - drag.from);
  tip.hidden = true;
  if (drag.moved) look(drag.from - t, drag.to - t);
});
canvas.addEventListener("pointerup", (event) => {
  canvas.classList.remove("drag");
  const moved = drag && drag.moved;
  drag = null;
  if (moved) return;
  const box = canvas.getBoundingClientRect();
  const found = find(event.clientX - box.left, event.clientY - box.top);
  let lease = -1;
  if (found.lease) lease = found.lease[L.lease];
  else if (found.message) lease = found.message[M.lease];
  else if (found.hold) lease = found.hold[H.lease];
  follow(byLease.has(lease) && lease !== view.lease ? lease : -1);
});
canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const box = canvas.getBoundingClientRect(), wide = view.to - view.from;
  const sideways = event.shiftKey ? event.deltaY : event.deltaX;
  if (Math.abs(sideways) > Math.abs(event.shiftKey ? event.deltaX : event.deltaY)) {
    look(view.from + sideways / 1000 * wide, view.to + sideways / 1000 * wide);
  } else {
    zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 200), event.clientX - box.left);
  }
}, { passive: false });
canvas.addEventListener("dblclick", (event) => {
  zoom(0.25, event.clientX - canvas.getBoundingClientRect().left);
});

function brush(event) {
  const px = event.clientX - overview.getBoundingClientRect().left;
  const t = (px - GUTTER) / (view.width - GUTTER - 8) * END;
  const wide = view.to - view.from > END * 0.9 ? END / 20 : view.to - view.from;
  look(t - wide / 2, t + wide / 2);
}
overview.addEventListener("pointerdown", (event) => {
  overview.setPointerCapture(event.pointerId);
  brush(event);
});
overview.addEventListener("pointermove", (event) => { if (event.buttons) brush(event); });

const all = () => look(-END * 0.01, END * 1.01);
function toggle() {
  view.messages = !view.messages;
  $("messages").classList.toggle("on", view.messages);
  plan();
}
$("in").onclick = () => zoom(0.5);
$("out").onclick = () => zoom(2);
$("all").onclick = all;
$("messages").onclick = toggle;
$("close").onclick = () => follow(-1);
addEventListener("keydown", (event) => {
  const wide = view.to - view.from;
  const does = {
    "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: all, m: toggle,
    Escape: () => follow(-1),
    ArrowLeft: () => look(view.from - wide / 5, view.to - wide / 5),
    ArrowRight: () => look(view.from + wide / 5, view.to + wide / 5),
  }[event.key];
  if (does && !event.ctrlKey && !event.metaKey) { does(); event.preventDefault(); }
});

function choose(key) {
  view.key = key;
  [...$("keys").children].forEach((button, i) => button.classList.toggle("on", i === key + 1));
  plan();
}
["all keys", ...D.keys].forEach((name, i) => {
  const button = element("button", name);
  button.onclick = () => choose(i - 1);
  $("keys").append(button);
});
choose(-1);

$("title").textContent = D.title;
D.about.forEach((line) => $("about").querySelector("div").append(element("div", line)));
const verdict = $("verdict");
if (D.violation) {
  verdict.className = "broken";
  verdict.textContent = `${D.violation[1]} is broken at ${(D.violation[0] / 1e9).toFixed(6)} s`;
  verdict.onclick = () => around(D.violation[0], 6e8);
  $("sentence").textContent = D.violation[2];
  $("sentence").hidden = false;
} else {
  const granted = D.leases.filter((lease) => lease[L.fence]).length;
  verdict.textContent = `no law was broken · ${granted} grants · ${D.facts.length} facts`;
}

const legend = (kind, colour, text) => {
  const entry = element("span"), mark = element("i", undefined, kind);
  mark.style.background = `var(--${colour})`;
  entry.append(mark, text);
  $("legend").append(entry);
};
STATES.forEach((state) => legend("", state, state));
legend("valid", "valid", "valid");
ASKS.forEach((ask) => legend("arrow", ask, ask));
legend("arrow", "push", "push");
legend("arrow", "no", "answered no");
legend("arrow", "lost", "× lost");
legend("", "pause", "paused");
legend("", "crash", "crashed, cut");
legend("", "trouble", "other fault");
for (const text of [
  "▼ fault that is over at once", "◆ read or write (red: fence refused)",
  "▼ push that doubts (in its colour)", "■ hue of the client that has a key",
  "– place in the queue of a key",
]) $("legend").append(element("span", text));
$("legend").append(element("span", "wheel: zoom · drag: move · click: follow a lease", "keys"));

// What is shown first: the window of `#from-to` in seconds, or where a law broke, or the whole run.
function begin() {
  const asked = location.hash.match(/^#([\d.]+)-([\d.]+)$/);
  if (asked) return look(asked[1] * 1e9, asked[2] * 1e9);
  if (D.violation) {
    const wide = Math.min(END, 1.5e9);
    return look(D.violation[0] - wide * 0.75, D.violation[0] + wide * 0.25);
  }
  all();
}
addEventListener("hashchange", begin);
addEventListener("resize", resize);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", resize);
begin();
resize();
