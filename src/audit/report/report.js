"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const records = read("records");
  records.pop();
  const summary = read("summary");
  // Values of fields that a record lacks.
  const lists = ["violations", "files", "files_hex", "image_remarks", "dependents", "dependents_hex", "control_sets", "findings", "related", "obstacles"];
  const nothing = ["compliant", "error", "at_next_boot", "at_capture", "hibernated", "partition", "partition_scheme", "replay", "drift", "seconds"];
  for (const r of records) {
    for (const name of lists) r[name] ??= [];
    for (const name of nothing) r[name] ??= null;
    r.results ??= "";
  }
  // Checks, with the number of records for each letter.
  const checks = read("described").map((check, number) => ({ ...check, number, name: `${check.check} (${check.policy})`, counts: { p: 0, f: 0, u: 0, "-": 0 } }));
  for (const { results } of records) for (let i = 0; i < results.length; i++) checks[i].counts[results[i]] += 1;
  const isOpen = (letter) => letter === "f" || letter === "u";
  const begun = performance.now();

  // Data of an image becomes text, never markup.
  const make = (name, attributes, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key === "class") node.className = value;
      else if (key === "click") node.addEventListener("click", value);
      else node.setAttribute(key, value);
    }
    for (const child of children) if (child !== null && child !== undefined && child !== "") node.append(child);
    return node;
  };
  const at = (id) => document.getElementById(id);
  const many = (count, one, more) => `${count.toLocaleString("en")} ${count === 1 ? one : more}`;
  // Direction marks in a name must not change the writing direction.
  const plain = (text) => String(text).replace(/[\u202a-\u202e\u2066-\u2069\u0000-\u001f\u007f]/g, "\ufffd");

  const states = [
    ["differs", "not as expected", "bad"],
    ["error", "could not be read", "bad"],
    ["odd", "review", "odd"],
    ["fine", "as expected", "good"],
    ["read", "read", "good"],
    ["none", "no Windows", "mute"],
    ["gone", "gone", "bad"],
  ];
  // State of a saved session, or of one that cannot be ruled out.
  const hibernation = (r) => {
    if (r.hibernated) return "hibernated";
    return r.hibernated === null && r.obstacles.some((b) => b.code === "volume-hibernation-unknown") ? "hibernation-unknown" : null;
  };
  // Records that are as expected may need a review too.
  const isOdd = (r) => {
    if (r.status !== "read") return false;
    const unsure = r.at_next_boot && ["undefined", "unknown"].includes(r.at_next_boot.state);
    return Boolean(unsure || r.findings.length || r.image_remarks.length || hibernation(r) || r.hive_state === "primary-alone" || r.confirmed === false);
  };
  const stateOf = (r) => {
    if (r.status === "error") return 1;
    if (r.status === "gone") return 6;
    if (r.status === "no-windows") return 5;
    if (r.compliant === false) return 0;
    if (r.compliant === true) return 3;
    return isOdd(r) ? 2 : 4;
  };
  const settingOf = (r) => {
    if (r.status !== "read") return "";
    const v = r.at_next_boot;
    if (!v) return "unknown";
    if (v.state === "set") return String(v.value);
    if (v.state === "unset") return "not set";
    return v.state;
  };
  const windowsOf = (r) => {
    if (r.status !== "read") return "";
    return plain(r.product || r.family || "unknown Windows");
  };
  const buildOf = (r) => [r.release, r.build && `build ${r.build}${r.revision ? "." + r.revision : ""}`, r.service_pack]
    .filter(Boolean).map(plain).join(", ");

  const rows = records.map((r, index) => ({
    r, index, state: stateOf(r), odd: isOdd(r), setting: settingOf(r), windows: windowsOf(r), target: plain(r.target), host: plain(r.host_name || ""),
    text: [r.target, r.host_name, r.product, r.family, r.edition, r.release, r.container, r.error && r.error.code, states[stateOf(r)][1], isOdd(r) && states[2][1],
      r.drift && r.drift.state, ...r.violations.map((v) => v.setting), ...r.findings.map((m) => m.code)].filter(Boolean).join("\n").toLowerCase(),
    line: null, detail: null,
  }));

  // Headline.
  const expected = rows.some((row) => row.r.compliant !== null);
  const isIn = (row, state) => (state === 2 ? row.odd : row.state === state);
  const counts = states.map((_, state) => rows.filter((row) => isIn(row, state)).length);
  const installations = rows.filter((row) => row.r.status === "read").length;
  const headline = at("headline");
  if (counts[0]) {
    headline.append(make("span", { class: "bad" }, `${counts[0].toLocaleString("en")} of ${installations.toLocaleString("en")}`), " installations are not as expected");
  } else if (counts[1]) {
    headline.append(make("span", { class: "bad" }, many(counts[1], "target", "targets")), " could not be read");
  } else if (expected && counts[3] < installations) {
    headline.append(make("span", { class: "good" }, `${counts[3].toLocaleString("en")} of ${installations.toLocaleString("en")}`), " installations are as expected, the others have no expectation");
  } else if (expected) {
    headline.append(make("span", { class: "good" }, `All ${installations.toLocaleString("en")}`), " installations are as expected");
  } else {
    headline.append(many(installations, "installation", "installations"), " read");
  }
  const notes = [];
  if (counts[0] && counts[1]) notes.push(`${many(counts[1], "target", "targets")} could not be read, so the result is incomplete.`);
  const changed = records.filter((r) => r.drift && r.drift.state !== "same").length;
  if (changed) notes.push(`${many(changed, "record differs", "records differ")} from the baseline.`);
  if (counts[2]) notes.push(`${many(counts[2], "installation needs", "installations need")} a review.`);
  const files = summary.files;
  if (files) {
    const all = files.recorded + files.parts + files.skipped;
    const parts = [[files.recorded, "with a record"], [files.parts, files.parts === 1 ? "part of another" : "parts of others"], [files.skipped, "skipped"]];
    notes.push(`${many(all, "file", "files")}: ${parts.map(([count, what]) => `${count.toLocaleString("en")} ${what}`).join(", ")}.`);
  }
  if (summary.interrupted) notes.push("The audit was interrupted.");
  at("under").append(notes.join(" "));

  const filter = { state: null, setting: null, windows: null, check: null, text: "" };
  const buttons = [];
  const toggle = (node, key, value) => {
    node.setAttribute("aria-pressed", "false");
    node.addEventListener("click", () => { filter[key] = filter[key] === value ? null : value; show(); });
    buttons.push([node, key, value]);
    return node;
  };
  states.forEach(([, name, colour], state) => {
    if (counts[state]) at("tiles").append(toggle(make("button", { class: "tile", type: "button" }, make("b", { class: colour }, counts[state].toLocaleString("en")), name), "state", state));
  });

  const chart = (id, key, order) => {
    const groups = new Map();
    for (const row of rows) {
      if (!row[key]) continue;
      const group = groups.get(row[key]) || { name: row[key], all: 0, states: states.map(() => 0) };
      group.all += 1;
      group.states[row.state] += 1;
      groups.set(row[key], group);
    }
    const sorted = [...groups.values()].sort(order);
    const most = Math.max(1, ...sorted.map((group) => group.all));
    for (const group of sorted.slice(0, 14)) {
      const track = make("span", { class: "track" });
      group.states.forEach((count, state) => {
        if (!count) return;
        const part = make("i", { class: states[state][2], title: `${states[state][1]}: ${count}` });
        part.style.width = `${(count / most) * 100}%`;
        track.append(part);
      });
      at(id).append(toggle(make("button", { class: "bar", type: "button" }, make("span", { class: "name" }, group.name), track,
        make("span", { class: "count" }, group.all.toLocaleString("en"))), key, group.name));
    }
    if (sorted.length > 14) at(id).append(make("p", { class: "small" }, `and ${sorted.length - 14} more: use the filter`));
    if (!sorted.length) at(id).append(make("p", { class: "small" }, "nothing was read"));
  };
  // The checks that fail most come first.
  const worst = [...checks].sort((a, b) => b.counts.f - a.counts.f || b.counts.u - a.counts.u || a.number - b.number);
  const bars = (some) => {
    for (const check of some) {
      const { f, u, p } = check.counts;
      const track = make("span", { class: "track" });
      for (const [count, colour, what] of [[f, "bad", "fail"], [u, "odd", "unknown"], [p, "good", "pass"]]) {
        if (!count) continue;
        const part = make("i", { class: colour, title: `${what}: ${count}` });
        part.style.width = `${(count / Math.max(1, f + u + p)) * 100}%`;
        track.append(part);
      }
      const about = [check.severity, check.title, check.expected && `expected ${check.expected}`].filter(Boolean).map(plain).join(" \u00b7 ");
      const more = [check.rationale, ...check.references].filter(Boolean).map(plain).join("\n");
      at("by-check").append(toggle(make("button", { class: "bar", type: "button", title: more },
        make("span", { class: "name" }, plain(check.name), make("span", { class: "small" }, about)), track,
        make("span", { class: "count" }, (f + u).toLocaleString("en"))), "check", check.number));
    }
  };
  if (checks.length) {
    at("checks").hidden = false;
    bars(worst.slice(0, 20));
    at("all-checks").hidden = worst.length <= 20;
    at("all-checks").textContent = `Show all ${worst.length} checks`;
    at("all-checks").addEventListener("click", () => { bars(worst.slice(20)); at("all-checks").hidden = true; });
  }
  chart("by-setting", "setting", (a, b) => a.name.localeCompare(b.name, "en"));
  chart("by-windows", "windows", (a, b) => b.all - a.all || a.name.localeCompare(b.name, "en"));

  const pairs = (list) => {
    const dl = make("dl");
    for (const [name, value] of list) {
      if (value !== null && value !== undefined && value !== "") dl.append(make("dt", {}, name), make("dd", {}, plain(value)));
    }
    return dl;
  };
  const verdict = (v) => v && `control set ${v.control_set ?? "?"}: ${v.state}${v.value !== null && v.value !== undefined ? " " + v.value : ""}. ${v.meaning}`;
  const detail = (row) => {
    const r = row.r;
    const cell = make("td", { colspan: "6" });
    const part = (title, node) => cell.append(make("h3", {}, title), node);
    if (r.error) part("Error", pairs([["code", r.error.code], ["message", r.error.message], ["advice", r.error.advice]]));
    if (r.violations.length) {
      const place = (v) => v.key && v.key + (v.value_name === null ? "" : `\\${v.value_name || "(default value)"}`);
      part("Not as expected", pairs(r.violations.map((v) => [[v.setting, v.at && `at ${v.at}`].filter(Boolean).join(" "),
        [v.severity && `[${v.severity}]`, v.title, place(v), `expected ${v.expected}, found ${v.found}${v.code ? ` [${v.code}]` : ""} (${v.by})`].filter(Boolean).join("; ")])));
    }
    if (r.drift && r.drift.changes.length) part("Changed since the baseline", pairs(r.drift.changes.map((c) => [c.fact, `${c.now ?? "nothing"}, was ${c.was ?? "nothing"}`])));
    if (r.results) {
      const of = (letters) => checks.filter((check) => letters.includes(r.results[check.number])).map((check) => check.name).join(", ");
      part("Checks", pairs([["fail", of("f")], ["unknown", of("u")], ["pass", of("p")], ["not applicable", of("-")]]));
    }
    if (r.findings.length) part("Findings", pairs(r.findings.map((m) => [m.code, `${m.place}: ${m.what}. ${m.advice}`])));
    part("The setting", pairs([["at next boot", verdict(r.at_next_boot)], ["at capture", verdict(r.at_capture)],
      ...r.control_sets.map((c) => [c.name, [c.roles.join(", "), c.presence && `${c.presence}${c.data_type ? " " + c.data_type : ""}`,
        c.value !== null && `= ${c.value}`, c.key, c.key_last_written && `key last written ${c.key_last_written}`].filter(Boolean).join("; ")])]));
    part("Windows", pairs([["product", r.product], ["version", [r.version, buildOf(r)].filter(Boolean).join(", ")], ["edition", r.edition], ["family", r.family],
      ["type", r.product_type], ["architecture", r.architecture], ["host name", r.host_name], ["hives agree", r.hives_agree]]));
    if (r.related.length) part("Related values", pairs(r.related.map((n) => [n.name, `${n.value ?? "?"} (${n.on ? "on" : "off"}): ${n.meaning}`])));
    part("Where", pairs([["target", r.target], ["container", r.container], ["partition", [r.partition_scheme, r.partition, r.partition_type, r.partition_name].filter((x) => x !== null && x !== "").join(", ")],
      ["volume", [r.file_system, r.volume_label].filter(Boolean).join(", ")], ["Windows folder", r.windows_root], ["hive", r.hive], ["hive SHA-256", r.hive_sha256],
      ["hive state", [r.hive_state, r.sequence_numbers && r.sequence_numbers.join("/")].filter(Boolean).join(", ")],
      ["replay", r.replay && (r.replay.applied ? `${r.replay.pages} pages${r.replay.changed_verdict ? "; it changes the verdict" : ""}` : r.replay.why_not)],
      ["hibernated", r.hibernated ?? (hibernation(r) && "cannot be ruled out")], ["shadow copies", r.shadow_copies], ["read", r.bytes_read && `${r.bytes_read.toLocaleString("en")} bytes${r.seconds === null ? "" : ` in ${r.seconds} s, ${r.audited_at}`}`]]));
    if (r.dependents.length) part("Dependent images", pairs(r.dependents.map((image) => ["image", image])));
    if (r.image_remarks.length) part("The image", pairs(r.image_remarks.map((b) => [b.code, b.what])));
    if (r.obstacles.length) part("Obstacles to a write", pairs(r.obstacles.map((b) => [b.code, b.what])));
    return make("tr", { class: "detail" }, cell);
  };
  const lineOf = (row) => {
    if (row.line) return row.line;
    const { r } = row;
    const open = make("button", { class: "open", type: "button", "aria-expanded": "false" }, row.target);
    const [, name, colour] = states[row.state];
    const failing = r.violations.filter((v) => v.key !== undefined && v.key !== null).map((v) => v.setting);
    const why = r.status === "error" ? r.error && r.error.code : [...new Set(failing)].concat(r.drift && r.drift.state !== "same" ? [r.drift.state] : []).concat(r.findings.map((m) => m.code)).concat(hibernation(r) || []).concat(r.dependents.length ? [`dependents: ${r.dependents.length}`] : []).join(", ");
    const where = r.installations > 1 ? plain([r.partition !== null ? `partition ${r.partition}` : "", r.windows_root].filter(Boolean).join(" ")) : "";
    row.line = make("tr", { class: "row" },
      make("td", { class: `state ${colour}` }, row.odd && row.state !== 2 ? `${name}, ${states[2][1]}` : name),
      make("td", {}, open, where && make("div", { class: "small" }, where)),
      make("td", {}, row.windows, make("div", { class: "small" }, buildOf(r))),
      make("td", {}, row.host),
      make("td", { class: "short" }, row.setting),
      make("td", {}, why ? plain(why) : ""));
    row.line.addEventListener("click", (event) => {
      if (getSelection().toString() && event.target !== open) return;
      if (row.detail) { row.detail.remove(); row.detail = null; } else { row.detail = detail(row); row.line.after(row.detail); }
      open.setAttribute("aria-expanded", String(row.detail !== null));
    });
    return row.line;
  };

  const columns = [["State", "state"], ["Target", "target"], ["Windows", "windows"], ["Host", "host"], ["At next boot", "setting"], ["Findings", "findings"]];
  const keys = {
    state: (row) => (row.odd && row.state > 2 ? 2.5 : row.state), findings: (row) => (row.r.error ? "~" + row.r.error.code : row.r.findings.map((m) => m.code).join()),
    target: (row) => row.target.toLowerCase(), windows: (row) => row.windows + String(row.r.build || 0).padStart(8, "0"), host: (row) => row.host.toLowerCase(), setting: (row) => row.setting,
  };
  let sorting = ["state", 1];
  let limit = 2000;
  const heads = columns.map(([name, key]) => {
    const head = make("th", { scope: "col" }, make("button", { type: "button" }, name));
    head.firstChild.addEventListener("click", () => { sorting = [key, sorting[0] === key ? -sorting[1] : 1]; show(); });
    at("heads").append(head);
    return [head, key];
  });
  const show = () => {
    const [key, way] = sorting;
    const wanted = rows.filter((row) => (filter.state === null || isIn(row, filter.state)) && (filter.setting === null || row.setting === filter.setting)
      && (filter.windows === null || row.windows === filter.windows) && (filter.check === null || isOpen(row.r.results[filter.check])) && filter.text.split(/\s+/).every((word) => row.text.includes(word)));
    const sorted = wanted.map((row) => [keys[key](row), row]);
    sorted.sort(([a, x], [b, y]) => (a < b ? -way : a > b ? way : x.state - y.state || x.index - y.index));
    const nodes = [];
    for (const [, row] of sorted.slice(0, limit)) {
      nodes.push(lineOf(row));
      if (row.detail) nodes.push(row.detail);
    }
    at("rows").replaceChildren(...nodes);
    for (const [head, of] of heads) head.setAttribute("aria-sort", of === key ? (way > 0 ? "ascending" : "descending") : "none");
    for (const [node, of, value] of buttons) node.setAttribute("aria-pressed", String(filter[of] === value));
    at("shown").textContent = `${Math.min(limit, wanted.length).toLocaleString("en")} of ${many(rows.length, "record", "records")}`;
    at("more").hidden = wanted.length <= limit;
  };
  at("filter").addEventListener("input", (event) => { filter.text = event.target.value.trim().toLowerCase(); show(); });
  at("clear").addEventListener("click", () => { Object.assign(filter, { state: null, setting: null, windows: null, check: null, text: "" }); at("filter").value = ""; show(); });
  at("more").addEventListener("click", () => { limit = Infinity; show(); });

  const explained = new Map();
  for (const { r } of rows) {
    for (const m of r.findings) {
      const known = explained.get(m.code) || { count: 0, what: m.what, advice: m.advice };
      known.count += 1;
      explained.set(m.code, known);
    }
    if (r.error) {
      const known = explained.get(r.error.code) || { count: 0, what: r.error.message, advice: r.error.advice };
      known.count += 1;
      explained.set(r.error.code, known);
    }
  }
  if (explained.size) {
    at("findings").hidden = false;
    for (const [code, { count, what, advice }] of [...explained].sort((a, b) => b[1].count - a[1].count)) {
      at("explained").append(make("li", {}, make("b", {}, plain(code)), ` (${count.toLocaleString("en")}): for instance, ${plain(what)}.`,
        advice ? make("div", { class: "small" }, `Advice: ${plain(advice)}`) : ""));
    }
  }
  const latest = read("latest");
  at("made").append(` ${many(summary.targets, "target", "targets")}${summary.seconds === null ? "" : ` in ${summary.seconds.toFixed(1)} s`}${latest ? `, read until ${plain(latest)}` : ""}.`);
  show();
  document.documentElement.dataset.ready = (performance.now() - begun).toFixed(1);
})();
