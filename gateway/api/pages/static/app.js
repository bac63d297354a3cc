"use strict";
// Keeps the page as it is now: the same address again, every few seconds, laid over what is shown.
// Without this script every page works; it is just not renewed by itself.
(() => {
  const EVERY_MS = 5000;
  const LONGEST_PAUSE_MS = 60000;
  const PARTS = ["main", "#as-of"];
  let pauseMs = EVERY_MS;
  let stopped = false;

  const isBusy = () => {
    const active = document.activeElement;
    if (active && active.closest("form") && active.matches("input, textarea, select")) return true;
    const selection = document.getSelection();
    return Boolean(selection && !selection.isCollapsed);
  };

  // A field that holds something else than what came with the page: somebody is not done with it.
  const isChanged = (node) => {
    if (!(node instanceof HTMLElement) || !node.matches("input, textarea, select")) return false;
    if (node.matches("select")) {
      const came = [...node.options].findIndex((option) => option.defaultSelected);
      return node.selectedIndex !== Math.max(came, 0);
    }
    return node.matches("[type=checkbox]") ? node.checked !== node.defaultChecked : node.value !== node.defaultValue;
  };

  // What the reader opened stays open, and what was typed stays typed.
  const options = {
    morphStyle: "outerHTML",
    ignoreActiveValue: true,
    restoreFocus: true,
    callbacks: {
      beforeNodeMorphed: (node) => !isChanged(node),
      beforeAttributeUpdated: (name, node) => !(name === "open" && node.matches("details, dialog")),
    },
  };

  const renew = async () => {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
    if (answer.redirected || answer.status === 401) {
      stopped = true;
      location.reload();
      return;
    }
    if (!answer.ok && answer.status !== 404) throw new Error(String(answer.status));
    const text = await answer.text();
    // Somebody may have begun to type meanwhile.
    if (isBusy()) return;
    const fresh = new DOMParser().parseFromString(text, "text/html");
    if (fresh.documentElement.dataset.built !== document.documentElement.dataset.built) {
      stopped = true;
      location.reload();
      return;
    }
    for (const part of PARTS) {
      const [before, after] = [document.querySelector(part), fresh.querySelector(part)];
      if (before && after && before.outerHTML !== after.outerHTML) Idiomorph.morph(before, after, options);
    }
    document.title = fresh.title;
  };

  const tick = async () => {
    if (!document.hidden && !isBusy()) {
      try {
        await renew();
        pauseMs = EVERY_MS;
        document.documentElement.classList.remove("stale");
      } catch {
        // Said by the frame, not by an error: the gateway may just be restarting.
        pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
        document.documentElement.classList.add("stale");
      }
    }
    if (!stopped) setTimeout(tick, pauseMs);
  };

  const main = document.querySelector("main");
  if (main && main.dataset.live === "yes") setTimeout(tick, EVERY_MS);
})();
