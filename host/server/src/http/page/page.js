// Keeps the page of a stream as it is: hears what becomes of the task, shows its progress, and asks
// the host for the page again when more than that has changed. The page works without it.
"use strict";
(() => {
  // Between the end of one look at the task and the next, where events do not come.
  const POLL_MS = 2000;
  // Between two looks at a run of which events tell: that its host is silent, no event says.
  const LOOK_MS = 15000;
  // Until events are listened for again after the host has refused them.
  const LISTEN_AGAIN_MS = 5000;
  // From the last key until documents are counted.
  const COUNT_AFTER_MS = 300;
  const ANSWER_WITHIN_MS = 15000;
  // Of the whole stream, with what has come since the page was made: the years 0 to 9999.
  const [EARLIEST_MS, LATEST_MS] = [-62167219200000, 253402207200000];

  const main = document.getElementById("main");
  const { task, count } = main.dataset;
  const byId = (id) => document.getElementById(id);
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));

  // --- What is said aloud, once for each change.
  let lastSaid = "";
  const say = (text) => {
    if (text === lastSaid) return;
    lastSaid = text;
    byId("said").textContent = text;
  };

  // --- Spans, as the host says them.
  const span = (ms) => {
    const s = Math.floor(ms / 1000);
    if (s < 10) return `${s}.${Math.floor((ms % 1000) / 100)} s`;
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
    return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  };
  const number = (value) => value.toLocaleString("en-US");

  // Counted from when the host wrote it: clocks of two machines differ.
  const counting = new WeakMap();
  const tick = () => {
    const elapsed = byId("elapsed");
    if (!elapsed) return;
    if (!counting.has(elapsed)) {
      counting.set(elapsed, performance.now() - Number(elapsed.dataset.ms));
    }
    elapsed.textContent = span(performance.now() - counting.get(elapsed));
  };
  tick();
  setInterval(tick, 1000);

  // --- The page again.

  // What was typed into parts that are fetched again, by the ids of its fields.
  const drafts = new Map();

  // Writes what somebody has typed, and says so where the host has another text by now.
  const retype = (field, { value, former }) => {
    if (typeof value === "boolean") {
      field.checked = value;
      return;
    }
    if (field.tagName === "SELECT") {
      if (has(field, value)) field.value = value;
      return;
    }
    const current = field.defaultValue;
    field.value = value;
    if (current === former || current === value) return;
    const textContent = `Meanwhile it has become “${current}”. What you have typed is kept.`;
    field.after(Object.assign(document.createElement("p"), { className: "hint", textContent }));
  };

  // Puts a newer part into an older one's place; what somebody has typed, opened or focused stays,
  // but for what the host has taken from the form `sent`.
  const swap = (older, newer, sent) => {
    const active = document.activeElement;
    const focused = older.contains(active) ? active : null;
    const at = focused && "selectionStart" in focused ? focused.selectionStart : null;
    const typed = new Map();
    for (const field of older.querySelectorAll("input, textarea, select")) {
      if (!field.id || sent?.contains(field)) continue;
      if (field.type === "radio" || field.type === "checkbox") {
        if (field.checked !== field.defaultChecked) typed.set(field.id, { value: field.checked });
      } else if (field.tagName === "SELECT") {
        typed.set(field.id, { value: field.value });
      } else if (field.value !== field.defaultValue) {
        typed.set(field.id, { value: field.value, former: field.defaultValue });
      }
    }
    const opened = [...older.querySelectorAll("details[open]")];
    older.replaceWith(newer);
    for (const details of opened) {
      const again = byId(details.id);
      if (!again) continue;
      if (details.dataset.source && details.dataset.version === again.dataset.version) {
        again.replaceWith(details);
      } else {
        again.open = true;
      }
    }
    for (const [id, draft] of typed) {
      const field = byId(id);
      if (!field) drafts.set(id, draft);
      // One that has been kept with its part has its text still.
      else if (field.value !== draft.value) retype(field, draft);
    }
    if (!focused) return;
    const again = byId(focused.id) || newer.querySelector("h2");
    again.focus({ preventScroll: true });
    if (at !== null && "selectionStart" in again && again.id === focused.id) {
      try { again.setSelectionRange(at, at); } catch { /* Not every field has a caret. */ }
    }
  };
  const has = (select, value) => [...select.options].some((option) => option.value === value);

  // What the host answers, to a form where one was sent.
  const take = (text, form) => {
    const page = new DOMParser().parseFromString(text, "text/html");
    if (!page.getElementById("control")) {
      refused(page);
      return;
    }
    const isRefused = page.querySelector("#alert .callout");
    const sent = isRefused ? null : form;
    for (const id of ["alert", "control", "features"]) {
      const [older, newer] = [byId(id), page.getElementById(id)];
      if (!older || !newer) continue;
      const isSame = newer.dataset.key
        ? older.dataset.key === newer.dataset.key
        : older.textContent === newer.textContent;
      if (!isSame) swap(older, document.adoptNode(newer), sent);
    }
    tick();
    say(byId("control").dataset.said);
  };

  // Where the host answers with another page: what it says.
  const refused = (page) => {
    const said = page.querySelectorAll("main h1, main p");
    const callout = document.createElement("div");
    callout.className = "callout bad";
    for (const { textContent } of said) {
      callout.append(Object.assign(document.createElement("p"), { textContent }));
    }
    byId("alert").replaceChildren(callout);
  };

  // By its origin: the page's own address may hold a name and a password, which fetch refuses.
  const ask = (path, options) => fetch(location.origin + path, {
    cache: "no-store", credentials: "same-origin",
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS), ...options,
  });

  // One at a time; a change that comes meanwhile is looked at after it.
  let refreshing = null;
  let isStale = false;
  const refresh = () => {
    isStale = true;
    refreshing ??= (async () => {
      while (isStale) {
        isStale = false;
        try {
          const answer = await ask(location.pathname + location.search);
          take(await answer.text());
        } catch {
          isStale = !document.hidden;
          await pause(POLL_MS);
        }
      }
      refreshing = null;
    })();
    return refreshing;
  };

  // --- What becomes of the task.

  const heard = (status) => {
    away(false);
    const control = byId("control");
    const isRunning = status.status === "in_progress";
    const state = isRunning ? status.run?.state ?? "queued" : status.status;
    if (control.dataset.version !== (status.version ?? "0") || control.dataset.state !== state) {
      refresh();
      return;
    }
    if (state === "running" && status.progress) show(status.progress);
  };

  const show = ({ done, total, message, phase }) => {
    const [bar, words, named] = [byId("progress"), byId("message"), byId("phase")];
    if (!bar || !words || !named) return;
    if (total) {
      bar.max = total;
      bar.value = done;
    } else {
      bar.removeAttribute("value");
    }
    words.textContent = total ? `${message} (${number(done)} of ${number(total)})` : message;
    named.textContent = phase ? `: ${phase}` : "";
    say(phase ? `Running: ${phase}` : "Running");
  };

  let isLooking = false;
  const look = async () => {
    if (isLooking) return;
    isLooking = true;
    try {
      const answer = await ask(task);
      if (!answer.ok) throw new Error(answer.statusText);
      const status = await answer.json();
      heard(status);
      // No event has it.
      const waitsFor = status.run?.waiting_for ?? "";
      if (waits() && byId("control").dataset.waitsFor !== waitsFor) refresh();
    } catch {
      away(true);
    }
    isLooking = false;
  };

  const away = (is) => {
    document.body.dataset.away = is ? "yes" : "no";
    if (is) say("The host does not answer. Trying again…");
    else if (lastSaid.startsWith("The host does not")) say("The host answers again.");
  };

  // --- Events; where they do not come, looks.

  let source = null;
  let isLive = false;

  const listen = () => {
    if (source || document.hidden) return;
    source = new EventSource(`${location.origin}${task}/events`);
    source.onopen = () => {
      isLive = true;
      away(false);
    };
    for (const kind of ["status", "progress"]) {
      source.addEventListener(kind, (event) => heard(JSON.parse(event.data)));
    }
    for (const kind of ["reset", "deleted"]) source.addEventListener(kind, refresh);
    source.onerror = () => {
      isLive = false;
      poll();
      // The browser tries again by itself unless the host has said no.
      if (source?.readyState !== EventSource.CLOSED) return;
      hush();
      setTimeout(listen, LISTEN_AGAIN_MS);
    };
  };

  const hush = () => {
    source?.close();
    source = null;
    isLive = false;
  };

  // Why it waits changes without an event.
  const waits = () => ["queued", "waiting_retry", "suspended"]
    .includes(byId("control").dataset.state);

  // One loop at a time, each look after the answer to the last, none in a tab that nobody sees.
  let isPolling = false;
  const poll = async () => {
    if (isPolling) return;
    isPolling = true;
    while (!document.hidden && (!isLive || waits())) {
      await look();
      await pause(POLL_MS);
    }
    isPolling = false;
  };
  setInterval(poll, POLL_MS);
  const isAtWork = () => ["running", "being_canceled", "stale"]
    .includes(byId("control").dataset.state);
  setInterval(() => {
    if (isLive && isAtWork() && !document.hidden) look();
  }, LOOK_MS);

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      hush();
    } else {
      listen();
      poll();
    }
  });
  window.addEventListener("pagehide", hush);
  window.addEventListener("pageshow", listen);

  // --- Forms, without leaving the page.

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    const button = event.submitter;
    event.preventDefault();
    if (form.dataset.sent) return;
    form.dataset.sent = "yes";
    const body = new URLSearchParams(new FormData(form));
    if (button?.name) body.set(button.name, button.value);
    const words = button?.textContent;
    if (button) {
      // Not disabled: that would take the focus away.
      button.setAttribute("aria-disabled", "true");
      if (button.id === "cancel") button.textContent = "Canceling…";
    }
    try {
      // `form.action` is the button of that name.
      const answer = await ask(form.getAttribute("action"), { method: "POST", body });
      take(await answer.text(), form);
      byId("alert").querySelector(".callout")?.scrollIntoView({ block: "nearest" });
    } catch {
      away(true);
    }
    delete form.dataset.sent;
    if (button) {
      button.removeAttribute("aria-disabled");
      button.textContent = words;
    }
  });

  // --- What is fetched when it is opened.

  document.addEventListener("toggle", async (event) => {
    const details = event.target;
    const path = details.dataset?.source;
    if (!path || !details.open || details.dataset.is) return;
    details.dataset.is = "asked";
    try {
      const answer = await ask(path);
      if (!answer.ok) throw new Error(answer.statusText);
      const part = new DOMParser().parseFromString(await answer.text(), "text/html");
      details.querySelector("p")?.replaceWith(...part.body.childNodes);
      details.dataset.is = "here";
      for (const field of details.querySelectorAll("[id]")) {
        const draft = drafts.get(field.id);
        drafts.delete(field.id);
        if (draft) retype(field, draft);
      }
    } catch {
      delete details.dataset.is;
    }
  }, true);

  // --- How many documents a filter selects, while it is written.

  const counts = new WeakMap();
  document.addEventListener("input", (event) => {
    const field = event.target;
    const note = field.dataset?.note && byId(field.dataset.note);
    if (!note) return;
    const former = counts.get(field);
    clearTimeout(former?.timer);
    former?.abort.abort();
    const abort = new AbortController();
    const timer = setTimeout(() => recount(field, note, abort.signal), COUNT_AFTER_MS);
    counts.set(field, { timer, abort });
  });

  const recount = async (field, note, signal) => {
    const wrong = (text) => {
      field.setAttribute("aria-invalid", text ? "true" : "false");
      note.textContent = text;
    };
    let where;
    try {
      where = JSON.parse(field.value);
    } catch (error) {
      wrong(`No JSON yet: ${error.message}`);
      return;
    }
    const body = JSON.stringify({ from: EARLIEST_MS, to: LATEST_MS, where });
    note.textContent = "Counting…";
    try {
      const headers = { "content-type": "application/json" };
      const answer = await ask(count, { method: "POST", headers, body, signal });
      const said = await answer.json();
      if (!answer.ok) {
        wrong(said.errors?.map(({ problem }) => problem).join("; ") || said.detail);
        return;
      }
      wrong("");
      const whole = Math.max(Number(note.dataset.documents), 1);
      const share = Math.floor(Math.min(said.value / whole, 1) * 1000) / 10;
      const least = said.relation === "eq" ? "" : "at least ";
      note.textContent = `${share.toFixed(1)} % of the stream, ${least}${number(said.value)} `
        + (said.value === 1 ? "document" : "documents");
      const part = note.closest(".share")?.querySelector(".part");
      part?.setAttribute("width", String(share * 10));
    } catch {
      if (!signal.aborted) note.textContent = "The host does not answer: not counted.";
    }
  };

  listen();
  poll();
})();
