"use strict";
// The live page: events come as server-sent events, everything they hold is shown as text.
(() => {
  const MOST_SEGMENTS = 2000; // older answers leave the page
  const VERDICTS = ["copy", "edit", "drop", "stop", "unreviewed"];
  const NAMES = { copy: "copied", edit: "edited", drop: "dropped", stop: "stopped", unreviewed: "not reviewed" };
  const board = document.getElementById("diff");
  if (!board) return;
  const find = (id) => document.getElementById(id);
  const answers = find("answers"), state = find("state"), pause = find("pause");
  const filters = [...board.querySelectorAll(".filter")];
  const cards = new Map(), seen = new Set(), waiting = [], unsaid = {};
  const counts = Object.fromEntries(VERDICTS.map((verdict) => [verdict, 0]));
  let shown = "", paused = false, missed = 0, skipped = 0, sayTimer = 0, drawTimer = 0;

  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  // what cannot be seen, or would turn the direction of what follows, is named
  const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;
  const visible = (text) => text.replace(HIDDEN, (one) => `\u27e8U+${one.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`);

  const words = (record, side) => {
    const made = element("p", side);
    made.dir = "auto";
    const text = record[side];
    if (record.redacted) {
      made.classList.add("nothing");
      made.textContent = `${record.chars[side]} characters, not kept`;
    } else if (!text) {
      made.classList.add("nothing");
      made.textContent = record.verdict === "drop" ? "left out" : "nothing";
    } else if (record.diff && record.verdict !== "copy") {
      const [place, tag] = side === "original" ? [1, "del"] : [2, "ins"];
      for (const part of record.diff) {
        if (!part[place]) continue;
        const said = visible(part[place]);
        made.append(part[0] === "equal" ? said : element(tag, "", said));
      }
    } else {
      made.textContent = visible(text);
    }
    if (/^(```|~~~)/.test(text)) made.classList.add("code");
    return made;
  };

  const milliseconds = (ms) => (ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`);

  const row = (record) => {
    const made = element("div", `segment ${record.verdict} fresh`);
    made.tabIndex = -1;
    made.dataset.verdict = record.verdict;
    made.hidden = shown !== "" && shown !== record.verdict;
    const what = element("div", "what");
    what.append(element("span", "verdict", record.verdict));
    if (typeof record.corrector_ms === "number") what.append(" ", element("span", "ms", milliseconds(record.corrector_ms)));
    if (record.note) what.append(" ", element("span", "why", visible(record.note)));
    made.append(words(record, "original"), words(record, "corrected"), what);
    return made;
  };

  const card = (record) => {
    const known = cards.get(record.request_id);
    if (known) return known;
    const made = element("article", "answer");
    made.setAttribute("aria-label", "Answer");
    const head = element("header");
    const title = element("h2", "", record.redacted ? `Question of ${record.chars.question} characters, not kept` : visible(record.question || "(no question)"));
    title.dir = "auto";
    const when = record.time ? new Date(record.time * 1000).toLocaleTimeString() : "";
    head.append(title, element("p", "about", [when, record.model, record.key_name, record.policy && `on failure: ${record.policy}`].filter(Boolean).join(" · ")));
    made.append(head);
    answers.prepend(made);
    cards.set(record.request_id, made);
    return made;
  };

  const trim = () => {
    while (answers.querySelectorAll(".segment").length > MOST_SEGMENTS && answers.childElementCount > 1) {
      const last = answers.lastElementChild;
      for (const [id, one] of cards) if (one === last) cards.delete(id);
      last.remove();
    }
  };

  const settle = () => {
    for (const one of answers.children) one.hidden = !one.querySelector(".segment:not([hidden])");
    const visible = answers.querySelector(".answer:not([hidden])");
    const empty = find("empty");
    empty.hidden = visible !== null;
    if (!visible && answers.childElementCount) empty.textContent = `Nothing with the verdict ${shown} so far.`;
    const first = answers.querySelector(".segment:not([hidden])");
    if (first && !answers.querySelector('.segment[tabindex="0"]:not([hidden])')) first.tabIndex = 0;
    const all = VERDICTS.reduce((sum, verdict) => sum + counts[verdict], 0);
    for (const button of filters) button.querySelector(".count").textContent = button.dataset.verdict ? counts[button.dataset.verdict] : all;
    const lines = [];
    if (missed) lines.push(`${missed} sentences came faster than this page could show them and are left out.`);
    if (skipped) lines.push(`${skipped} lines of the file could not be read and are left out.`);
    find("missed").hidden = lines.length === 0;
    find("missed").textContent = lines.join(" ");
  };

  // one announcement for all that came within two seconds: a screen reader is not to be flooded
  const say = (verdict) => {
    unsaid[verdict] = (unsaid[verdict] || 0) + 1;
    sayTimer ||= setTimeout(() => {
      sayTimer = 0;
      find("said").textContent = VERDICTS.filter((one) => unsaid[one]).map((one) => `${unsaid[one]} ${NAMES[one]}`).join(", ");
      for (const one of VERDICTS) delete unsaid[one];
    }, 2000);
  };

  const show = (record) => {
    if (!VERDICTS.includes(record.verdict)) return;
    counts[record.verdict] += 1;
    card(record).append(row(record));
    say(record.verdict);
    drawTimer ||= requestAnimationFrame(() => { drawTimer = 0; trim(); settle(); });
  };

  const take = (record) => {
    const key = `${record.request_id}|${record.round}|${record.time}`;
    if (seen.has(key)) return; // told again after a lost connection
    seen.add(key);
    if (seen.size > 20000) seen.delete(seen.values().next().value);
    if (!paused) return show(record);
    waiting.push(record);
    if (waiting.length > MOST_SEGMENTS) { waiting.shift(); missed += 1; }
    pause.textContent = `Resume (${waiting.length} waiting)`;
  };

  const setPaused = (value) => {
    paused = value;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Resume" : "Pause";
    if (!paused) waiting.splice(0).forEach(show);
    settle();
  };

  const setFilter = (verdict) => {
    shown = verdict === shown ? "" : verdict;
    for (const button of filters) button.setAttribute("aria-pressed", String(button.dataset.verdict === shown));
    for (const one of answers.querySelectorAll(".segment")) {
      one.hidden = shown !== "" && one.dataset.verdict !== shown;
      one.classList.remove("fresh");
    }
    settle();
  };

  const move = (step) => {
    const rows = [...answers.querySelectorAll(".answer:not([hidden]) .segment:not([hidden])")];
    if (!rows.length) return;
    const at = rows.indexOf(document.activeElement);
    const next = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + step))];
    for (const one of answers.querySelectorAll('.segment[tabindex="0"]')) one.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  };

  filters.forEach((button) => button.addEventListener("click", () => setFilter(button.dataset.verdict)));
  pause.addEventListener("click", () => setPaused(!paused));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (event.key === "p" || event.key === "P") setPaused(!paused);
    else if (event.key === "0") { if (shown) setFilter(shown); }
    else if (/^[1-5]$/.test(event.key)) setFilter(VERDICTS[Number(event.key) - 1]);
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") move(event.key === "ArrowDown" ? 1 : -1);
    else return;
    event.preventDefault();
  });

  const setState = (name, text) => { state.className = `state ${name}`; state.textContent = text; };
  const source = new EventSource(board.dataset.events);
  source.addEventListener("open", () => setState("live", board.dataset.source === "live" ? "live" : "following"));
  source.addEventListener("error", () => setState("lost", source.readyState === EventSource.CLOSED ? "refused" : "reconnecting"));
  source.addEventListener("segment", (event) => take(JSON.parse(event.data)));
  source.addEventListener("missed", (event) => { missed += JSON.parse(event.data).count; settle(); });
  source.addEventListener("skipped", (event) => { skipped = JSON.parse(event.data).count; settle(); });
  addEventListener("pagehide", () => source.close());
  settle();
})();
