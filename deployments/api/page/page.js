// The spend page. Every text goes in as text, never as markup; money stays a decimal string until
// it is drawn.
"use strict";

const EVERY_MS = 5000;
const DAY_MS = 86400000;
const SERIES_MAX = 7;
const SVG = "http://www.w3.org/2000/svg";
let by = "policy";
let timer = null;
let opened = new Set();

const at = (id) => document.getElementById(id);

function node(name, options = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (key === "class") made.className = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function shape(name, options, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(options)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function usd(text) {
  const amount = Number(text);
  if (amount === 0) return "$0";
  const digits = Math.abs(amount) >= 1 ? 2 : Math.min(8, 1 - Math.floor(Math.log10(Math.abs(amount))) + 1);
  return `${amount < 0 ? "-" : ""}$${Math.abs(amount).toFixed(digits)}`;
}

const percent = (share) => (share === null ? "-" : `${(100 * share).toFixed(share === 1 ? 0 : 1)} %`);
const milliseconds = (value) => (value === null ? "-" : value >= 10000 ? `${(value / 1000).toFixed(0)} s` : `${Math.round(value)} ms`);
const time = (text) => new Date(text).toLocaleString([], { month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit" });

class Denied extends Error {}

async function ask(path) {
  const key = sessionStorage.getItem("switchyard-key");
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const answer = await fetch(path, { headers });
  if (answer.status === 401 || answer.status === 403) throw new Denied();
  if (!answer.ok) throw new Error(`${path.split("?")[0]} answered ${answer.status}`);
  return answer.json();
}

function rows(table, columns, lines, empty) {
  if (lines.length === 0) {
    table.replaceChildren(node("caption", { class: "empty" }, empty));
    return;
  }
  const head = columns.map(([name, kind]) => node("th", { class: kind, scope: "col" }, name));
  const body = lines.map((line) =>
    node("tr", {}, ...line.map((cell, i) => node("td", { class: columns[i][1] }, cell ?? "-"))));
  table.replaceChildren(node("thead", {}, node("tr", {}, ...head)), node("tbody", {}, ...body));
}

function tile(title, value) {
  return node("div", { class: "tile" }, node("b", {}, value), node("span", {}, title));
}

function drawTiles(today, span, budgets, performance, days) {
  const held = budgets.filter((b) => b.budget_type === "global").reduce((sum, b) => Math.max(sum, Number(b.reserved_amount)), 0);
  const attempts = performance.reduce((sum, g) => sum + g.requests, 0);
  const good = performance.reduce((sum, g) => sum + g.requests * (g.success_rate ?? 0), 0);
  at("tiles").replaceChildren(
    tile("spent today (UTC)", usd(today.total_cost_usd)),
    tile(days === 1 ? "requests today" : `spent in ${days} days`, days === 1 ? String(today.requests) : usd(span.total_cost_usd)),
    tile("held now", usd(held)),
    tile(`requests in ${days === 1 ? "1 day" : `${days} days`}`, String(span.requests)),
    tile("cost per request", span.requests ? usd(Number(span.total_cost_usd) / span.requests) : "-"),
    tile("saved against first models", usd(span.saved_usd)),
    tile("attempts that succeeded", attempts ? percent(good / attempts) : "-"),
  );
}

function budgetBar(budget) {
  const limit = Number(budget.budget_amount), spent = Number(budget.spent_amount), held = Number(budget.reserved_amount);
  const scale = Math.max(limit, spent + held) || 1;
  const bar = shape("svg", { class: "bar", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" });
  bar.append(shape("rect", { x: 0, y: 0, width: 100, height: 4, fill: "var(--free)" }));
  const full = spent >= limit ? "var(--bad)" : spent >= limit * budget.alert_threshold ? "var(--warn)" : "var(--spent)";
  bar.append(shape("rect", { x: 0, y: 0, width: (100 * spent) / scale, height: 4, fill: full }));
  bar.append(shape("rect", { x: (100 * spent) / scale, y: 0, width: (100 * held) / scale, height: 4, fill: "var(--held)" }));
  const mark = (100 * limit * budget.alert_threshold) / scale;
  bar.append(shape("rect", { x: mark, y: 0, width: 0.4, height: 4, fill: "var(--ink)" }));
  return bar;
}

function drawBudgets(budgets) {
  const shown = budgets.filter((b) => b.is_active).map((b) => {
    const scope = b.budget_type === "global" ? "everything" : b.scope_key === "*" ? `each ${b.budget_type}` : `${b.budget_type}: ${b.scope_key}`;
    const left = Number(b.remaining_amount);
    const turns = b.period_end ? `, turns ${time(b.period_end)}` : "";
    const text = `${usd(b.spent_amount)} spent, ${usd(b.reserved_amount)} held, ${usd(b.remaining_amount)} left of ${usd(b.budget_amount)}${turns}`;
    return node("div", { class: "budget" },
      node("div", { class: "line" }, node("span", {}, `${scope}, ${b.budget_period}`),
        node("span", { class: left < 0 ? "over" : "" }, text)),
      budgetBar(b));
  });
  at("budgets").replaceChildren(...(shown.length ? shown : [node("p", { class: "empty" }, "no budget: every paid request is refused")]));
}

const dayOf = (moment) => moment.toISOString().slice(0, 10);

// Spend by day and by policy or model, from one costs document a day.
const past = new Map(); // days gone by change rarely: a late bill shows after a few minutes
const PAST_MS = 300000;

async function costsOf(start) {
  const span = `since=${new Date(start).toISOString()}&until=${new Date(start + DAY_MS).toISOString()}`;
  const path = `/api/routing/costs?group_by=${by}&limit=1000&${span}`;
  const known = past.get(path);
  if (known && Date.now() - known.at < PAST_MS) return known.document;
  const document = await ask(path);
  if (start + DAY_MS < Date.now()) past.set(path, { at: Date.now(), document });
  return document;
}

async function spendByDay(days) {
  const now = Date.now(), starts = [];
  for (let i = days - 1; i >= 0; i -= 1) starts.push(Date.parse(`${dayOf(new Date(now - i * DAY_MS))}T00:00:00Z`));
  const documents = await Promise.all(starts.map(costsOf));
  return starts.map((start, i) => ({ label: dayOf(new Date(start)).slice(5), groups: documents[i].groups }));
}

function series(parts) {
  const totals = new Map();
  for (const part of parts) for (const g of part.groups) totals.set(g.key, (totals.get(g.key) ?? 0) + Number(g.cost_usd));
  const keys = [...totals.keys()].filter((key) => totals.get(key) > 0).sort((a, b) => totals.get(b) - totals.get(a));
  const named = keys.slice(0, SERIES_MAX), rest = new Set(keys.slice(SERIES_MAX));
  return { named, rest, totals };
}

function niceTop(value) {
  if (value <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10].map((f) => f * unit).find((top) => top >= value);
}

function drawChart(parts) {
  const { named, rest, totals } = series(parts);
  const colour = (key) => `var(--c${rest.has(key) ? SERIES_MAX : named.indexOf(key)})`;
  const width = 960, height = 420, left = innerWidth > 760 ? 118 : 152, bottom = 38, top = 16;
  const sums = parts.map((p) => p.groups.reduce((sum, g) => sum + Number(g.cost_usd), 0));
  const most = niceTop(Math.max(...sums, 0)), plot = height - top - bottom;
  const y = (value) => top + plot * (1 - value / most);
  const chart = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Spend by day and ${by}` });
  for (const share of [0, 0.5, 1]) {
    chart.append(shape("line", { x1: left, x2: width, y1: y(most * share), y2: y(most * share), stroke: "var(--line)" }));
    chart.append(shape("text", { x: left - 8, y: y(most * share) + 6, "text-anchor": "end" }, usd(most * share)));
  }
  const step = (width - left) / parts.length, each = Math.ceil(parts.length / 7);
  parts.forEach((part, i) => {
    const x = left + i * step + step * 0.15;
    let sum = 0;
    for (const g of [...part.groups].sort((a, b) => totals.get(b.key) - totals.get(a.key))) {
      const cost = Number(g.cost_usd);
      if (cost <= 0) continue;
      const box = shape("rect", { x, width: step * 0.7, y: y(sum + cost), height: Math.max(0.5, y(sum) - y(sum + cost)), fill: colour(g.key) });
      box.append(shape("title", {}, `${part.label} ${g.key}: ${usd(cost)}, ${g.requests} requests`));
      chart.append(box);
      sum += cost;
    }
    if ((parts.length - 1 - i) % each === 0) chart.append(shape("text", { x: x + step * 0.35, y: height - 8, "text-anchor": "middle" }, part.label));
  });
  at("chart").replaceChildren(chart);
  const entry = (text, paint) => {
    const box = shape("svg", { viewBox: "0 0 1 1", "aria-hidden": "true" });
    box.append(shape("rect", { width: 1, height: 1, fill: paint }));
    return node("li", {}, box, text);
  };
  const entries = named.map((key) => entry(`${key} ${usd(totals.get(key))}`, colour(key)));
  if (rest.size) entries.push(entry(`${rest.size} more`, `var(--c${SERIES_MAX})`));
  at("legend").replaceChildren(...(entries.length ? entries : [node("li", { class: "empty" }, "nothing was spent")]));
}

function drawModels(groups) {
  const columns = [["model", ""], ["attempts", "n"], ["success", "n"], ["p50", "n"], ["p95", "n"], ["tokens", "n"], ["cost", "n"], ["errors", ""]];
  const lines = [...groups].sort((a, b) => b.requests - a.requests).map((g) => [
    g.key, String(g.requests), percent(g.success_rate), milliseconds(g.latency_ms_p50), milliseconds(g.latency_ms_p95),
    g.tokens_avg === null ? "-" : String(Math.round(g.tokens_avg)), usd(g.cost_usd),
    Object.entries(g.errors).map(([kind, n]) => `${kind} ${n}`).join(", ") || "-"]);
  rows(at("models"), columns, lines, "no model was asked");
}

const SAVED_BY = {
  downgrade: "another model answered", cache: "answered again from the cache",
  duplicate: "duplicate lines of batches", escalation: "cheap first, checked",
};

function drawSaved(kinds) {
  const lines = Object.entries(SAVED_BY).map(([kind, words]) => [
    words, node("span", { class: Number(kinds[kind]) < 0 ? "over" : "" }, usd(kinds[kind]))]);
  rows(at("saved"), [["by", ""], ["saved", "n"]], lines, "");
}

function drawWaiting(items) {
  const lines = items.map((d) => [node("span", { class: `s-${d.status}` }, d.status.replace("_", " ")), time(d.created_at), d.policy,
    d.task_type, d.worker_id, d.reasons[d.reasons.length - 1] ?? "-"]);
  rows(at("waiting"), [["state", ""], ["since", "when"], ["policy", ""], ["type", ""], ["worker", ""], ["why", "why"]], lines, "nothing waits");
}

function runLink(flowRunId) {
  const base = document.body.dataset.prefect;
  if (!flowRunId) return "no flow run (lane ledger)";
  if (!base || !/^https?:\/\//.test(base)) return `flow run ${flowRunId}`;
  return node("a", { href: `${base}/runs/flow-run/${encodeURIComponent(flowRunId)}`, rel: "noreferrer" }, "its run in Prefect");
}

// Prompt and answer, where storing prompts is switched on; kept, so that a refresh shows them again.
const texts = new Map();

function drawTexts(place, id) {
  const found = texts.get(id);
  if (!found) return;
  const said = found.messages.map((m) => [m.role, typeof m.content === "string" ? m.content : JSON.stringify(m.content, null, 1)]);
  place.replaceChildren(...[...said, ["answer", found.content ?? "-"]].flatMap(([who, text]) =>
    [node("p", {}, who), node("pre", {}, text)]));
}

async function showTexts(place, id) {
  if (!texts.has(id)) texts.set(id, (await ask(`/api/routing/decisions/${id}`)).texts);
  drawTexts(place, id);
}

function drawDecisions(items) {
  const shown = items.map((d) => {
    const line = node("summary", {},
      node("span", {}, time(d.created_at)), node("span", { class: `s-${d.status}` }, d.status.replace("_", " ")),
      node("span", {}, `${d.policy ?? "-"} · ${d.task_type ?? "-"}`), node("span", {}, d.model ?? "no model"),
      node("span", { class: "n" }, d.unknown_attempts ? `${usd(d.cost_usd)} + ?` : usd(d.cost_usd)), node("span", { class: "n" }, milliseconds(d.latency_ms)));
    const made = node("details", {}, line,
      node("ul", {}, ...d.reasons.map((reason) => node("li", {}, reason))),
      node("p", {}, `decision ${d.decision_id}, ${d.attempts} ${d.attempts === 1 ? "attempt" : "attempts"}, `, runLink(d.flow_run_id)));
    const place = node("div");
    made.append(place);
    drawTexts(place, d.decision_id);
    if (opened.has(d.decision_id)) made.open = true;
    made.addEventListener("toggle", () => {
      if (!made.open) { opened.delete(d.decision_id); return; }
      opened.add(d.decision_id);
      if (d.finished_at) showTexts(place, d.decision_id).catch((error) => place.replaceChildren(node("p", {}, error.message)));
    });
    return made;
  });
  at("decisions").replaceChildren(...(shown.length ? shown : [node("p", { class: "empty" }, "no decision yet")]));
}

async function refresh() {
  const days = Number(at("span").value), now = Date.now();
  const since = new Date(Date.parse(`${dayOf(new Date(now - (days - 1) * DAY_MS))}T00:00:00Z`)).toISOString();
  const today = `${dayOf(new Date(now))}T00:00:00Z`;
  const [budgets, day, span, performance, decisions, parked, awaiting, parts, facts] = await Promise.all([
    ask("/api/routing/budgets?limit=100"), ask(`/api/routing/costs?since=${today}`), ask(`/api/routing/costs?since=${since}`),
    ask(`/api/routing/performance?limit=200&since=${since}`), ask("/api/routing/decisions?limit=25"),
    ask("/api/routing/decisions?limit=50&status=parked"), ask("/api/routing/decisions?limit=50&status=awaiting_approval"),
    spendByDay(Math.max(days, 2)), ask("/page/facts"),
  ]);
  document.body.dataset.prefect = facts.prefect_ui_url ?? "";
  at("simulated").hidden = !facts.simulated;
  drawTiles(day, span, budgets.items, performance.groups, days);
  drawBudgets(budgets.items);
  drawChart(parts);
  drawModels(performance.groups);
  drawSaved(span.saved_by_kind);
  drawWaiting([...parked.items, ...awaiting.items]);
  drawDecisions(decisions.items);
}

async function update() {
  clearTimeout(timer);
  try {
    await refresh();
    at("key").hidden = true;
    at("main").hidden = false;
    at("state").className = "";
    at("state").textContent = `as of ${new Date().toLocaleTimeString()}`;
  } catch (error) {
    if (error instanceof Denied) {
      at("key").hidden = false;
      at("main").hidden = true;
      at("state").textContent = "a key is needed";
      return;
    }
    at("state").className = "bad";
    at("state").textContent = `not up to date: ${error.message}`;
  }
  if (!document.hidden) timer = setTimeout(update, EVERY_MS);
}

at("key").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("switchyard-key", new FormData(at("key")).get("key"));
  update();
});
at("span").addEventListener("change", update);
document.addEventListener("visibilitychange", () => { if (!document.hidden) update(); });
for (const button of document.querySelectorAll("[data-by]")) {
  button.addEventListener("click", () => {
    by = button.dataset.by;
    for (const other of document.querySelectorAll("[data-by]")) other.setAttribute("aria-pressed", String(other === button));
    update();
  });
}
update();
