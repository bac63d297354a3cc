"use strict";
// The review by keyboard alone, and what is changed while somebody types. Without it the page works by links and forms.
(() => {
  const root = document.documentElement;
  const main = document.querySelector("main");
  const form = document.querySelector("form[data-keys=answer]");
  const find = (selector) => document.querySelector(selector);
  root.classList.add("scripted");

  // What happened, for those who hear it.
  const tell = (words) => {
    const told = find("#told");
    if (told) told.textContent = words;
  };

  // Word by word, as review_diff.py does it: by Myers' algorithm, with an end to what it may cost.
  const [MOST_CHANGES, MOST_WORDS, MOST_SHOWN, SHORT, AROUND] = [400, 8000, 12288, 3, 160];
  const WORD = /[^\s!-/:-@[-^`{-~\u2000-\u206f\u3000-\u9fff\uac00-\ud7af\uff00-\uff65]+|\s+|./gsu;

  const myers = (old, fresh) => {
    const furthest = new Map([[1, 0]]);
    const trail = [];
    const goesDown = (known, diagonal, changed) =>
      diagonal === -changed || (diagonal !== changed && known.get(diagonal - 1) < known.get(diagonal + 1));
    const walkedBack = () => {
      const steps = [];
      let [x, y] = [old.length, fresh.length];
      for (let changed = trail.length - 1; changed >= 0; changed -= 1) {
        const known = trail[changed];
        const diagonal = x - y;
        const down = goesDown(known, diagonal, changed);
        const before = down ? diagonal + 1 : diagonal - 1;
        const xBefore = changed ? known.get(before) : 0;
        const yBefore = changed ? xBefore - before : 0;
        for (; x > xBefore && y > yBefore; x -= 1, y -= 1) steps.push(["same", old[x - 1]]);
        if (changed && down) steps.push(["ins", fresh[--y]]);
        else if (changed) steps.push(["del", old[--x]]);
      }
      return steps.reverse();
    };
    for (let changed = 0; changed <= Math.min(old.length + fresh.length, MOST_CHANGES); changed += 1) {
      trail.push(new Map(furthest));
      for (let diagonal = -changed; diagonal <= changed; diagonal += 2) {
        const down = goesDown(furthest, diagonal, changed);
        let x = down ? furthest.get(diagonal + 1) : furthest.get(diagonal - 1) + 1;
        while (x < old.length && x - diagonal < fresh.length && old[x] === fresh[x - diagonal]) x += 1;
        furthest.set(diagonal, x);
        if (x >= old.length && x - diagonal >= fresh.length) return walkedBack();
      }
    }
    return null;
  };

  const joined = (steps) => {
    const runs = [];
    for (const [kind, word] of steps) {
      if (runs.length && runs[runs.length - 1][0] === kind) runs[runs.length - 1][1] += word;
      else runs.push([kind, word]);
    }
    const found = [];
    let [out, put] = ["", ""];
    const flush = () => {
      if (out) found.push(["del", out]);
      if (put) found.push(["ins", put]);
      [out, put] = ["", ""];
    };
    runs.forEach(([kind, text], number) => {
      const isBetween = Boolean(out || put) && number < runs.length - 1;
      if (kind === "same" && ([...text.trim()].length > SHORT || !isBetween)) {
        flush();
        found.push(["same", text]);
      } else {
        if (kind !== "ins") out += text;
        if (kind !== "del") put += text;
      }
    });
    flush();
    return found;
  };

  const changes = (before, after) => {
    if (before === after) return [];
    const [old, fresh] = [before.match(WORD) || [], after.match(WORD) || []];
    let [begin, end] = [0, 0];
    const shorter = Math.min(old.length, fresh.length);
    while (begin < shorter && old[begin] === fresh[begin]) begin += 1;
    while (end < shorter - begin && old[old.length - 1 - end] === fresh[fresh.length - 1 - end]) end += 1;
    const [out, put] = [old.slice(begin, old.length - end), fresh.slice(begin, fresh.length - end)];
    const same = (word) => ["same", word];
    const middle = (out.length + put.length <= MOST_WORDS && myers(out, put)) || [
      ...out.map((word) => ["del", word]),
      ...put.map((word) => ["ins", word]),
    ];
    return joined([...old.slice(0, begin).map(same), ...middle, ...old.slice(old.length - end).map(same)]);
  };

  // Characters that nobody sees, escaped as the server does it.
  const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
  const escaped = (char) => {
    const code = char.charCodeAt(0).toString(16);
    return code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
  };
  const visible = (text) => text.replace(UNSEEN, escaped);

  const cut = (text, isFirst, isLast) => {
    const [before, after] = [isFirst ? "" : text.slice(0, AROUND), isLast ? "" : text.slice(-AROUND)];
    return text.length <= before.length + after.length + AROUND ? text : `${before} … ${after}`;
  };

  const draw = (into, found) => {
    const nodes = [];
    let left = MOST_SHOWN;
    for (const [number, [kind, whole]] of found.entries()) {
      const text = kind === "same" ? cut(visible(whole), number === 0, number === found.length - 1) : visible(whole);
      left -= text.length;
      if (left < 0) {
        nodes.push(" … and more");
        break;
      }
      if (kind === "same") {
        nodes.push(text);
      } else {
        const [node, sign] = [document.createElement(kind), document.createElement("span")];
        sign.className = "sign";
        sign.textContent = kind === "del" ? "−" : "+";
        node.append(sign, text);
        nodes.push(node);
      }
    }
    into.replaceChildren(...nodes);
  };

  const follow = (box) => {
    const given = box.dataset.given === "own" ? box.defaultValue : find(`#${box.dataset.given}`).value;
    const into = find(`#${box.id}-diff`);
    let asked = 0;
    box.addEventListener("input", () => {
      cancelAnimationFrame(asked);
      asked = requestAnimationFrame(() => draw(into, changes(given, box.value)));
      const wrong = form.querySelector("[value=wrong]");
      if (box.value !== given && !form.querySelector("[name=label]:checked")) {
        wrong.checked = true;
        tell("Wrong, with a better answer.");
      }
    });
  };

  const choose = (label) => {
    const radio = form && form.querySelector(`[name=label][value=${label}]`);
    if (!radio || radio.matches(":disabled")) return;
    radio.checked = true;
    if (label === "right") {
      find("#save").focus();
      tell("Right. Enter saves it.");
      return;
    }
    const boxes = [find("#content"), find("#calls")].filter(Boolean);
    const box = boxes.find((each) => each.value.trim()) || boxes[0];
    if (box) {
      box.focus();
      box.setSelectionRange(box.value.length, box.value.length);
      tell("Wrong. Write the better answer; Ctrl Enter saves it, Escape leaves the box.");
    } else {
      find("#save").focus();
      tell("Wrong. Enter saves it.");
    }
  };

  const rows = () => [...document.querySelectorAll("[data-keys=list] tbody th a")];
  const step = (by) => {
    const links = rows();
    const at = links.indexOf(document.activeElement);
    const next = links[at < 0 ? (by > 0 ? 0 : links.length - 1) : at + by];
    if (next) next.focus();
    else tell(by > 0 ? "That was the last." : "That is the first.");
  };
  const go = (place, otherwise) => {
    const link = find(`[data-keys=${place}]`);
    if (link) link.click();
    else tell(otherwise);
  };

  const keys = find("#keys");
  const help = () => (keys.open ? keys.close() : keys.showModal());
  const actions = form
    ? {
        r: () => choose("right"),
        w: () => choose("wrong"),
        j: () => go("older", "There is no older one."),
        k: () => go("newer", "There is no newer one."),
        u: () => go("up", ""),
        "?": help,
      }
    : { j: () => step(1), k: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1), "?": help };

  const isTyped = (node) =>
    node.isContentEditable || node.matches("textarea, select, input:not([type=radio], [type=checkbox])");

  document.addEventListener("keydown", (event) => {
    const node = event.target instanceof Element ? event.target : document.body;
    if (event.isComposing || event.defaultPrevented) return;
    if (form && event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey) {
      const save = find("#save");
      if (!event.repeat && !keys.open && !save.matches(":disabled")) form.requestSubmit(save);
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (isTyped(node)) {
      if (event.key !== "Escape" || !form || !form.contains(node)) return;
      find("#save").focus();
      tell("Out of the box.");
      return;
    }
    if (keys.open && event.key !== "?") return;
    if (event.key.startsWith("Arrow") && !(node === document.body || node === main || rows().includes(node))) return;
    const act = Object.hasOwn(actions, event.key) ? actions[event.key] : null;
    if (!act) return;
    event.preventDefault();
    act();
  });

  for (const box of form ? form.querySelectorAll("textarea[data-given]") : []) follow(box);

  // Where one goes on: at what is wrong, at the row that one came from, or at the beginning of the next answer.
  const wrong = form && form.querySelector("[aria-invalid]");
  const row = location.hash.startsWith("#to-") && document.getElementById(location.hash.slice(1));
  const notice = find("#notice");
  if (wrong) (wrong.matches("[role=radiogroup]") ? wrong.querySelector("input") : wrong).focus();
  else if (row) row.focus();
  else if (notice) main.focus({ preventScroll: true });
  if (notice) tell(notice.firstChild.textContent.trim());
})();
